// Two clips, or two sets of clips: do they come from one source?

import { ratio, short } from "./answer.js";
import { announce, showProblem } from "./announce.js";
import { call, part } from "./api.js";
import { byId, button, el, listed } from "./dom.js";
import { meter } from "./meter.js";
import { counted, fixed, strength, support, weakerFirst } from "./words.js";

const SAME = "another system of the same publisher and format";

/** The panel: `work` is the case. */
export class Compare {
  constructor(work) {
    this.case = work;
    this.side = new Map(); // id of a clip -> "a" or "b"
    this.place = byId("panel-compare");
    this.trouble = el("div");
    this.result = el("div", { class: "result", tabindex: -1, "aria-label": "Comparison" });
    work.addEventListener("clips", () => { if (!this.place.hidden) this.show(); });
  }

  show() {
    const clips = this.case.answered;
    const intro = el("p", { class: "soft" }, "Put a clip, or several of one source, on either side.");
    if (clips.length < 2) {
      const needed = el("p", { class: "lead" }, "This needs two clips that were examined.");
      this.place.replaceChildren(el("h2", {}, "Compare"), needed);
      return;
    }
    if (!this.side.size && clips.length === 2) clips.forEach((clip, i) => this.side.set(clip.id, "ab"[i]));
    const rows = clips.map((clip) => el("tr", {},
      el("th", { scope: "row" }, clip.name, el("small", {}, short(clip.trace))),
      el("td", { class: "c" }, this.box(clip, "a")), el("td", { class: "c" }, this.box(clip, "b"))));
    this.place.replaceChildren(el("h2", {}, "Compare"), intro,
      el("div", { class: "pick scroll", role: "region", tabindex: 0, "aria-label": "Clips to compare" },
        el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Clip"),
          el("th", { scope: "col", class: "c" }, "One side"), el("th", { scope: "col", class: "c" }, "Other side"))),
        el("tbody", {}, rows))),
      el("div", { class: "row" }, button("Compare", () => this.run(), { class: "first", id: "run-compare" })),
      this.trouble, this.result);
  }

  box(clip, side) {
    const changed = (event) => {
      if (event.target.checked) this.side.set(clip.id, side);
      else this.side.delete(clip.id);
      const other = byId(`${side === "a" ? "b" : "a"}-${clip.id}`);
      if (event.target.checked) other.checked = false;
    };
    const name = `${clip.name} on ${side === "a" ? "one side" : "the other side"}`;
    return el("label", {}, el("input", {
      type: "checkbox", id: `${side}-${clip.id}`, checked: this.side.get(clip.id) === side, "aria-label": name,
      on: { change: changed },
    }));
  }

  ids(side) {
    return this.case.answered.filter(({ id }) => this.side.get(id) === side).map(({ id }) => id);
  }

  async run() {
    const [a, b] = [this.ids("a"), this.ids("b")];
    this.result.replaceChildren();
    if (!a.length || !b.length) {
      showProblem(this.trouble, { message: "Put at least one clip on each side." });
      return;
    }
    showProblem(this.trouble, null);
    announce("Comparing");
    try {
      const answer = await call("POST", `${this.case.url}/compare`, { json: { a, b } });
      this.result.replaceChildren(...this.shown(answer, a, b).filter(Boolean));
      this.result.focus();
      announce(answer.statement ?? "Compared");
    } catch (problem) {
      showProblem(this.trouble, problem);
    }
  }

  shown(answer, a, b) {
    const failures = Object.entries(answer.failures).map(([path, why]) => `${this.name(path)}: ${why}`);
    const warnings = [...answer.warnings, ...failures].map((text) => el("li", {}, text));
    return [verdict(answer), evidence(answer),
      warnings.length ? [el("h3", {}, "What limits it"), el("ul", { class: "warnings" }, warnings)] : null,
      el("h3", {}, "Side by side"),
      el("div", { class: "sides" }, this.column("One side", a, "a"), this.column("Other side", b, "b")),
      calibrations(answer)].flat();
  }

  name(path) {
    return this.case.clip(path)?.name ?? path;
  }

  column(title, ids, side) {
    const rows = ids.map((id) => this.case.clip(id)).map((clip) => el("li", {},
      el("strong", {}, clip.name), el("div", { class: "soft" }, short(clip.trace)),
      el("audio", {
        controls: true, preload: "none", "aria-label": clip.name,
        src: `${this.case.url}/clips/${part(clip.id)}/sound.wav`,
      })));
    return el("section", { class: `side ${side}`, "aria-label": title },
      el("h4", {}, `${title}: ${counted(ids.length, "clip")}`), el("ul", { class: "plain" }, rows));
  }
}

function verdict(answer) {
  const least = weights(answer)[0];
  const word = least ? strength(least.lr.log10_lr) : null;
  const text = !least ? "Nobody measured what this score is worth as evidence"
    : word === "no" ? "One source or two: the findings support neither"
      : `${word[0].toUpperCase()}${word.slice(1)} support for ${least.lr.log10_lr > 0 ? "one source" : "two sources"}`;
  const rule = answer.lr_same_publisher ? "; the weaker of two alternatives counts" : "";
  return el("p", { class: "verdict" }, el("strong", {}, text),
    el("span", { class: "soft tabular" }, `cosine ${fixed(answer.score)}${rule}`));
}

function weights(answer) {
  const both = [
    { lr: answer.lr_same_publisher, against: SAME },
    { lr: answer.lr, against: answer.lr_same_publisher ? "any other system" : "different sources" },
  ];
  return weakerFirst(both.filter(({ lr }) => lr));
}

function evidence(answer) {
  const items = weights(answer).map(({ lr, against }, i) => el("li", {},
    el("p", { class: "strength" }, `Against ${against}: `, el("span", {}, support(lr.log10_lr))),
    meter(lr, against, "the same source"),
    el("p", { class: "statement" }, answer.statements[i] ? `The finding is ${ratio(answer.statements[i])}.` : "")));
  return items.length ? el("ul", { class: "evidence" }, items) : null;
}

function calibrations(answer) {
  const rows = [["Same publisher", answer.calibration_same_publisher], ["Any other", answer.calibration]]
    .filter(([, one]) => one)
    .map(([name, { population: of, quality }]) => [name, `${counted(of.clips, "clip")} of ` +
      `${counted(of.sources, "source")}, ${of.data}; Cllr ${quality.cllr.toFixed(2)} on sources held out`]);
  const summary = el("summary", {}, "What the likelihood ratios stand on");
  return rows.length ? el("details", {}, summary, listed(rows)) : null;
}
