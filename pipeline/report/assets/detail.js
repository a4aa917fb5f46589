// Everything about one image: in one run, or in two beside one another. Hovering lights what belongs together; a click pins it.
"use strict";
fgdata.detail = (() => {
  const { make, colour, plain } = fgdata;

  function steps(view) {
    return make("ol", { class: "steps", "aria-label": "Stages" }, view.steps.map(([stage, status, reason, detail]) =>
      make("li", { class: `chip ${status}`, title: [status, plain(reason), detail].filter(Boolean).join(": ") }, plain(stage))));
  }

  function why(view) {
    if (view.status === "ok") return null;
    const step = view.steps.find(([stage]) => stage === view.stage);
    const text = view.status === "pending" ? `${plain(view.stage)} has not run on this image yet.` : `${view.status} at ${plain(view.stage)}: ${plain(view.reason)}`;
    return make("p", { class: `why ${view.status}` }, make("strong", null, text), step && step[3] ? [" ", make("code", { dir: "auto" }, step[3])] : null);
  }

  function negative(text, each, sought) {
    const how = [plain(each.type), each.level > 1 ? `level ${each.level}` : null, plain(each.source)].filter(Boolean).join(" \u00b7 ");
    const end = each.released === null ? null : each.released ? " \u00b7 released" : " \u00b7 kept out";
    const classes = [each.released === false ? "kept-out" : "", sought && each.type === sought ? "sought" : ""].join(" ").trim();
    return make("li", { class: classes || null, "data-type": each.type }, fgdata.words.edited(text.positive, each),
      make("span", { class: "how" }, how, " \u00b7 ", make("span", { class: `verdict ${each.verdict}` }, each.verdict), end));
  }

  function candidates(text, sought, isOpen) {
    const released = text.negatives.filter((each) => each.released).length;
    const knows = text.negatives.some((each) => each.released !== null);
    const refused = Object.entries(text.rejects).map(([reason, count]) => `${count} ${plain(reason)}`).join(", ");
    const count = `${text.negatives.length} negatives${knows ? `, ${released} released` : ""}${text.group ? " (reciprocal)" : ""}`;
    const open = isOpen || Boolean(sought && text.negatives.some((each) => each.type === sought));
    return make("details", { open }, make("summary", null, count, refused ? make("small", null, ` refused: ${refused}`) : null),
      make("p", { class: "about" }, "positive: ", make("bdi", null, text.positive), text.verdict === "unverified" ? null : [" \u00b7 judged ", make("span", { class: `verdict ${text.verdict === "true" ? "false" : text.verdict}` }, text.verdict)]),
      make("ul", { class: "negatives" }, text.negatives.map((each) => negative(text, each, sought))));
  }

  function region(each, index, sought) {
    const about = [each.score !== null ? `score ${each.score.toFixed(2)}` : each.xyxy ? "given box" : "no box",
      each.xyxy && `${Math.round(each.xyxy[2] - each.xyxy[0])} \u00d7 ${Math.round(each.xyxy[3] - each.xyxy[1])} px`,
      ...Object.entries(each.about).map(([name, value]) => `${plain(name)} ${value}`)].filter(Boolean).join(" \u00b7 ");
    return make("section", { class: "region", "data-regions": index, colour: colour(index), "aria-label": `Region ${index + 1}` },
      make("div", { class: "first", tabindex: 0 },
        make("p", null, make("span", { class: "badge" }, String(index + 1)), " ", make("strong", { dir: "auto" }, each.short || each.phrase), each.reason ? make("small", null, ` no expression: ${plain(each.reason)}`) : null),
        each.long && each.long !== each.short ? make("p", { dir: "auto" }, each.long) : null,
        make("p", { class: "about" }, "phrase ", make("bdi", null, `\u201c${each.phrase}\u201d`), ` \u00b7 ${about}`),
        each.notes.map((note) => make("p", { class: "about", dir: "auto" }, note)),
        each.attributes.length ? make("ul", { class: "attributes", "aria-label": "Attributes" }, each.attributes.map(([type, value]) => make("li", null, make("small", null, plain(type)), make("bdi", null, value)))) : null),
      each.texts.length ? make("div", { class: "inner" }, each.texts.map((text) => candidates(text, sought, false))) : null);
  }

  function view(sample, own, label, number, options) {
    const head = label ? make("h3", null, make("b", { class: `tag s${number}` }, label), " ", own ? null : make("small", null, "this run does not have the image")) : null;
    if (!own) return make("section", { class: "view" }, head, fgdata.picture.show(sample, null, false));
    const texts = make("div", null,
      own.long ? [make("p", { class: "what" }, "long caption", own.flags.length ? ` \u00b7 ${own.flags.map(plain).join(", ")}` : ""), fgdata.words.caption(own)] : null,
      own.short ? [make("p", { class: "what" }, "short caption"), make("p", { class: "caption", dir: "auto" }, own.short)] : null,
      own.texts.length ? [make("p", { class: "what" }, "negatives of the long caption"), own.texts.map((text) => candidates(text, options.type, false))] : null);
    return make("section", { class: "view", "aria-label": label ? `Run ${label}` : null }, head, steps(own), why(own),
      make("div", { class: "upper" },
        make("div", { class: "left" }, fgdata.picture.show(sample, own, options.dropped)),
        make("div", null, texts, make("div", { class: "regions" }, own.regions.map((each, index) => region(each, index, options.type))))));
  }

  // Light everything in this view that shares a region with these; none: put all out. What belongs to a region is looked up once.
  function light(root, regions) {
    root.classList.toggle("lighting", regions.length > 0);
    for (const element of root.lit) element.classList.remove("lit");
    root.lit = regions.flatMap((each) => root.belonging.get(each) || []);
    for (const element of root.lit) element.classList.add("lit");
  }

  function belonging(root) {
    const found = new Map();
    for (const element of root.querySelectorAll("[data-regions]")) {
      for (const each of element.dataset.regions.split(" ")) found.set(each, [...(found.get(each) || []), element]);
    }
    return found;
  }

  function bind(root) {
    let pinned = [];
    root.belonging = belonging(root);
    root.lit = [];
    const of = (event) => { const owner = event.target.closest("[data-regions]"); return owner ? owner.dataset.regions.split(" ") : null; };
    const pin = (regions) => {
      pinned = regions;
      light(root, pinned);
      for (const card of root.querySelectorAll(".region")) {
        const isIt = pinned.includes(card.dataset.regions);
        card.classList.toggle("pinned", isIt);
        if (isIt) for (const each of card.querySelectorAll("details")) each.open = true;
      }
    };
    root.addEventListener("pointerover", (event) => light(root, of(event) || pinned));
    root.addEventListener("pointerleave", () => light(root, pinned));
    root.addEventListener("focusin", (event) => light(root, of(event) || pinned));
    root.addEventListener("click", (event) => {
      const regions = of(event);
      if (!regions || event.target.closest("summary, .inner")) return;
      pin(String(regions) === String(pinned) ? [] : regions);
      if (pinned.length && !event.target.closest(".region")) reveal(root, pinned[0]);
    });
    root.addEventListener("keydown", (event) => { if (event.key === "Enter" && of(event) && !event.target.closest("summary")) pin(of(event)); });
    root.pin = pin;
  }

  function reveal(root, region) {
    const card = root.querySelector(`.region[data-regions="${region}"]`);
    if (card) card.scrollIntoView({ block: "nearest" });
  }

  function show(target, sample, labels, options, turn) {
    const views = sample.runs.map((own, number) => view(sample, own, labels[number], number, options));
    views.forEach(bind);
    const size = sample.width ? ` \u00b7 ${sample.width} \u00d7 ${sample.height} px` : "";
    target.replaceChildren(
      make("div", { class: "heading" }, make("h2", null, make("bdi", null, sample.key), make("small", null, make("bdi", null, ` ${sample.path}`), size)), turn),
      ...(sample.alt ? [make("p", { class: "about alt" }, "alt text ", make("bdi", null, sample.alt))] : []),
      make("div", { class: `views ${views.length > 1 ? "two" : "one"}` }, views));
    target.scrollTop = 0;
    return views;
  }

  return { show, reveal };
})();
