// The sources of a gallery: searched, paged through, one of them opened, renamed further, removed.

import { showProblem } from "./announce.js";
import { call, part } from "./api.js";
import { byId, button, el, listed, settled, table } from "./dom.js";
import { counted, label } from "./words.js";

const PAGE = 50;
const SEARCH_AFTER_MS = 250;
const OFFERED = 12;
const MOST_NAMED = 2;
const FIXED = "This gallery does not change here. Start a new one from it to enrol, alias or remove.";

/** The list of a gallery's sources; `gallery` is {name, changeable}, `changed` is told what was done to it. */
export class Sources {
  constructor(gallery, changed) {
    this.gallery = gallery;
    this.changed = changed;
    this.offset = 0;
    this.total = 0;
    this.asked = 0;
    byId("query").addEventListener("input", settled(() => this.turn(-this.offset), SEARCH_AFTER_MS));
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.turn(-this.offset);
    });
    byId("earlier").addEventListener("click", () => this.turn(-PAGE));
    byId("later").addEventListener("click", () => this.turn(PAGE));
  }

  get url() {
    return `/v1/galleries/${part(this.gallery.name)}`;
  }

  async turn(by) {
    this.offset = Math.max(0, this.offset + by);
    await this.show();
  }

  async show() {
    const query = byId("query").value.trim();
    const asked = (this.asked += 1);
    try {
      const words = new URLSearchParams({ query, offset: this.offset, limit: PAGE });
      const answer = await call("GET", `${this.url}?${words}`);
      if (asked !== this.asked) return; // a later search is on its way
      this.total = answer.total;
      this.list(answer.sources, query);
      showProblem(byId("gallery-problem"), null);
    } catch (problem) {
      showProblem(byId("gallery-problem"), problem);
    }
  }

  list(sources, query) {
    const last = this.offset + sources.length;
    byId("shown").textContent = `${counted(this.total, "source")}${query ? ` with “${query}”` : ""}`;
    byId("page-at").textContent = sources.length ? `${this.offset + 1} – ${last} of ${this.total}` : "";
    byId("earlier").disabled = this.offset === 0;
    byId("later").disabled = last >= this.total;
    const rows = sources.map((one) =>
      [this.opener(one), one.family ?? "", one.kind ?? "", names(one.publishers), String(one.clips)]);
    byId("sources").replaceChildren(sources.length
      ? table("Enrolled sources", [["Source"], ["Family"], ["Kind"], ["Publishers"], ["Clips", "n"]], rows)
      : el("p", { class: "soft" }, "No source fits."));
  }

  opener(one) {
    const also = one.aliases.length ? el("small", {}, `also known as ${one.aliases.join(", ")}`) : null;
    const mark = one.name === this.opened ? { "aria-current": "true" } : {};
    const named = label({ ...one, source: one.name });
    return [button(named, (event) => this.open(one.name, event.currentTarget), { class: "link", ...mark }), also];
  }

  async open(name, opener = null) {
    this.opened = name;
    for (const one of document.querySelectorAll("#sources [aria-current]")) one.removeAttribute("aria-current");
    opener?.setAttribute("aria-current", "true");
    const place = byId("source");
    try {
      const source = await call("GET", `${this.url}/sources/${part(name)}`);
      place.replaceChildren(...this.details(source).flat().filter(Boolean));
      place.hidden = false;
      if (opener) place.focus();
      if (opener) place.scrollIntoView({ block: "nearest" });
    } catch (problem) {
      showProblem(byId("gallery-problem"), problem);
    }
  }

  close() {
    byId("source").hidden = true;
    this.opened = null;
  }

  details(source) {
    return [el("h2", {}, label({ ...source, source: source.name })),
      listed([["Family", source.family], ["Kind", source.kind], ["Vocoder", source.vocoder],
        ["Aliases", source.aliases.join(", ")]]),
      this.gallery.changeable ? this.changes(source) : el("p", { class: "soft small enrols" }, FIXED),
      el("h3", {}, counted(source.publishers.length, "publisher")),
      el("ul", { class: "plain small" }, source.publishers.map((name) => el("li", {}, name))),
      el("h3", {}, counted(source.clips.length, "enrolled clip")),
      el("div", { class: "tall", role: "region", tabindex: 0, "aria-label": "Enrolled clips" },
        el("ul", { class: "small" }, source.clips.map((clip) => el("li", {}, clip.id)))),
      el("div", { class: "row" }, button("Close", () => this.close(), { class: "small" }))];
  }

  changes(source) {
    const trouble = el("div");
    const doing = (act) => async (event) => {
      event?.preventDefault();
      try {
        showProblem(trouble, null);
        await act();
      } catch (problem) {
        showProblem(trouble, problem);
      }
    };
    const takeBack = source.aliases.map((alias) => button(`Take back ${alias}`, doing(async () => {
      await call("DELETE", `${this.url}/aliases/${part(alias)}`);
      await this.after(`${alias} is a source of its own again.`, source.name);
    }), { class: "small" }));
    const remove = doing(async () => {
      await call("DELETE", `${this.url}/sources/${part(source.name)}`);
      this.close();
      await this.changed(`${source.name} is removed. “Undo the last change” brings it back.`);
      byId("undo").focus();
    });
    return el("div", { class: "enrols" }, this.aliasForm(source, doing), el("div", { class: "row" }, takeBack), trouble,
      el("div", { class: "row" }, button("Remove from the gallery", remove, { class: "danger" })));
  }

  /** Another enrolled source becomes a further name of this one; names are offered as they are typed. */
  aliasForm(source, doing) {
    const offered = el("datalist", { id: "alias-names" });
    const offer = settled(async () => {
      const words = new URLSearchParams({ query: field.value, limit: OFFERED });
      const { sources } = await call("GET", `${this.url}?${words}`);
      offered.replaceChildren(...sources.map(({ name }) => el("option", { value: name })));
    }, SEARCH_AFTER_MS);
    const field = el("input", {
      required: true, autocomplete: "off", maxlength: 1000, spellcheck: "false", list: "alias-names",
      on: { input: offer },
    });
    const declare = doing(async () => {
      const { source: name } = await call("POST", `${this.url}/aliases`,
        { json: { source: source.name, alias: field.value.trim() } });
      await this.after(`${field.value.trim()} is an alias of ${name} now: they answer as one.`, name);
    });
    return el("form", { class: "inline-form", on: { submit: declare } },
      el("label", {}, "Another source that is this one", field), offered, el("button", {}, "Declare as alias"));
  }

  async after(text, name) {
    await this.changed(text);
    await this.open(name);
    byId("source").focus();
  }
}

const names = (all) => {
  const more = all.length - MOST_NAMED;
  return more > 0 ? `${all.slice(0, MOST_NAMED).join(", ")} and ${more} more` : all.join(", ");
};
