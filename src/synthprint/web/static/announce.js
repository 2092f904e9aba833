// What changes is said to screen readers; what went wrong is shown beside what failed.

import { byId, el } from "./dom.js";

/** Say it politely, once what is being read is through. */
export function announce(text) {
  const region = byId("said");
  region.textContent = "";
  setTimeout(() => { region.textContent = text; }, 60); // emptied first, or the same words twice are said once
}

/** A problem as an element for the place where it belongs; it is said at once. */
export function problemNote(problem) {
  const where = [problem.file, problem.field].filter(Boolean).join(", ");
  return el("p", { class: "problem", role: "alert" },
    el("strong", {}, where ? `${where}: ` : ""), problem.message || "Something failed, and no reason was given.");
}

/** Put a problem into `place`, or clear it. */
export function showProblem(place, problem) {
  place.replaceChildren(...(problem ? [problemNote(problem)] : []));
}
