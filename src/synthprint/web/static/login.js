// The token form: shown when the server asks who is there.

import { showProblem } from "./announce.js";
import { byId } from "./dom.js";

let waiting = null;

async function enter(event) {
  event.preventDefault();
  const field = byId("token");
  try {
    const response = await fetch("/session", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: field.value }),
    });
    if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail || "This token is not valid.");
    field.value = "";
    showProblem(byId("login-problem"), null);
    byId("login").close("entered");
    document.dispatchEvent(new CustomEvent("signed-in"));
  } catch (error) {
    showProblem(byId("login-problem"), error);
    field.select();
  }
}

/** Resolved when a token was accepted; all who ask meanwhile wait for the same one. */
export function signedIn() {
  waiting ??= new Promise((resolve) => {
    const dialog = byId("login");
    dialog.querySelector("form").onsubmit = enter;
    dialog.oncancel = (event) => event.preventDefault(); // nothing can be done without
    dialog.onclose = () => {
      waiting = null;
      resolve();
    };
    dialog.showModal();
  });
  return waiting;
}
