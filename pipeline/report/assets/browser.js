// The list, its filters and the keys. What is chosen stands in the address after #, so that a view can be linked to.
"use strict";
fgdata.browser = (() => {
  const { make, plain } = fgdata;
  const root = document.querySelector(".browser"), form = root.querySelector("form"), list = root.querySelector(".list"), detail = root.querySelector(".detail");
  const labels = root.dataset.labels ? root.dataset.labels.split(",") : [""];
  const NAMES = ["side", "find", "status", "stage", "reason", "type", "reject", "flag"].filter((name) => form.elements[name]);
  let shown = [], current = null, views = [], dropped = false;

  const texts = (view) => [...view.texts, ...view.regions.flatMap((region) => region.texts)];
  const FACETS = {
    status: (view) => [view.status],
    stage: (view) => [view.stage],
    reason: (view) => (view.reason ? [view.reason] : []),
    type: (view) => texts(view).flatMap((text) => text.negatives.map((negative) => negative.type)),
    reject: (view) => texts(view).flatMap((text) => Object.keys(text.rejects)),
    flag: (view) => view.flags,
  };

  const side = () => Number((form.elements.side && form.elements.side.value) || 0);
  const words = (sample, view) => [sample.key, sample.alt, view.long, view.short, ...view.regions.flatMap((region) => [region.phrase, region.short, region.long])].filter(Boolean).join("\n").toLowerCase();

  function prepare() {
    for (const sample of fgdata.samples) {
      sample.facets = sample.runs.map((view) => view && Object.fromEntries(Object.entries(FACETS).map(([name, of]) => [name, new Set(of(view))])));
      sample.words = sample.runs.map((view) => view && words(sample, view));
    }
    for (const name of Object.keys(FACETS)) {
      const counts = new Map();
      for (const sample of fgdata.samples) for (const value of new Set(sample.facets.filter(Boolean).flatMap((facets) => [...facets[name]]))) counts.set(value, (counts.get(value) || 0) + 1);
      const select = form.elements[name];
      select.append(...[...counts.keys()].sort().map((value) => make("option", { value }, `${plain(value)} (${counts.get(value)})`)));
      select.disabled = counts.size === 0;
    }
  }

  function fits(sample) {
    const facets = sample.facets[side()];
    if (!facets) return NAMES.every((name) => name === "side" || !form.elements[name].value);
    const sought = form.elements.find.value.trim().toLowerCase();
    return Object.keys(FACETS).every((name) => !form.elements[name].value || facets[name].has(form.elements[name].value)) && (!sought || sample.words[side()].includes(sought));
  }

  function entry(sample) {
    const view = sample.runs[side()];
    const status = view ? view.status : "absent";
    const picture = sample.picture ? make("img", { class: "thumb", src: sample.picture, alt: "", loading: "lazy" }) : make("span", { class: "thumb" }, "none");
    const told = !view ? "not in this run" : view.status === "ok" ? "ok" : `${view.status} at ${plain(view.stage)}${view.reason ? `: ${plain(view.reason)}` : ""}`;
    return make("li", null, make("button", { type: "button", "data-id": sample.id }, picture,
      make("span", null, make("bdi", { class: "name" }, sample.key), make("span", { class: `chip ${status}` }, told))));
  }

  function filter() {
    shown = fgdata.samples.filter(fits);
    list.replaceChildren(...shown.map(entry));
    form.querySelector("output").textContent = `${shown.length} of ${fgdata.samples.length} images`;
    if (!shown.includes(current)) current = shown[0] || null;
    show();
  }

  function show() {
    for (const button of list.querySelectorAll("button")) {
      const isIt = current !== null && Number(button.dataset.id) === current.id;
      if (isIt) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
      if (isIt) button.scrollIntoView({ block: "nearest" });
    }
    if (!current) { detail.replaceChildren(make("p", { class: "headline" }, fgdata.samples.length ? "No sampled image fits these filters." : "No image was sampled.")); views = []; }
    else views = fgdata.detail.show(detail, current, labels, { type: form.elements.type.value, dropped }, turn());
    remember();
  }

  function turn() {
    const place = shown.indexOf(current);
    const buttons = [["previous", -1, "\u2190"], ["next", 1, "\u2192"]].map(([name, by, arrow]) => {
      const button = make("button", { type: "button", "aria-label": `${name} image`, disabled: !shown[place + by] }, arrow);
      button.addEventListener("click", () => go(by));
      return button;
    });
    const check = make("input", { type: "checkbox", style: { width: "auto" } });
    check.checked = dropped;
    check.addEventListener("change", () => { dropped = check.checked; show(); });
    return make("div", { class: "turn" }, make("label", null, check, " dropped detections"), buttons);
  }

  function go(by) {
    const next = shown[shown.indexOf(current) + by];
    if (next) { current = next; show(); }
  }

  function remember() {
    const chosen = NAMES.map((name) => [name, form.elements[name].value]).filter(([name, value]) => value && !(name === "side" && value === "0"));
    if (current) chosen.push(["id", current.id]);
    history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  }

  function recall() {
    const chosen = new URLSearchParams(location.hash.slice(1));
    form.reset();
    for (const name of NAMES) {
      const value = chosen.get(name);
      if (value === null) continue;
      const select = form.elements[name];
      if (select.options && ![...select.options].some((option) => option.value === value)) select.append(make("option", { value }, `${plain(value)} (0)`));
      select.value = value;
    }
    current = chosen.has("id") ? fgdata.samples.find((sample) => sample.id === Number(chosen.get("id"))) || null : null;
    filter();
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input[type=search], select");
    if (event.key === "Escape") { if (typing) event.target.blur(); for (const view of views) if (view.pin) view.pin([]); return; }
    if (typing) return;
    if (event.key === "ArrowRight" || event.key === "j") go(1);
    else if (event.key === "ArrowLeft" || event.key === "k") go(-1);
    else if (event.key === "d" || event.key === "D") { dropped = !dropped; show(); }
    else if (event.key === "/") form.elements.find.focus();
    else if (/^[1-9]$/.test(event.key)) for (const view of views) { if (view.pin) { view.pin([String(Number(event.key) - 1)]); fgdata.detail.reveal(view, Number(event.key) - 1); } }
    else return;
    event.preventDefault();
  }

  function start() {
    prepare();
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    list.addEventListener("click", (event) => { const button = event.target.closest("button"); if (button) { current = fgdata.samples.find((sample) => sample.id === Number(button.dataset.id)); show(); } });
    document.addEventListener("keydown", key);
    addEventListener("hashchange", recall);
    recall();
  }

  return { start };
})();
