// Single keys: they work nowhere where something is typed, and can be switched off (WCAG 2.1.4).

import { byId } from "./dom.js";

const STORED = "synthprint-keys";
const TYPING = "textarea, select, input:not([type=checkbox]):not([type=radio]):not([type=range]):not([type=file])";

function switchedOn() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}

/** Let each key of `does` call its function. */
export function keys(does) {
  const box = byId("single-keys");
  box.checked = switchedOn();
  box.addEventListener("change", () => {
    try {
      localStorage.setItem(STORED, box.checked ? "on" : "off");
    } catch {
      // Without storage the choice holds for this page.
    }
  });
  const all = { "?": () => byId("keys").showModal(), ...does };
  document.addEventListener("keydown", (event) => {
    if (!box.checked || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest(TYPING) || document.querySelector("dialog[open]")) return;
    const act = all[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
