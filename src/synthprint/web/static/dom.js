// Elements built from text: what comes from the server never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, heard] of Object.entries(value)) node.addEventListener(event, heard);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element; `on` holds its listeners, strings among the children become text. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** A button that does one thing. */
export function button(text, pressed, attributes = {}) {
  return el("button", { type: "button", ...attributes, on: { click: pressed } }, text);
}

export const byId = (id) => document.getElementById(id);

/** A table in a frame that scrolls by itself; `columns` are [heading, class], the first cell of a row heads it. */
export function table(caption, columns, rows) {
  const head = el("tr", {}, columns.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)));
  const body = rows.map((cells) =>
    el("tr", {}, cells.map((cell, i) =>
      el(i ? "td" : "th", i ? { class: columns[i][1] } : { scope: "row", class: columns[0][1] }, cell))));
  const frame = { class: "scroll", role: "region", tabindex: 0, "aria-label": caption };
  return el("div", frame,
    el("table", {}, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, body)));
}

/** Pairs of a name and what it is. */
export function listed(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", {}, shown.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** Run `later` once nothing has happened for a while. */
export function settled(later, wait_ms) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => later(...given), wait_ms);
  };
}
