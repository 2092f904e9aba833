// Files out of what was dropped or chosen: folders are walked, and what is no recording in them is left out.

const ENDINGS =
  "wav flac mp3 ogg oga opus m4a mp4 aac webm mka mkv mov avi aif aiff aifc caf au snd w64 rf64 wma amr 3gp gsm";
const RECORDING = new RegExp(`^[^.].*\\.(${ENDINGS.replaceAll(" ", "|")})$`, "i");

function entriesOf(reader) {
  return new Promise((resolve, reject) => reader.readEntries(resolve, reject));
}

async function walked(entry, into) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    into.push({ file, inFolder: entry.fullPath.lastIndexOf("/") > 0 });
    return;
  }
  const reader = entry.createReader();
  for (let batch = await entriesOf(reader); batch.length; batch = await entriesOf(reader)) { // at most 100 a call
    for (const inner of batch) await walked(inner, into);
  }
}

/** The clips among files: {clips, leftOut}; a file that was named by itself is never left out. */
function sorted(found) {
  const clips = found.filter(({ file, inFolder }) => !inFolder || RECORDING.test(file.name));
  const place = ({ file }) => file.webkitRelativePath || file.name;
  clips.sort((a, b) => place(a).localeCompare(place(b)));
  return { clips: clips.map(({ file }) => file), leftOut: found.length - clips.length };
}

/** Clips out of a drop. */
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = []; // entries are asked for before anything is awaited: they are gone afterwards
  for (const entry of entries) {
    if (entry instanceof File) found.push({ file: entry, inFolder: false });
    else if (entry) await walked(entry, found);
  }
  return sorted(found);
}

/** Clips out of a file field. */
export function chosen(input) {
  const found = [...input.files].map((file) => ({ file, inFolder: Boolean(file.webkitRelativePath) }));
  input.value = "";
  return sorted(found);
}
