// Scores of windows over time, under the waveform they belong to.

import { el, svg } from "./dom.js";

const WIDTH = 1000;
const HEIGHT = 90;
const MOST = 3;

const stroke = (kind) => ({ class: `lane l${kind}`, "vector-effect": "non-scaling-stroke" });
const sample = (kind) =>
  svg("svg", { class: "lanes", viewBox: "0 0 26 8" }, svg("line", { ...stroke(kind), x1: 0, x2: 26, y1: 4, y2: 4 }));

/** The leading sources of a timeline as lines, its changes as dashed rules; null for a single window. */
export function lanes(timeline) {
  const { centres_s: centres, scores } = timeline.windows;
  const names = Object.keys(scores).slice(0, MOST);
  if (centres.length < 2 || !names.length) return null;
  const values = names.flatMap((name) => scores[name]);
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low + 0.1);
  const x = (time_s) => (WIDTH * time_s) / timeline.duration_s;
  const y = (score) => HEIGHT - 3 - ((HEIGHT - 6) * (score - low)) / (high - low);
  const points = (name) => centres.map((at, i) => `${x(at).toFixed(1)},${y(scores[name][i]).toFixed(1)}`).join(" ");
  const cut = { class: "cut", y1: 0, y2: HEIGHT, "vector-effect": "non-scaling-stroke" };
  const cuts = timeline.changes.map(({ time_s }) => svg("line", { ...cut, x1: x(time_s), x2: x(time_s) }));
  return el("figure", { class: "figure" },
    svg("svg", {
      class: "lanes", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, height: HEIGHT, preserveAspectRatio: "none", role: "img",
      "aria-label": `Scores over time of ${names.join(", ")}`,
    }, names.map((name, i) => svg("polyline", { ...stroke(i), points: points(name) })), cuts),
    el("ul", { class: "legend" }, names.map((name, i) => el("li", {}, sample(i), name))));
}
