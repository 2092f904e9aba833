// The page of a case, or of a new one.

import { showProblem } from "./announce.js";
import { Case } from "./case.js";
import { caseForm, openCases } from "./case_form.js";
import { Clips } from "./clips.js";
import { Compare } from "./compare.js";
import { byId } from "./dom.js";
import { Groups } from "./groups.js";
import { keys } from "./keyboard.js";
import { shell } from "./shell.js";
import { tabs } from "./tabs.js";

const STEP_S = 0.5;

shell();
const work = new Case();
caseForm(work);
const clips = new Clips(work);
const panels = { "panel-compare": new Compare(work), "panel-groups": new Groups(work) };
const show = tabs(document.querySelector(".tabs"), (panel) => panels[panel]?.show());
const sound = () => clips.parts?.sound;

keys({
  a: () => byId("add-clips").click(),
  j: () => clips.step(1),
  k: () => clips.step(-1),
  s: () => clips.stop(),
  p: () => sound()?.toggle(),
  ",": () => sound()?.at(sound().now_s - STEP_S),
  ".": () => sound()?.at(sound().now_s + STEP_S),
  "[": () => clips.parts?.edge("from"),
  "]": () => clips.parts?.edge("to"),
  t: () => clips.parts?.traceButton.click(),
  1: () => show(0),
  2: () => show(1),
  3: () => show(2),
  4: () => show(3),
  r: () => { if (work.id) byId("report").click(); },
});

try {
  const { case: id } = byId("main").dataset;
  if (id) {
    await work.load(id);
    if (work.clips.length) clips.open(work.clips[0]);
    else byId("welcome").hidden = false;
    panels[document.querySelector('[role="tabpanel"]:not([hidden])')?.id]?.show();
  } else {
    await openCases();
  }
} catch (problem) {
  showProblem(byId("case-problem"), problem);
}
