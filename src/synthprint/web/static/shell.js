// What every page has: the shade, the list of keys, an error that nobody caught.

import { announce, problemNote } from "./announce.js";
import { byId, el } from "./dom.js";

const THEME = "synthprint-theme";
const ORDER = { "": "light", light: "dark", dark: "" };
const NAMES = { "": "System", light: "Light", dark: "Dark" };

function stored(value) {
  try {
    if (value) localStorage.setItem(THEME, value);
    else localStorage.removeItem(THEME);
  } catch {
    // Without storage the choice holds for this page.
  }
}

function shades() {
  const root = document.documentElement;
  const toggle = byId("theme");
  const shown = () => {
    toggle.replaceChildren("Shade", el("span", {}, `:\u00a0${NAMES[root.dataset.theme ?? ""]}`));
    toggle.setAttribute("aria-label", `Shade: ${NAMES[root.dataset.theme ?? ""]}`);
  };
  const told = () => document.dispatchEvent(new CustomEvent("shade"));
  toggle.addEventListener("click", () => {
    const next = ORDER[root.dataset.theme ?? ""];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    stored(next);
    shown();
    told();
    announce(`Shade: ${NAMES[next]}`);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", told);
  shown();
}

/** Show what whoever is there may do; who signed in by a token can sign out again. */
async function whoIsThere() {
  const response = await fetch("/session"); // not by `call`, for who is not signed in is asked where it matters
  if (!response.ok) return;
  const { name, roles } = await response.json();
  document.documentElement.dataset.may = roles.includes("enrol") ? "enrol" : "read";
  if (name === "local") return;
  const leave = byId("sign-out");
  leave.hidden = false;
  leave.setAttribute("aria-label", `Sign out, ${name}`);
  leave.onclick = async () => {
    await fetch("/session", { method: "DELETE" });
    location.assign("/");
  };
}

/** Set up what every page has. */
export function shell() {
  shades();
  const ask = () => whoIsThere().catch(() => {}); // a page that cannot be asked says so where it matters
  document.addEventListener("signed-in", ask);
  ask();
  byId("open-keys").addEventListener("click", () => byId("keys").showModal());
  byId("close-keys").addEventListener("click", () => byId("keys").close());
  addEventListener("unhandledrejection", (event) => {
    if (event.reason?.name === "AbortError") return;
    byId("main").prepend(problemNote(event.reason ?? {}));
  });
}
