"use strict";
// The page of `synthprint map`. What stands in the data comes from strangers: it is only ever set as text.

const data = JSON.parse(document.getElementById("data").textContent);
const { sources, points } = data;
const count = points.x.length;
const DIM = "#888888", DIM_ALPHA = 0.12, POINT_ALPHA = 0.85, REACH_PX = 14, MOST_ZOOM = 400;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const canvas = byId("points"), pen = canvas.getContext("2d"), clip = byId("clip"), query = byId("query");

// Points are drawn in an order that mixes the sources: the last one does not bury the others.
const order = mixed(count);
// The map at zoom 1 fills the canvas; `middle` is the point of the map in its middle.
const view = { zoom: 1, middle: [0, 0], fit: 1, width: 1, height: 1 };
const bounds = { x: extent(points.x), y: extent(points.y) };
const hidden = new Set();   // sources that are not shown
let lit = null;             // the source whose legend entry is pointed at
let found = null;           // the points that are found, or null without a query
let at = -1;                // which of those is selected
let hovered = null, selected = null;
let waiting = false;

function mixed(n) {
  const gcd = (a, b) => (b ? gcd(b, a % b) : a);
  let step = Math.max(1, Math.round(n * 0.618));
  while (gcd(step, n) > 1) step += 1;
  return Uint32Array.from({ length: n }, (_, i) => (i * step) % n);
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  return [low, high];
}

// ---- the plane ------------------------------------------------------------------------------------------------------

function resize() {
  const box = canvas.getBoundingClientRect(), dense = window.devicePixelRatio || 1;
  view.width = box.width; view.height = box.height;
  canvas.width = Math.round(box.width * dense); canvas.height = Math.round(box.height * dense);
  const span = ([low, high]) => Math.max(high - low, 1e-6);
  view.fit = Math.min(box.width / span(bounds.x), box.height / span(bounds.y)) * 0.92;
  redraw();
}

function whole() {
  view.zoom = 1;
  view.middle = [(bounds.x[0] + bounds.x[1]) / 2, (bounds.y[0] + bounds.y[1]) / 2];
  redraw();
}

function onScreen(i) {
  const scale = view.fit * view.zoom;
  return [
    view.width / 2 + (points.x[i] - view.middle[0]) * scale,
    view.height / 2 - (points.y[i] - view.middle[1]) * scale,
  ];
}

function move(dx, dy) {
  const scale = view.fit * view.zoom;
  view.middle = [view.middle[0] - dx / scale, view.middle[1] + dy / scale];
  redraw();
}

function zoom(factor, x = view.width / 2, y = view.height / 2) {
  const before = view.zoom;
  view.zoom = Math.min(Math.max(before * factor, 0.5), MOST_ZOOM);
  const change = 1 / (view.fit * before) - 1 / (view.fit * view.zoom);  // what is under (x, y) stays there
  view.middle = [view.middle[0] + (x - view.width / 2) * change, view.middle[1] - (y - view.height / 2) * change];
  redraw();
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function draw() {
  const dense = window.devicePixelRatio || 1;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const radius = (count > 5000 ? 3.2 : 4.2) * Math.min(view.zoom ** 0.25, 2.2);
  const wanted = found && new Set(found);
  const stands = (i) => (lit === null || points.source[i] === lit) && (!wanted || wanted.has(i));
  const someDimmed = lit !== null || wanted !== null;
  const stamps = new Map();
  for (const standing of someDimmed ? [false, true] : [true]) {
    pen.globalAlpha = standing ? POINT_ALPHA : DIM_ALPHA;
    for (const i of order) {
      if (hidden.has(points.source[i]) || (someDimmed && stands(i) !== standing)) continue;
      const [x, y] = onScreen(i);
      if (x < -20 || y < -20 || x > view.width + 20 || y > view.height + 20) continue;
      const colour = standing ? sources[points.source[i]].colour : DIM;
      const stamp = stampOf(stamps, colour, points.mark[i], radius * dense);
      // Whole pixels: a stamp that is copied as it is costs little.
      pen.drawImage(stamp, Math.round(x * dense - stamp.width / 2), Math.round(y * dense - stamp.height / 2));
    }
  }
  pen.globalAlpha = 1;
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  for (const i of [selected, hovered]) if (i !== null && !hidden.has(points.source[i])) ring(...onScreen(i), radius + 4);
  placeClip();
}

function stampOf(stamps, colour, mark, radius) {
  const key = `${colour} ${mark}`;
  if (!stamps.has(key)) {
    const stamp = document.createElement("canvas"), side = Math.ceil(2.6 * radius);
    stamp.width = stamp.height = side;
    const ink = stamp.getContext("2d");
    ink.fillStyle = colour;
    ink.beginPath();
    for (const [x, y] of data.shapes[mark]) ink.lineTo(side / 2 + x * radius, side / 2 - y * radius);
    ink.fill();
    stamps.set(key, stamp);
  }
  return stamps.get(key);
}

function ring(x, y, radius) {
  pen.strokeStyle = getComputedStyle(document.body).color;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.stroke();
}

// ---- a clip ---------------------------------------------------------------------------------------------------------

function nearest(x, y) {
  let best = null, least = REACH_PX ** 2;
  for (let i = 0; i < count; i += 1) {
    if (hidden.has(points.source[i])) continue;
    const [px, py] = onScreen(i), distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) { least = distance; best = i; }
  }
  return best;
}

function told() { return hovered ?? selected; }

function showClip() {
  const i = told();
  clip.hidden = i === null;
  if (i === null) return;
  const source = sources[points.source[i]];
  const rows = {
    id: points.id[i], source: source.name, family: source.family, language: points.language[i],
    split: points.split[i], path: points.path[i],
  };
  clip.replaceChildren();
  for (const [name, value] of Object.entries(rows)) {
    if (value === null) continue;
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    clip.append(term, text);
  }
}

function placeClip() {
  const i = told();
  if (i === null) return;
  const [x, y] = onScreen(i), { offsetWidth: wide, offsetHeight: high } = clip;
  clip.classList.toggle("low", y < view.height / 2);  // on a phone it is as wide as the map
  const left = x + 16 + wide < view.width ? x + 16 : x - 16 - wide;
  clip.style.left = `${Math.min(Math.max(left, 4), Math.max(view.width - wide - 4, 4))}px`;
  clip.style.top = `${Math.min(Math.max(y + 16, 4), Math.max(view.height - high - 4, 4))}px`;
}

function hover(i) {
  if (i === hovered) return;
  hovered = i;
  showClip();
  redraw();
}

function select(i) {
  selected = i;
  showClip();
  if (i !== null) {
    hidden.delete(points.source[i]);
    const [x, y] = onScreen(i);
    if (x < 0 || y < 0 || x > view.width || y > view.height) view.middle = [points.x[i], points.y[i]];
  }
  refresh();
}

// ---- pointers and keys on the plane ---------------------------------------------------------------------------------

const down = new Map();  // pointer -> its place
let moved = 0;

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  if (!down.size) moved = 0;
  down.set(event.pointerId, place(event));
});

canvas.addEventListener("pointermove", (event) => {
  const here = place(event), before = down.get(event.pointerId);
  if (!before) return hover(nearest(...here));
  const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
  down.set(event.pointerId, here);
  moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
  if (other) {
    const apart = (p) => Math.max(Math.hypot(p[0] - other[0], p[1] - other[1]), 1);
    zoom(apart(here) / apart(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
    move((here[0] - before[0]) / 2, (here[1] - before[1]) / 2);
  } else if (moved > 4) {
    move(here[0] - before[0], here[1] - before[1]);
  }
});

function lift(event) {
  if (down.delete(event.pointerId) && !down.size && moved <= 4 && event.type === "pointerup") {
    hovered = null;
    select(nearest(...place(event)));
  }
}
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);
canvas.addEventListener("pointerleave", () => hover(null));

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
  zoom(Math.exp(-Math.min(Math.max(pixels, -200), 200) * 0.0025), ...place(event));
}, { passive: false });

const KEYS = {
  ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60),
  ArrowDown: () => move(0, -60), "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: whole,
  Escape: () => select(null),
};
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
byId("closer").addEventListener("click", () => zoom(1.6));
byId("farther").addEventListener("click", () => zoom(1 / 1.6));
byId("whole").addEventListener("click", whole);

// ---- search ---------------------------------------------------------------------------------------------------------

let texts = null;  // what is searched, made when it is first needed

function search() {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  texts ??= Array.from({ length: count }, (_, i) => {
    const { name, family } = sources[points.source[i]];
    return [points.id[i], name, family, points.language[i], points.split[i], points.path[i]].join("\n").toLowerCase();
  });
  found = null;
  if (words.length) {
    found = [];
    texts.forEach((text, i) => { if (words.every((word) => text.includes(word))) found.push(i); });
  }
  at = -1;
  selected = null;
  showClip();
  tellFound();
  redraw();
}

function tellFound() {
  const place = at < 0 ? "" : `${(at + 1).toLocaleString("en")} of `;
  byId("found").textContent = found === null ? "" : `${place}${found.length.toLocaleString("en")} found`;
}

function step(by) {
  if (!found?.length) return;
  at = at < 0 && by < 0 ? found.length - 1 : (at + by + found.length) % found.length;
  tellFound();
  select(found[at]);
}

query.addEventListener("input", search);
query.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  step(event.shiftKey ? -1 : 1);
});
byId("search").addEventListener("submit", (event) => event.preventDefault());

// ---- legend ---------------------------------------------------------------------------------------------------------

const entries = new Map();  // source -> its button

function swatch(mark, colour) {
  const svg = document.createElementNS(SVG, "svg"), outline = document.createElementNS(SVG, "polygon");
  svg.setAttribute("viewBox", "-1.25 -1.25 2.5 2.5");
  svg.setAttribute("aria-hidden", "true");
  outline.setAttribute("points", data.shapes[mark].map(([x, y]) => `${x},${-y}`).join(" "));
  outline.setAttribute("fill", colour);
  svg.append(outline);
  return svg;
}

function element(name, text, type) {
  const made = document.createElement(name);
  made.textContent = text;
  if (name === "button") made.type = "button";
  if (type) made.className = type;
  return made;
}

function entry(source, size) {
  const row = element("div", "", "entry"), button = element("button", "", "source"), only = element("button", "only", "only");
  const { name, colour, mark } = sources[source];
  button.append(swatch(mark, colour), element("span", name), element("span", size.toLocaleString("en"), "count"));
  button.addEventListener("click", () => toggle([source]));
  only.setAttribute("aria-label", `only ${name}`);
  only.addEventListener("click", () => {
    sources.forEach((_, other) => hidden.add(other));
    hidden.delete(source);
    refresh();
  });
  const light = (which) => () => { lit = which; redraw(); };
  row.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") light(source)(); });
  row.addEventListener("pointerleave", light(null));
  button.addEventListener("focus", () => { if (button.matches(":focus-visible")) light(source)(); });
  button.addEventListener("blur", light(null));
  row.append(button, only);
  entries.set(source, button);
  return row;
}

function buildLegend() {
  const sizes = new Array(sources.length).fill(0), legend = byId("legend");
  for (const source of points.source) sizes[source] += 1;
  if (data.marks.length) {
    const list = element("ul", "");
    list.id = "marks";
    for (const [value, mark] of data.marks) {
      const item = element("li", "");
      item.append(swatch(mark, "currentColor"), element("span", value));
      list.append(item);
    }
    legend.append(element("h2", `Marks: ${data.marked}`), list);
  }
  for (const [family, members] of data.groups) {
    if (family !== null || data.groups.length > 1) {
      const heading = element("h2", ""), button = element("button", family ?? "alone in their family");
      button.title = "hide or show these";
      button.addEventListener("click", () => toggle(members));
      heading.append(button);
      legend.append(heading);
    }
    for (const source of members) legend.append(entry(source, sizes[source]));
  }
}

function toggle(members) {
  const hide = members.some((source) => !hidden.has(source));
  for (const source of members) hidden[hide ? "add" : "delete"](source);
  refresh();
}

function refresh() {
  for (const [source, button] of entries) button.setAttribute("aria-pressed", String(!hidden.has(source)));
  redraw();
}

byId("show").addEventListener("click", () => { hidden.clear(); refresh(); });
byId("hide").addEventListener("click", () => { sources.forEach((_, source) => hidden.add(source)); refresh(); });

// ---- start ----------------------------------------------------------------------------------------------------------

byId("caption").textContent = data.caption;
canvas.setAttribute("aria-label", data.caption);
buildLegend();
refresh();
whole();
new ResizeObserver(resize).observe(canvas);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
