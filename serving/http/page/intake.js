/** Files in: by choosing, by dropping, and the sample. */

import { byId, inOrder } from "./dom.js";
import { add } from "./list.js";
import { notice } from "./notice.js";

// What is taken of a folder, where covers and lists lie beside the music; a file that is chosen is sent whatever it is.
const MUSIC = /\.(aac|aif[cf]?|amr|ape|asf|au|caf|flac|m4[ab]|mka|mkv|mov|mp[234]|mpga|og[agv]|opus|snd|wave?|weba|webm|wma|wv)$/i;
const HIDDEN = /(^|\/)\./; // a file, such as a Mac's ._song.mp3, or a folder on the way to it

/** Add files as they are, and what is music of those of folders; both as [file, name], no file where it cannot be read. */
function addMusic(found, alone = []) {
  const seen = found.filter(([, path]) => !HIDDEN.test(path));
  const music = seen.filter(([file, path]) => file && MUSIC.test(path)).sort(([, a], [, b]) => inOrder(a, b));
  const chosen = alone.filter(([file]) => file);
  add([...chosen, ...music], seen.length - music.length + alone.length - chosen.length);
}

/** Files of a dropped entry, folders walked. */
async function walk(entry) {
  const call = (target, method) => new Promise((resolve, reject) => target[method](resolve, reject));
  const found = [];
  try {
    if (entry.isFile) return [[await call(entry, "file"), entry.fullPath.slice(1)]];
    const reader = entry.createReader();
    for (let some; (some = await call(reader, "readEntries")).length; ) found.push(...some); // a hundred at a time
  } catch {
    return [[null, entry.fullPath.slice(1)]]; // it may not be read, or has gone: the others are
  }
  return (await Promise.all(found.filter(({ name }) => !name.startsWith(".")).map(walk))).flat();
}

async function drop({ items, files: plain }) {
  // Entries are gone after the event, so all are taken before the first is walked.
  const entries = [...items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
  if (!entries.length || entries.includes(null) || entries.includes(undefined)) {
    return add([...plain].map((file) => [file, file.name]));
  }
  const walked = async (those) => (await Promise.all(those.map(walk))).flat();
  const [folders, files] = [entries.filter((entry) => entry.isDirectory), entries.filter((entry) => entry.isFile)];
  addMusic(...(await Promise.all([walked(folders), walked(files)])));
}

byId("files").onchange = () => {
  add([...byId("files").files].map((file) => [file, file.name]));
  byId("files").value = "";
};
byId("folder").onchange = () => {
  addMusic([...byId("folder").files].map((file) => [file, file.webkitRelativePath]));
  byId("folder").value = "";
};
byId("folder").parentElement.hidden = !("webkitdirectory" in byId("folder"));

byId("sample").onclick = async () => {
  try {
    const response = await fetch("sample.mp3");
    if (!response.ok) throw new Error(response.statusText);
    const file = new File([await response.blob()], "sample.mp3", { type: "audio/mpeg", lastModified: 0 });
    add([[file, file.name]]);
    byId("files").focus(); // this button goes
  } catch {
    notice("The sample cannot be had: try again in a moment.");
  }
};

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, async (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.toggle("over", type === "dragover" || type === "dragenter");
    if (type === "drop") await drop(event.dataTransfer);
  });
}
