// Title, notes, question and the rest of a case, saved as they are typed; its report, its folder, its end.

import { showProblem } from "./announce.js";
import { call } from "./api.js";
import { byId, el } from "./dom.js";
import { counted } from "./words.js";

const NO_TITLE = "Which system made these clips?";

function heading(work) {
  const { title, question, created } = work.record;
  byId("case-title").textContent = title || (work.id ? "Untitled case" : NO_TITLE);
  byId("case-question").textContent = question || "";
  const since = created ? ` of ${String(created).slice(0, 10)}` : "";
  byId("case-kicker").textContent = work.id ? `Case${since}` : "New case";
  document.title = `${title || "Case"} · synthprint`;
  byId("case-actions").hidden = !work.id;
  if (!work.id) return;
  byId("report").href = `${work.url}/report`;
  byId("archive").href = `${work.url}/archive`;
}

function savedText({ state, problem }) {
  showProblem(byId("form-problem"), problem ?? null);
  const now = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  byId("saved").textContent = { waiting: "…", saved: `Saved at ${now}`, failed: "Not saved" }[state];
}

async function galleries(work) {
  const shelf = await call("GET", "/v1/galleries");
  const field = byId("gallery");
  field.replaceChildren(...shelf.map(({ name, sources }) =>
    el("option", { value: name }, `${name} (${counted(sources, "source")})`)));
  field.value = work.record.gallery || "default";
}

/** Bind the form of the case `work`. */
export function caseForm(work) {
  const form = byId("case-form");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) =>
    work.change(target.name, target.type === "checkbox" ? target.checked : target.value));
  work.addEventListener("record", () => {
    heading(work);
    for (const field of form.elements) {
      const value = work.record[field.name] ?? null;
      if (field.type === "checkbox") field.checked = Boolean(value);
      else if (value !== null && field !== document.activeElement && field.value !== value) field.value = value;
    }
  });
  work.addEventListener("saved", ({ detail }) => savedText(detail));
  addEventListener("pagehide", () => work.save(true));
  byId("close-case").addEventListener("click", () => byId("closing").showModal());
  byId("really-close").addEventListener("click", async () => {
    try {
      await call("DELETE", work.url);
      location.assign("/");
    } catch (problem) {
      showProblem(byId("closing-problem"), problem);
    }
  });
  heading(work);
  galleries(work).catch((problem) => showProblem(byId("form-problem"), problem));
}

/** The cases that are open, on the page of a new one. */
export async function openCases() {
  const cases = await call("GET", "/v1/cases");
  byId("open-cases").hidden = !cases.length;
  byId("case-list").replaceChildren(...cases.map((one) => el("li", { class: "case-list-row" },
    el("a", { href: `/cases/${encodeURIComponent(one.id)}` }, one.title || "Untitled case"),
    el("span", { class: "soft tabular" }, `${day(one)} · ${counted(one.clips, "clip")}`))));
}

const day = ({ date, created }) => date || String(created ?? "").slice(0, 10);
