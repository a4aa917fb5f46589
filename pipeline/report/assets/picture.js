// The image with its boxes as SVG above it; a box knows its region by data-regions.
"use strict";
fgdata.picture = (() => {
  const { make, draw, colour } = fgdata;
  const MOST_LABELS = 200; // of more boxes the numbers would cover the picture

  function box(region, index) {
    const [x0, y0, x1, y1] = region.xyxy;
    const place = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) };
    const told = `region ${index + 1}: ${region.phrase}${region.score === null ? "" : `, score ${region.score.toFixed(2)}`}`;
    return draw("g", { "data-regions": index, colour: colour(index), tabindex: 0, role: "button", "aria-label": told },
      draw("rect", { class: "halo", ...place }),
      draw("rect", { class: "box", ...place }, draw("title", null, told)));
  }

  function label(region, index, width, height) {
    const [x0, y0] = region.xyxy;
    const under = y0 < height * 0.06;
    return make("span", { class: `label badge${under ? " under" : ""}`, "aria-hidden": "true", colour: colour(index),
      style: { left: `${(100 * x0) / width}%`, top: `${(100 * y0) / height}%` } }, String(index + 1));
  }

  function show(sample, view, showDropped) {
    const width = sample.width || 4, height = sample.height || 3;
    const picture = sample.picture
      ? make("img", { src: sample.picture, alt: `Image ${sample.key}${view && view.short ? `: ${view.short}` : ""}`, width, height })
      : make("div", { class: "none", style: { aspectRatio: `${width} / ${height}` } }, `no picture: ${fgdata.plain(sample.missing)}`);
    if (!view || !sample.width) return make("figure", { class: "picture" }, picture);
    const boxed = view.regions.map((region, index) => ({ region, index })).filter(({ region }) => region.xyxy);
    const dropped = showDropped ? view.dropped.map((each) => {
      const [x0, y0, x1, y1] = each.xyxy;
      return draw("rect", { class: "dropped", x: x0, y: y0, width: x1 - x0, height: y1 - y0 },
        draw("title", null, `dropped: ${each.phrase}${each.score === null ? "" : `, score ${each.score.toFixed(2)}`}`));
    }) : [];
    const order = boxed.map(({ region, index }) => ({ region, index, size: (region.xyxy[2] - region.xyxy[0]) * (region.xyxy[3] - region.xyxy[1]) }));
    order.sort((a, b) => b.size - a.size); // the small ones on top, so that each can be pointed at
    return make("figure", { class: "picture" }, picture,
      draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", role: "group", "aria-label": `${boxed.length} boxes` },
        dropped, order.map(({ region, index }) => box(region, index))),
      boxed.slice(0, MOST_LABELS).map(({ region, index }) => label(region, index, width, height)));
  }

  return { show };
})();
