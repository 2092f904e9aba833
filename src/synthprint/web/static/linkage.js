// Which clips were joined in which order, drawn: similarity from left (alike) to right.

import { svg } from "./dom.js";
import { counted, fixed } from "./words.js";

const ROW = 24;
const NAMES = 250;
const WIDTH = 900;
const PLOT = WIDTH - NAMES - 20;
const MOST_NAMED = 30;

/** The items of a linkage from top to bottom, so that no two lines cross. */
export function order(count, merges) {
  const stack = [count + merges.length - 1];
  const found = [];
  while (stack.length) {
    const node = stack.pop();
    if (node < count) found.push(node);
    else stack.push(merges[node - count].b, merges[node - count].a);
  }
  return found;
}

const shortened = (name) => (name.length > MOST_NAMED ? `${name.slice(0, MOST_NAMED - 1)}…` : name);

/** The linkage of `names` as SVG; `groupOf` gives the number of a clip's group. */
export function linkage(names, merges, threshold, groupOf) {
  const least = Math.min(threshold, ...merges.map(({ similarity }) => similarity));
  const span = Math.max(0.05, 1 - least) * 1.04;
  const x = (similarity) => NAMES + (PLOT * (1 - similarity)) / span;
  const items = order(names.length, merges);
  const at = new Map(items.map((item, row) => [item, { x: NAMES, y: ROW * (row + 1.5) }]));
  const paths = merges.map(({ a, b, similarity }, k) => {
    const [one, other] = [at.get(a), at.get(b)];
    const right = Math.max(x(similarity), one.x, other.x);
    at.set(names.length + k, { x: right, y: (one.y + other.y) / 2 });
    return svg("path", {
      class: similarity >= threshold ? "joined" : "", d: `M${one.x} ${one.y}H${right}V${other.y}H${other.x}`,
    }, svg("title", {}, `mean cosine ${fixed(similarity)}`));
  });
  const height = ROW * (names.length + 2.5);
  const labels = items.map((item) => {
    const { y } = at.get(item);
    return [svg("text", { class: "number", x: 0, y: y + 4 }, String(groupOf(item))),
      svg("text", { x: NAMES - 10, y: y + 4, "text-anchor": "end" },
        shortened(names[item]), svg("title", {}, names[item]))];
  });
  const cut = x(threshold);
  const said = `Linkage of ${counted(names.length, "clip")}; joined from a mean cosine of ${fixed(threshold, 2)} on`;
  return svg("svg", { class: "linkage", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": said },
    svg("text", { class: "faint", x: 0, y: 12 }, "group"),
    svg("line", { class: "threshold", x1: cut, x2: cut, y1: ROW * 0.8, y2: height - ROW }),
    svg("text", { class: "faint", x: cut + 5, y: height - ROW * 0.9 }, `joined from ${fixed(threshold, 2)} on`),
    ticks(x, least, height), paths, labels);
}

function ticks(x, least, height) {
  const lines = [];
  for (let value = 1; value >= least - 0.02; value -= 0.1) {
    lines.push(svg("text", { class: "faint", x: x(value), y: height - 3, "text-anchor": "middle" }, fixed(value, 1)));
  }
  return lines;
}
