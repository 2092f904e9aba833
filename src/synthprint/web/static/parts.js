// Parts of a clip: where its source changes, and any stretch traced alone.

import { alone, short } from "./answer.js";
import { announce, problemNote, showProblem } from "./announce.js";
import { call, part } from "./api.js";
import { button, el } from "./dom.js";
import { lanes } from "./lanes.js";
import { Sound } from "./sound.js";
import { maker, seconds } from "./words.js";

const LONG_S = 900; // from here on the browser would load more than 30 MB for each clip that is looked at

/** Sound, timeline and traced parts of one clip; `ended` puts it away. */
export class Parts {
  constructor(work, clip) {
    this.url = `${work.url}/clips/${part(clip.id)}`;
    this.clip = clip;
    this.duration_s = clip.duration_s ?? clip.trace.duration_s;
    this.sound = new Sound(`${this.url}/sound.wav`, this.duration_s);
    this.from = this.field("From, s", 0);
    this.to = this.field("To, s", this.duration_s);
    this.traceButton = el("button", { type: "submit", class: "first" }, "Trace this part");
    this.trouble = el("div");
    this.over = el("div");
    this.traced = el("div");
    this.node = el("section", { class: "sound", "aria-label": "Sound" }, this.sound.node, this.form(), this.trouble,
      this.traced, this.over);
    this.sound.addEventListener("marked", ({ detail }) => this.fill(detail.start_s, detail.end_s));
    this.sound.addEventListener("part", ({ detail }) => this.open(this.timeline.segments[detail.index]));
    this.sound.addEventListener("failed", ({ detail }) => showProblem(this.trouble, detail));
  }

  field(name, value) {
    const input = el("input", {
      type: "number", min: 0, max: this.duration_s, step: 0.01, value: Number(value.toFixed(2)),
      on: { change: () => this.sound.select(Number(this.from.value), Number(this.to.value)) },
    });
    this[name] = el("label", {}, name, input);
    return input;
  }

  form() {
    const submitted = (event) => {
      event.preventDefault();
      this.trace(Number(this.from.value), Number(this.to.value));
    };
    const frame = { class: "part-form", novalidate: true, "aria-label": "A part of the clip" };
    return el("form", { ...frame, on: { submit: submitted } },
      this["From, s"], this["To, s"],
      button("Hear it", () => this.sound.hear(Number(this.from.value), Number(this.to.value))),
      this.traceButton,
      el("p", { class: "soft small" }, "Drag over the waveform, or type times, to mark a part."));
  }

  fill(start_s, end_s) {
    this.from.value = Number(Math.max(0, start_s).toFixed(2));
    this.to.value = Number(Math.min(this.duration_s, end_s).toFixed(2));
  }

  /** The part starts, or ends, where the cursor stands. */
  edge(which) {
    this[which].value = Number(this.sound.now_s.toFixed(2));
    this.sound.select(Number(this.from.value), Number(this.to.value));
    announce(`Part from ${this.from.value} to ${this.to.value} seconds`);
  }

  /** Draw the sound and look for changes; of a long clip when that is asked for. */
  start() {
    if (this.duration_s <= LONG_S) {
      this.look();
      return;
    }
    this.over.replaceChildren(button(`Draw the sound and look for changes (${(this.duration_s / 60).toFixed(0)} min)`,
      () => this.look()));
  }

  async look() {
    this.sound.start();
    this.over.replaceChildren(el("p", { class: "soft" }, "Looking for changes of source within the clip …"));
    try {
      this.timeline = await call("GET", `${this.url}/timeline`);
      this.show(this.timeline);
    } catch (problem) {
      this.over.replaceChildren(el("h3", {}, "Over time"), problemNote(problem));
    }
  }

  show(timeline) {
    const { changes, segments } = timeline;
    const times = changes.map(({ time_s, strength }) => `${seconds(time_s, 1)} (strength ${strength.toFixed(1)})`);
    const summary = changes.length
      ? `The source seems to change within the clip, at ${times.join(", ")}.`
      : `No change of source was found in ${seconds(timeline.duration_s, 1)}.`;
    this.sound.parts(segments.map((one) => ({ ...one, name: maker(one.trace) })));
    const rows = segments.map((one) => el("li", {},
      el("span", { class: "when" }, `${one.start_s.toFixed(2)} – ${seconds(one.end_s)}`),
      el("span", { class: "who" }, short(one.trace)),
      el("span", { class: "row" },
        button("Hear", () => this.sound.hear(one.start_s, one.end_s), named("Hear", one)),
        button("Trace alone", () => this.open(one), named("Trace alone", one)))));
    const warnings = timeline.warnings.map((text) => el("li", {}, text));
    this.over.replaceChildren(...[el("h3", {}, "Over time"), lanes(timeline),
      el("p", { class: changes.length ? "" : "soft" }, summary),
      warnings.length ? el("ul", { class: "warnings" }, warnings) : null,
      el("ol", { class: "parts", "aria-label": "Parts of the clip" }, rows)].filter(Boolean));
  }

  /** A part of the timeline: heard, and traced alone. */
  open(one) {
    this.fill(one.start_s, one.end_s);
    this.sound.hear(one.start_s, one.end_s);
    this.trace(one.start_s, one.end_s);
  }

  async trace(start_s, last_s) {
    if (this.traceButton.disabled) return;
    const end_s = Math.min(last_s, this.duration_s); // the fields round
    showProblem(this.trouble, null);
    this.traceButton.disabled = true;
    announce("Tracing the part");
    try {
      const answer = await call("POST", `${this.url}/regions`, { json: { start_s, end_s } });
      const title = `${start_s.toFixed(2)} – ${seconds(end_s)} alone`;
      this.traced.prepend(alone(answer.trace ?? answer, title));
      announce(`${title}: ${short(answer.trace ?? answer)}`);
    } catch (problem) {
      showProblem(this.trouble, problem);
    }
    this.traceButton.disabled = false;
  }

  end() {
    this.sound.end();
  }
}

const named = (what, one) =>
  ({ class: "small", "aria-label": `${what}, ${one.start_s.toFixed(2)} to ${seconds(one.end_s)}` });
