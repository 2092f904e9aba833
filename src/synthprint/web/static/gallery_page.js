// The page of a gallery, and the list of all.

import { announce, showProblem } from "./announce.js";
import { call, part } from "./api.js";
import { byId, el } from "./dom.js";
import { enrol } from "./enrol.js";
import { keys } from "./keyboard.js";
import { shell } from "./shell.js";
import { Sources } from "./sources.js";
import { counted } from "./words.js";

shell();
const gallery = { name: byId("main").dataset.gallery, changeable: false };
const url = `/v1/galleries/${part(gallery.name)}`;
const address = (name) => `/galleries/${part(name)}`;

async function shelf() {
  const all = await call("GET", "/v1/galleries");
  byId("gallery-list").replaceChildren(...all.map(({ name, sources, changeable }) => el("li", {},
    el("a", { href: address(name), "aria-current": name === gallery.name ? "page" : null }, name,
      el("small", {}, `${counted(sources, "source")}${changeable ? "" : ", fixed"}`)))));
  const one = all.find(({ name }) => name === gallery.name);
  if (!one) throw new Error(`There is no gallery ${gallery.name}.`);
  Object.assign(gallery, one);
  const facts = [[one.sources, "source"], [one.clips, "clip"], [one.publishers, "publisher"]];
  byId("gallery-facts").textContent = facts.map(([n, noun]) => counted(n, noun)).join(" · ");
  for (const id of ["enrol-source", "undo", "delete-gallery"]) byId(id).hidden = !one.changeable;
  byId("undo").setAttribute("aria-disabled", String(!one.edits)); // it keeps the focus when nothing is left to undo
}

async function changed(text) {
  byId("gallery-done").hidden = false;
  byId("gallery-done").textContent = text;
  showProblem(byId("gallery-problem"), null);
  announce(text);
  await shelf();
  await sources.show();
}

const sources = new Sources(gallery, changed);

async function undo() {
  if (!gallery.edits) return;
  try {
    const { undone } = await call("POST", `${url}/undo`);
    sources.close();
    await changed(`Undone: ${undone}`);
  } catch (problem) {
    showProblem(byId("gallery-problem"), problem);
  }
}

async function enrolFiles() {
  const done = await enrol({ what: `Clips of one system, enrolled in ${gallery.name}.`, into: gallery.name });
  if (!done) return;
  await changed(done.text);
  await sources.open(done.name);
}

function deletion() {
  const dialog = byId("sure");
  byId("sure-title").textContent = `Delete the gallery ${gallery.name}?`;
  byId("sure-what").textContent =
    "Its sources are gone then, and this cannot be undone. Export it first, where it is needed.";
  byId("sure-yes").textContent = "Delete gallery";
  byId("sure-yes").onclick = async () => {
    try {
      await call("DELETE", url);
      location.assign(address("default"));
    } catch (problem) {
      showProblem(byId("sure-problem"), problem);
    }
  };
  dialog.showModal();
}

/** Let a form make a gallery, and go there. */
function makes(form, trouble, make) {
  byId(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const name = await make();
      location.assign(address(name));
    } catch (problem) {
      showProblem(byId(trouble), problem);
    }
  });
}

byId("undo").addEventListener("click", undo);
byId("enrol-source").addEventListener("click", enrolFiles);
byId("delete-gallery").addEventListener("click", deletion);
byId("export").href = `${url}/archive`;
makes("new-gallery", "new-problem", async () => {
  const name = byId("new-name").value.trim();
  await call("POST", "/v1/galleries", { json: { name, from: byId("new-from").checked ? "default" : null } });
  return name;
});
makes("import-gallery", "import-problem", async () => {
  const name = byId("import-name").value.trim();
  const form = new FormData();
  form.append("archive", byId("import-file").files[0]);
  await call("POST", `/v1/galleries/archive?name=${part(name)}`, { form });
  return name;
});
keys({ "/": () => byId("query").focus() });

try {
  await shelf();
  await sources.show();
} catch (problem) {
  showProblem(byId("gallery-problem"), problem);
}
