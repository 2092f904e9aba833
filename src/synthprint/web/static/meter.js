// One likelihood ratio as a drawing: which of two propositions it supports, how far, and whether it stands at a bound.

import { svg } from "./dom.js";
import { lrText, support } from "./words.js";

const WIDTH = 440;
const MIDDLE = WIDTH / 2;
const SIDE = 216; // pixels of the scale to either side of LR 1

/** A scale of `log10 LR` with `left` and `right` the propositions at its ends. */
export function meter(lr, left, right) {
  const most = Math.max(2, Math.ceil(Math.abs(lr.log10_lr)));
  const x = (value) => MIDDLE + (SIDE * value) / most;
  const ticks = [];
  for (let at = -most; at <= most; at += 1) {
    ticks.push(svg("line", { class: at ? "tick" : "zero", x1: x(at), x2: x(at), y1: at ? 18 : 14, y2: at ? 24 : 28 }));
  }
  const end = x(lr.log10_lr);
  const bound = end + 9 * lr.at_bound;
  const kind = lr.log10_lr < 0 ? "against" : "toward";
  const said = `log10 LR ${lrText(lr)}, ${right} against ${left}: ${support(lr.log10_lr)}`;
  const frame = { class: "meter", viewBox: `0 0 ${WIDTH} 46`, preserveAspectRatio: "xMinYMid meet" };
  return svg("svg", { ...frame, role: "img", "aria-label": said },
    svg("rect", { class: "band", x: x(-most), y: 20, width: 2 * SIDE, height: 2 }),
    svg("rect", { class: `band ${kind}`, x: Math.min(end, MIDDLE), y: 18, width: Math.abs(end - MIDDLE), height: 6 }),
    ticks,
    lr.at_bound ? svg("line", { class: "zero", x1: bound, x2: bound, y1: 15, y2: 27 }) : null,
    svg("circle", { class: "point", cx: end, cy: 21, r: 5.5 }),
    svg("text", { x: x(-most), y: 43 }, `← ${shortened(SHORTER[left] ?? left)}`),
    svg("text", { x: x(most), y: 43, "text-anchor": "end" }, `${shortened(right)} →`),
    svg("text", { x: end, y: 9, class: "value", "text-anchor": "middle" }, lrText(lr)));
}

const SHORTER = { "another system of the same publisher and format": "another, same publisher and format" };
const shortened = (text) => (text.length > 34 ? `${text.slice(0, 33)}…` : text);
