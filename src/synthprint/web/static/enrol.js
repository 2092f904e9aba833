// The form by which a system is enrolled: clips of a case, or files.

import { announce, showProblem } from "./announce.js";
import { call, part } from "./api.js";
import { byId, el } from "./dom.js";
import { counted } from "./words.js";

const NEW = "\u0000new"; // no gallery can have this name
const DETAILS = ["family", "kind", "vocoder", "title", "publisher"];

async function shelves(wanted) {
  const galleries = (await call("GET", "/v1/galleries")).filter(({ changeable }) => changeable);
  const field = byId("enrol-gallery");
  field.replaceChildren(
    ...galleries.map(({ name, sources }) => el("option", { value: name }, `${name} (${counted(sources, "source")})`)),
    el("option", { value: NEW }, "a new gallery, started from default"));
  if (galleries.some(({ name }) => name === wanted)) field.value = wanted;
  const shown = () => { byId("enrol-new-place").hidden = field.value !== NEW; };
  field.onchange = shown;
  shown();
}

async function targetGallery(fixed) {
  if (fixed) return fixed;
  const chosen = byId("enrol-gallery").value;
  if (chosen !== NEW) return chosen;
  const name = byId("enrol-new").value.trim();
  if (!name) throw new Error("Give the new gallery a name.");
  await call("POST", "/v1/galleries", { json: { name, from: "default" } });
  return name;
}

function body(form, sent) {
  const said = { name: form.elements.name.value.trim() };
  for (const name of DETAILS) if (form.elements[name].value.trim()) said[name] = form.elements[name].value.trim();
  const force = form.elements.force.checked;
  if (sent) return { json: { ...said, ...sent, force } };
  const files = [...byId("enrol-clips").files];
  if (!files.length) throw new Error("Choose the clips that stand for it.");
  const data = new FormData();
  for (const [name, value] of Object.entries(said)) data.append(name, value);
  if (force) data.append("force", "true");
  for (const file of files) data.append("clips", file, file.name);
  return { form: data };
}

/** What an enrolment did, with what it could not. */
function told({ source, clips, failures, already, remarks }, gallery) {
  const odd = [
    ...failures.map(({ path, error }) => `${path} could not be used: ${error}`),
    ...Object.entries(already).map(([path, name]) => `${path} stands for ${name} already`),
    ...Object.entries(remarks).flatMap(([path, texts]) => texts.map((text) => `${path}: ${text}`)),
  ];
  return [`${source} is enrolled in ${gallery}, with ${counted(clips, "clip")}.`, ...odd].join(" ");
}

/** Ask for a name and enrol: `sent` are clips of a case, without it files are asked for; `into` fixes the gallery.
 * Gives {name, gallery, text}, or null where it was left. */
export async function enrol({ what, gallery, sent, into }) {
  const dialog = byId("enrol");
  const form = dialog.querySelector("form");
  form.reset();
  showProblem(byId("enrol-problem"), null);
  byId("enrol-what").textContent = what;
  byId("enrol-clips-place").hidden = Boolean(sent);
  byId("enrol-gallery-place").hidden = Boolean(into);
  if (!into) await shelves(gallery);
  return new Promise((resolve) => {
    let done = null;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const pressed = byId("really-enrol");
      if (pressed.disabled) return;
      pressed.disabled = true;
      try {
        const options = body(form, sent);
        const target = await targetGallery(into);
        const answer = await call("POST", `/v1/galleries/${part(target)}/sources`, options);
        done = { name: answer.source, gallery: target, text: told(answer, target) };
        announce(done.text);
        dialog.close();
      } catch (problem) {
        showProblem(byId("enrol-problem"), problem);
      }
      pressed.disabled = false;
    };
    byId("enrol-cancel").onclick = () => dialog.close();
    dialog.onclose = () => resolve(done);
    dialog.showModal();
  });
}
