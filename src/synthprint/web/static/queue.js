// Clips on their way to the server, two at a time, until all are answered or somebody says stop.

import { call, requestKey } from "./api.js";
import { stateOf } from "./case.js";

const AT_ONCE = 2; // one is sent while another is examined

/** The clips of a case that wait. Tells "turn" whenever one of them changes, and "rest" when none is on its way. */
export class Queue extends EventTarget {
  constructor(work) {
    super();
    this.case = work;
    this.waiting = [];
    this.running = 0;
    this.total = 0;
    this.stopping = null;
  }

  get busy() {
    return this.running > 0;
  }

  get done() {
    return this.total - this.waiting.length - this.running;
  }

  add(files) {
    const blank = { id: null, state: "waiting", trace: null, failure: null };
    const first = 1 + Math.max(-1, ...this.case.clips.map(({ order }) => order));
    const clips = files.map((file, i) => ({ ...blank, file, name: file.name, key: requestKey(), order: first + i }));
    this.case.clips.push(...clips);
    this.begin(clips);
  }

  /** Examine clips that were stopped; with the keys they had, for the server may have been through with one. */
  again() {
    const clips = this.case.clips.filter((clip) => clip.state === "stopped");
    for (const clip of clips) clip.state = "waiting";
    this.begin(clips);
  }

  begin(clips) {
    if (!this.busy) this.total = this.waiting.length;
    this.stopping = this.stopping && !this.stopping.signal.aborted ? this.stopping : new AbortController();
    this.waiting.push(...clips);
    this.total += clips.length;
    this.turn(null);
    while (this.running < AT_ONCE && this.waiting.length) this.work();
  }

  /** What is sent is broken off, what waits stays as it is. */
  stop() {
    this.stopping?.abort();
    for (const clip of this.waiting) clip.state = "stopped";
    this.total -= this.waiting.length;
    this.waiting = [];
    this.turn(null);
  }

  turn(clip) {
    this.case.tell("clips", clip);
    this.dispatchEvent(new CustomEvent("turn", { detail: clip }));
  }

  async work() {
    this.running += 1;
    while (this.waiting.length) await this.examine(this.waiting.shift(), this.stopping.signal);
    this.running -= 1;
    if (!this.running) this.dispatchEvent(new CustomEvent("rest"));
  }

  async examine(clip, signal) {
    clip.state = "examining";
    this.turn(clip);
    try {
      await this.case.made();
      const form = new FormData();
      form.append("order", clip.order); // two are on their way at once, and either may come first
      form.append("clip", clip.file, clip.name);
      Object.assign(clip, await call("POST", `${this.case.url}/clips`, { form, signal, key: clip.key }));
      clip.state = stateOf(clip);
      clip.file = null;
    } catch (problem) {
      clip.state = problem.name === "AbortError" ? "stopped" : "failed";
      clip.failure = clip.state === "failed" ? problem.message : null;
      if (clip.state === "stopped") this.total -= 1;
    }
    this.turn(clip);
  }
}
