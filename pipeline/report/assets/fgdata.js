// The one global: samples as they come in from data/*.js, and a maker of elements that never parses text as markup.
"use strict";
window.fgdata = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const COLOURS = ["#c23b50", "#2e6f95", "#8a6b00", "#3a7d44", "#8e5572", "#b5541c", "#4056a1", "#0b7a75", "#7b5ea7", "#9b2226"];
  const samples = [];

  function fill(element, fields, children) {
    for (const [name, value] of Object.entries(fields || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "colour") element.style.setProperty("--c", value);
      else if (name === "style") Object.assign(element.style, value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }

  return {
    samples,
    add: (more) => samples.push(...more),
    make: (tag, fields, ...children) => fill(document.createElement(tag), fields, children),
    draw: (tag, fields, ...children) => fill(document.createElementNS(SVG, tag), fields, children),
    colour: (index) => COLOURS[index % COLOURS.length],
    plain: (word) => String(word).replaceAll("_", " "),
  };
})();
