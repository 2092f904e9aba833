// Many clips: which come from one source, which of these are new, and a new one enrolled by name.

import { limiting, verdict } from "./answer.js";
import { announce, showProblem } from "./announce.js";
import { call } from "./api.js";
import { byId, button, el } from "./dom.js";
import { enrol } from "./enrol.js";
import { linkage } from "./linkage.js";
import { counted, fixed, lrText } from "./words.js";

const MOST_DRAWN = 400;

/** The panel: `work` is the case. */
export class Groups {
  constructor(work) {
    this.case = work;
    this.place = byId("panel-groups");
    this.trouble = el("div");
    this.result = el("div", { class: "result", tabindex: -1, "aria-label": "Groups" });
    this.threshold = el("input", { type: "number", min: -1, max: 1, step: "any", placeholder: "measured" });
    this.run = this.run.bind(this);
    work.addEventListener("clips", () => { if (!this.place.hidden) this.show(); });
  }

  show() {
    if (this.case.answered.length < 2) {
      const needed = el("p", { class: "lead" }, "This needs two clips that were examined.");
      this.place.replaceChildren(el("h2", {}, "Groups"), needed);
      return;
    }
    if (this.result.isConnected) return;
    this.place.replaceChildren(el("h2", {}, "Groups"),
      el("p", { class: "soft" },
        "Clips that one system made, as far as their scores tell, and whether that system is enrolled."),
      el("form", { class: "inline-form", on: { submit: this.run } },
        el("label", {}, "Threshold, mean cosine", this.threshold),
        el("button", { class: "first" }, "Group all clips")),
      this.trouble, this.result);
  }

  async run(event) {
    event?.preventDefault();
    showProblem(this.trouble, null);
    announce("Grouping");
    const json = { clips: null };
    if (this.threshold.value !== "") json.threshold = Number(this.threshold.value);
    try {
      const answer = await call("POST", `${this.case.url}/cluster`, { json });
      this.result.replaceChildren(...this.shown(answer).flat().filter(Boolean));
      this.result.focus();
      announce(`${counted(answer.groups.length, "group")} of ${counted(answer.clips.length, "clip")}`);
    } catch (problem) {
      showProblem(this.trouble, problem);
    }
  }

  /** Paths of clips as the case has them, one below the other. */
  inOrder(paths) {
    const place = new Map(this.case.clips.map(({ id }, i) => [id, i]));
    return [...paths].sort((a, b) => (place.get(a) ?? 0) - (place.get(b) ?? 0));
  }

  name(path) {
    return this.case.clip(path)?.name ?? path;
  }

  shown(answer) {
    const numberOf = new Map(answer.groups.flatMap((group) => group.clips.map((path) => [path, group.number])));
    const paths = answer.clips.map(({ path }) => path).filter((path) => numberOf.has(path));
    const names = paths.map((path) => this.name(path));
    const failures = Object.entries(answer.failures ?? {}).map(([path, why]) => `${this.name(path)}: ${why}`);
    const twice = (answer.same_file ?? []).map((same) => this.inOrder(same).map((path) => this.name(path)).join(", "));
    const drawn = answer.linkage.length && paths.length === answer.linkage.length + 1 && paths.length <= MOST_DRAWN;
    return [
      el("p", { class: "verdict" }, el("strong", {}, counted(answer.groups.length, "group")),
        el("span", { class: "soft tabular" }, cost(answer))),
      items(answer.warnings, "warnings"),
      el("ol", { class: "groups", "aria-label": "Groups" }, answer.groups.map((group) => this.group(group, answer))),
      headed("Human speech, in no group", this.inOrder((answer.human ?? []).map(({ path }) => path))
        .map((path) => this.name(path))),
      headed("The same file more than once", twice),
      headed("Could not be examined", failures),
      drawn ? [el("h3", {}, "Linkage"),
        el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Linkage" },
          linkage(names, answer.linkage, answer.threshold, (item) => numberOf.get(paths[item])))] : null,
    ];
  }

  group(group, answer) {
    const ids = group.clips.filter((path) => this.case.clip(path));
    const lr = group.nearest_lr ? `, one source against two: log10 LR ${lrText(group.nearest_lr)}` : "";
    const nearest = group.nearest === null ? null : `Nearest: group ${group.nearest}${lr}`;
    const reasons = group.trace ? limiting(group.trace) : null;
    const inside = group.mean_cosine === null ? null
      : `Mean cosine ${fixed(group.mean_cosine)}, least ${fixed(group.least_cosine)}`;
    return el("li", {},
      el("h3", {}, `Group ${group.number} · ${counted(group.clips.length, "clip")}`),
      group.trace ? verdict(group.trace) : el("p", {}, group.verdict),
      el("ul", {}, this.inOrder(group.clips).map((path) => el("li", {}, this.name(path)))),
      el("p", { class: "soft small tabular" }, [inside, nearest].filter(Boolean).join(". ")),
      reasons ? el("details", { class: "small" }, el("summary", {}, "What limits it"), reasons) : null,
      ids.length ? el("div", { class: "row enrols" }, button("Enrol as a new system", () => this.enrol(group, ids),
        { class: "small", "aria-label": `Enrol as a new system: group ${group.number}` })) : null);
  }

  async enrol(group, ids) {
    const done = await enrol({
      what: `The ${counted(ids.length, "clip")} of group ${group.number} will stand for it.`,
      gallery: this.case.record.gallery, sent: { case: this.case.id, clips: ids },
    });
    if (!done) return;
    this.trouble.replaceChildren(el("p", { class: "done" }, `${done.text} `,
      el("a", { href: `/galleries/${encodeURIComponent(done.gallery)}` }, "See the gallery")));
  }
}

function items(texts, kind) {
  return texts.length ? el("ul", { class: kind }, texts.map((text) => el("li", {}, text))) : null;
}

function headed(title, texts) {
  return texts.length ? [el("h3", {}, title), items(texts)] : null;
}

function cost({ threshold, tuning }) {
  const at = `joined from a mean cosine of ${fixed(threshold, 2)} on`;
  if (!tuning) return at;
  const share = (value) => `${(100 * value).toFixed(0)} %`;
  const [wrong, missed] = [share(tuning.wrong), share(tuning.missed)];
  return `${at}; measured: ${wrong} of joined pairs wrong, ${missed} of pairs of one source missed`;
}
