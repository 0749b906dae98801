/** Elements of the page and words in them. What comes from outside is only ever set as text. */

export const byId = (id) => document.getElementById(id);
export const element = (tag, text = "", className = "") =>
  Object.assign(document.createElement(tag), { textContent: text, className });

/** For a screen reader; the same words twice are said once. */
export function say(words) {
  if (byId("said").textContent !== words) byId("said").textContent = words;
}

export const percent = (p) => `${Math.round(100 * p)}\u00a0%`;
export const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
export const length = (s) => clock(Math.round(s));
export const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
export const files = (n) => `${n} ${n === 1 ? "file" : "files"}`;

const { compare } = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
export const inOrder = compare;
