// A case as the server holds it: made when it is first needed, saved as it is typed.

import { call, part } from "./api.js";
import { settled } from "./dom.js";

const SAVE_AFTER_MS = 500;
const FIELDS = ["title", "question", "notes", "analyst", "date", "gallery"];
const CHANGES = [...FIELDS, "saved"];

/** How far a clip is, as the server holds it: "cut off" where the service ended while it examined it. */
export const stateOf = (clip) => (clip.trace ? "answered" : clip.failure ? "failed" : "cut off");

/** The case of this page. Tells "clips", "record" and "saved" as they change. */
export class Case extends EventTarget {
  constructor() {
    super();
    this.id = null;
    this.record = Object.fromEntries(FIELDS.map((name) => [name, ""]));
    this.record.gallery = "default";
    this.clips = [];
    this.unsaved = {};
    this.making = null;
    this.saveSoon = settled(() => this.save(), SAVE_AFTER_MS);
  }

  get url() {
    return `/v1/cases/${part(this.id)}`;
  }

  /** Load the case `id`. */
  async load(id) {
    this.take(await call("GET", `/v1/cases/${part(id)}`));
    this.clips = this.record.clips.map((clip) => ({ ...clip, state: stateOf(clip) }));
    this.tell("clips");
  }

  take(record) {
    this.id = record.id;
    this.record = { ...record, ...this.unsaved };
    this.tell("record");
  }

  tell(what, detail = null) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }

  /** Make the case if there is none yet; its address becomes the page's. */
  async made() {
    if (this.id) return;
    this.making ??= call("POST", "/v1/cases", { json: this.sendable(this.record) })
      .then((record) => {
        this.unsaved = {};
        this.take(record);
        history.replaceState(null, "", `/cases/${part(this.id)}${location.hash}`);
      })
      .finally(() => { this.making = null; });
    await this.making;
  }

  sendable(fields, names = FIELDS) {
    return Object.fromEntries(names.filter((name) => name in fields).map((name) => [name, fields[name]]));
  }

  /** Take what was typed, and save it once the typing rests. */
  change(name, value) {
    this.record[name] = value;
    this.unsaved[name] = value;
    this.tell("record");
    this.tell("saved", { state: "waiting" });
    this.saveSoon();
  }

  /** Save what was typed and is not yet; `leaving`: the page goes away meanwhile. */
  async save(leaving = false) {
    const sending = this.unsaved;
    if (!Object.keys(sending).length) return;
    this.unsaved = {};
    try {
      if (!this.id) await this.made();
      const options = { json: this.sendable(sending, CHANGES), keepalive: leaving };
      this.take(await call("PATCH", this.url, options));
      this.tell("saved", { state: "saved" });
    } catch (problem) {
      this.unsaved = { ...sending, ...this.unsaved };
      this.tell("saved", { state: "failed", problem });
    }
  }

  clip(id) {
    return this.clips.find((clip) => clip.id === id);
  }

  get answered() {
    return this.clips.filter((clip) => clip.state === "answered");
  }
}
