/** Answers as JSON and CSV: into the clipboard, and as files. */

import { labels } from "./colours.js";
import { element, say } from "./dom.js";
import { tracks } from "./list.js";

const COLUMNS = ["file", "genre", "confidence", "uncertain", "recognised", "duration", "warning", "error"];

const saved = new WeakSet(); // answers that were taken along in a file

/** Whether there are answers that were not. */
export const unsaved = () => tracks.some(({ answer }) => answer && !saved.has(answer));

export const results = () =>
  tracks
    .filter((track) => track.answer || track.state === "failed")
    .map(({ name, answer, error, status }) => ({ file: name, ...(answer ?? { error, status }) }));

/** One line a file, as the command line's reports have them: a column for each genre at the end. */
export function asCsv(rows) {
  const word = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : String(value ?? ""));
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const line = (values) => `${values.map((value) => cell(word(value))).join(",")}\n`;
  return [
    line([...COLUMNS, ...labels]),
    ...rows.map((row) =>
      line([...COLUMNS.map((name) => row[name]), ...labels.map((label) => row.probabilities?.[label])]),
    ),
  ].join("");
}

export async function copy(button, value) {
  const text = JSON.stringify(value, null, 2);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https, and not on this machine's own address, there is no clipboard but this old one.
    const area = document.body.appendChild(Object.assign(element("textarea"), { value: text, className: "unseen" }));
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const words = (button.dataset.words ??= button.textContent);
  button.textContent = "Copied";
  say("Copied.");
  setTimeout(() => (button.textContent = words), 1500);
}

export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(element("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  for (const { answer } of tracks) if (answer) saved.add(answer);
}
