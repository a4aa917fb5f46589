// Texts with marked spans. Offsets count characters as Python does, so strings are cut by code point and not by UTF-16 unit.
"use strict";
fgdata.words = (() => {
  const { make, colour } = fgdata;
  const cut = (characters, start, end) => characters.slice(start, end).join("");

  // The long caption; each phrase is tied to the regions that it names.
  function caption(view) {
    const characters = Array.from(view.long);
    const spans = view.phrases.map((phrase) => ({ ...phrase, regions: [] }));
    view.regions.forEach((region, index) => {
      const span = spans.find((each) => each.start === region.start && each.end === region.end);
      if (span) span.regions.push(index);
      else if (region.start !== null) spans.push({ start: region.start, end: region.end, mark: null, regions: [index] });
    });
    const ends = [...new Set([0, characters.length, ...spans.flatMap((span) => [span.start, span.end])])].filter((end) => end >= 0 && end <= characters.length);
    ends.sort((a, b) => a - b);
    const pieces = ends.slice(0, -1).map((start, i) => piece(characters, start, ends[i + 1], spans));
    return make("p", { class: "caption", dir: "auto" }, pieces);
  }

  function piece(characters, start, end, spans) {
    const over = spans.filter((span) => span.start <= start && span.end >= end);
    const text = cut(characters, start, end);
    if (!over.length) return text;
    const regions = [...new Set(over.flatMap((span) => span.regions))];
    const why = over.every((span) => span.mark) ? `not asked of the detector: ${fgdata.plain(over[0].mark)}` : regions.length ? null : "no box was kept";
    const tied = regions.length > 0;
    return make("span", {
      class: `phrase${tied ? " tied" : ""}${over.every((span) => span.mark) ? " unasked" : ""}`,
      "data-regions": tied ? regions.join(" ") : null,
      colour: tied ? colour(regions[0]) : null,
      tabindex: tied ? 0 : null,
      title: why,
    }, text);
  }

  // The positive with its edits: what was there struck out, what came instead marked.
  function edited(positive, negative) {
    const characters = Array.from(positive);
    const edits = [...negative.edits].sort((a, b) => a.start - b.start);
    const parts = [];
    let place = 0;
    for (const edit of edits) {
      parts.push(cut(characters, place, edit.start));
      if (edit.old) parts.push(make("del", null, edit.old), " ");
      parts.push(make("ins", null, edit.new));
      place = edit.end;
    }
    parts.push(cut(characters, place, characters.length));
    return make("span", { class: "text", dir: "auto", title: negative.text }, edits.length ? parts : negative.text);
  }

  return { caption, edited };
})();
