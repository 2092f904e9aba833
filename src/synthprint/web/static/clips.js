// The clips of the case: the list of them, how far examining is, and the answer to the one that is open.

import { numbers, short, words } from "./answer.js";
import { announce, problemNote, showProblem } from "./announce.js";
import { call, part } from "./api.js";
import { stateOf } from "./case.js";
import { byId, button, el, listed } from "./dom.js";
import { chosen, dropped } from "./drop.js";
import { Parts } from "./parts.js";
import { Queue } from "./queue.js";
import { counted } from "./words.js";

const STATES = {
  waiting: "waits", examining: "being examined …", stopped: "not examined", failed: "could not be examined",
  "cut off": "the service ended before its answer",
};
const SPOKEN_EVERY_MS = 2500; // a screen reader is not drowned by a large batch

/** The bench: `work` is the case. */
export class Clips {
  constructor(work) {
    this.case = work;
    this.queue = new Queue(work);
    this.rows = new Map();
    this.current = null;
    this.parts = null;
    this.spoken = 0;
    work.addEventListener("clips", ({ detail }) => (detail ? this.showRow(detail) : this.showRows()));
    this.queue.addEventListener("turn", ({ detail }) => this.turned(detail));
    this.queue.addEventListener("rest", () => this.rested());
    this.fields();
    this.catchDrops();
  }

  fields() {
    for (const [opener, field] of [["add-clips", "files"], ["add-folder", "folder"]]) {
      byId(opener).addEventListener("click", () => byId(field).click());
      byId(field).addEventListener("change", () => this.take(chosen(byId(field))));
    }
    byId("stop").addEventListener("click", () => this.stop());
    byId("resume").addEventListener("click", () => this.queue.again());
  }

  catchDrops() {
    const over = (on) => byId("drop").classList.toggle("over", on);
    document.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      over(true);
    });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
    document.addEventListener("drop", async (event) => {
      if (!event.dataTransfer.files.length && !event.dataTransfer.items.length) return;
      event.preventDefault();
      over(false);
      this.take(await dropped(event.dataTransfer));
    });
  }

  take({ clips, leftOut }) {
    const note = [
      clips.length ? "" : "Nothing that could be a recording was in it.",
      leftOut ? `${counted(leftOut, "file")} left out that are no recordings by their names.` : "",
    ].filter(Boolean).join(" ");
    byId("left-out").replaceChildren(...(note ? [el("p", { class: "soft", role: "status" }, note)] : []));
    if (clips.length) {
      announce(`${counted(clips.length, "clip")} added`);
      this.queue.add(clips);
    }
  }

  stop() {
    if (!this.queue.busy) return;
    this.queue.stop();
    announce("Stopped");
  }

  turned(clip) {
    const { done, total, busy } = this.queue;
    const stopped = this.case.clips.filter(({ state }) => state === "stopped").length;
    byId("progress").hidden = !busy && !stopped;
    this.showTally();
    byId("stop").hidden = !busy;
    byId("progress-bar").hidden = !busy;
    byId("resume").hidden = busy || !stopped;
    byId("progress-bar").max = Math.max(1, total);
    byId("progress-bar").value = done;
    const left = `${counted(stopped, "clip")} not examined`;
    byId("progress-text").textContent = busy ? `${done} of ${total} examined` : left;
    if (!clip || !["answered", "failed"].includes(clip.state)) return;
    if (!this.current || this.current.state === "waiting") this.open(clip);
    if (Date.now() - this.spoken > SPOKEN_EVERY_MS || total <= 3) {
      this.spoken = Date.now();
      announce(`${clip.name}: ${this.line(clip)}. ${Math.min(done + 1, total)} of ${total}`);
    }
  }

  rested() {
    this.turned(null);
    announce(`Through. ${this.tally()}`);
  }

  /** How many clips are answered, and how many could not be examined. */
  tally() {
    const failed = this.case.clips.filter(({ state }) => state === "failed").length;
    return `${counted(this.case.answered.length, "clip")} answered${failed ? `, ${failed} could not be examined` : ""}`;
  }

  line(clip) {
    return clip.state === "answered" ? short(clip.trace) : STATES[clip.state];
  }

  showRows() {
    const kept = new Set(this.case.clips);
    for (const clip of this.rows.keys()) if (!kept.has(clip)) this.rows.delete(clip);
    byId("clip-list").replaceChildren(...this.case.clips.map((clip) => this.row(clip)));
    byId("panel-clips").classList.toggle("has-clips", this.case.clips.length > 0);
    this.showTally();
    byId("case-actions").hidden = !this.case.id;
  }

  showTally() {
    byId("tally").hidden = this.queue.busy || !this.case.clips.length;
    byId("tally").textContent = this.tally();
  }

  row(clip) {
    if (!this.rows.has(clip)) {
      const line = el("span", { class: "short" });
      const open = el("button", { type: "button", class: "open", on: { click: () => this.open(clip, true) } },
        el("span", { class: "name" }, clip.name), line);
      const remove = button("×", () => this.remove(clip), { class: "remove", "aria-label": `Remove ${clip.name}` });
      this.rows.set(clip, { node: el("li", {}, open, remove), open, line });
    }
    this.showRow(clip);
    return this.rows.get(clip).node;
  }

  showRow(clip) {
    const row = this.rows.get(clip);
    if (!row) return;
    row.line.textContent = this.line(clip);
    row.node.classList.toggle("failed", clip.state === "failed");
    if (clip === this.current) row.open.setAttribute("aria-current", "true");
    else row.open.removeAttribute("aria-current");
    byId("case-actions").hidden = !this.case.id;
  }

  /** Show the answer to `clip`; `go` moves the focus there, as a press of its button does. */
  open(clip, go = false) {
    const before = this.current;
    this.current = clip;
    for (const one of [before, clip]) if (one) this.showRow(one);
    this.parts?.end();
    this.parts = null;
    const answer = byId("answer");
    answer.setAttribute("aria-label", `Answer to ${clip.name}`);
    if (clip.state === "answered") this.showAnswer(clip, answer);
    else answer.replaceChildren(el("h2", {}, clip.name), this.notAnswered(clip));
    if (go) answer.focus();
  }

  notAnswered(clip) {
    if (clip.state === "cut off") {
      return el("div", {}, el("p", { class: "lead" }, "The service ended before this clip was answered."),
        this.againButton(clip, "Trace it now"));
    }
    if (clip.state !== "failed") return el("p", { class: "lead" }, `This clip: ${this.line(clip)}`);
    return el("div", {}, el("p", { class: "verdict" }, el("strong", {}, "Could not be examined")),
      problemNote({ file: clip.name, message: clip.failure }), fileFacts(clip));
  }

  againButton(clip, text) {
    const trouble = el("div");
    const again = async (event) => {
      event.currentTarget.disabled = true;
      announce("Tracing again");
      try {
        Object.assign(clip, await call("POST", `${this.case.url}/clips/${part(clip.id)}/trace`));
        clip.state = stateOf(clip);
        this.case.tell("clips", clip);
        this.open(clip, true);
        announce(`${clip.name}: ${this.line(clip)}`);
      } catch (problem) {
        showProblem(trouble, problem);
      }
    };
    return el("div", {}, button(text, again), trouble);
  }

  stale(clip) {
    if (!clip.stale) return null;
    const words = "This was answered by another gallery, or by this one before it changed.";
    return el("div", { class: "soft-box" }, el("p", {}, words), this.againButton(clip, "Trace again"));
  }

  showAnswer(clip, answer) {
    this.parts = new Parts(this.case, clip);
    answer.replaceChildren(...[el("h2", {}, clip.name), this.stale(clip),
      el("div", { class: "beside" }, el("div", {}, words(clip.trace)), this.parts.node),
      ...numbers(clip.trace), fileFacts(clip)].flat(3).filter(Boolean));
    this.parts.start();
  }

  /** The next clip, or the one before. */
  step(by) {
    const { clips } = this.case;
    if (!clips.length) return;
    const at = clips.indexOf(this.current);
    const next = clips[Math.min(Math.max(at + by, 0), clips.length - 1)];
    this.open(next);
    this.rows.get(next).open.focus();
  }

  async remove(clip) {
    if (clip.state === "examining") {
      announce("It is being examined; stop first");
      return;
    }
    try {
      if (clip.id) await call("DELETE", `${this.case.url}/clips/${part(clip.id)}`);
    } catch (problem) {
      showProblem(byId("left-out"), problem);
      return;
    }
    const at = this.case.clips.indexOf(clip);
    this.case.clips.splice(at, 1);
    this.queue.waiting = this.queue.waiting.filter((one) => one !== clip);
    this.case.tell("clips");
    announce(`${clip.name} removed`);
    if (this.current === clip) this.afterRemoval(at);
    (this.rows.get(this.case.clips[Math.min(at, this.case.clips.length - 1)])?.open ?? byId("add-clips")).focus();
  }

  afterRemoval(at) {
    this.current = null;
    this.parts?.end();
    this.parts = null;
    const next = this.case.clips[Math.min(at, this.case.clips.length - 1)];
    if (next) this.open(next);
    else byId("answer").replaceChildren(el("p", { class: "lead" }, "No clip is open."));
  }
}

/** By what a file is known again; null where the server never had it. */
function fileFacts(clip) {
  if (!clip.sha256) return null;
  return el("section", {}, el("h3", {}, "The file"), listed([["File", clip.name],
    ["SHA-256", el("span", { class: "digest" }, clip.sha256)], ["Size", counted(clip.bytes, "byte")]]));
}
