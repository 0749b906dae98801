/** What is said of all files: how far they are, how many there are of each genre, and which of them are shown. */

import { labels, tint } from "./colours.js";
import { byId, element, files, say } from "./dom.js";
import { choice, matches, showAll, shown, tracks } from "./list.js";
import { current, player } from "./player.js";
import { show, soon } from "./rows.js";

const REPORT_SECONDS = 0.06; // between two reports: one for many changes
const SAY_SECONDS = 10; // between two announcements of progress
const NAMED = ["all", "failed", "in doubt"]; // filters beside those of the genres

const filters = new Map();
let due = 0;
let reported = -Infinity;
let spoken = 0;

function makeFilters() {
  for (const filter of [...NAMED, ...labels.map((label) => `genre ${label}`)]) {
    if (!filters.has(filter)) {
      const button = Object.assign(element("button", filter.replace("genre ", "")), { type: "button" });
      button.append(element("b", "0"));
      button.onclick = () => {
        choice.filter = filter;
        tell();
      };
      filters.set(filter, byId("filters").appendChild(button));
    }
    if (filter.startsWith("genre ")) tint(filters.get(filter), filter.slice(6)).classList.add("key");
  }
}

/** Show what was chosen, and say how much that is. */
function tell() {
  report();
  say(`${files(shown().length)} shown: ${choice.filter.replace("genre ", "")}.`);
}

byId("search").oninput = () => {
  choice.search = byId("search").value;
  tell();
};
for (const button of byId("sort").querySelectorAll("button")) {
  button.onclick = () => {
    const { by } = button.dataset;
    if (choice.by !== by) Object.assign(choice, { by, down: by === "sure" || by === "length" });
    else if (choice.down === (by === "sure" || by === "length")) choice.down = !choice.down;
    else Object.assign(choice, { by: "", down: false }); // as they were added
    report();
    say(choice.by ? `Sorted by ${button.textContent.toLowerCase()}, ${choice.down ? "descending" : "ascending"}.` : "Sorted as they were added.");
  };
}

/** Report at once, or where that was done just now, a little later. */
export function update() {
  due ||= setTimeout(report, Math.max(0, reported + 1000 * REPORT_SECONDS - performance.now()));
}

export function report() {
  clearTimeout(due);
  due = 0;
  reported = performance.now();
  if (filters.size !== NAMED.length + labels.length) makeFilters();
  const counts = { done: 0, failed: 0, stopped: 0 };
  for (const { state } of tracks) if (state in counts) counts[state]++;
  const { done, failed, stopped } = counts;
  const over = done + failed + stopped;
  const left = tracks.length - over;
  const parts = [`${done} of ${files(tracks.length)} done`];
  if (failed) parts.push(`${failed} failed`);
  if (stopped) parts.push(`${stopped} stopped`);
  if (left) parts.push(`${left} to go`);
  const summary = parts.join(", ");
  byId("summary").textContent = summary;
  byId("progress").max = tracks.length || 1;
  byId("progress").value = over;
  byId("tools").hidden = !tracks.length;
  byId("tools").classList.toggle("idle", !left);
  if (tracks.length < 2) showAll(); // what chooses is not seen then
  byId("find").hidden = byId("filters").hidden = byId("shares").hidden = tracks.length < 2;
  document.body.classList.toggle("busy", tracks.length > 0);
  document.title = left ? `${over} of ${tracks.length} done` : "Which genre is it?";
  byId("stop").textContent = stopped && !left ? "Go on" : "Stop";
  const idle = !left && !stopped;
  for (const id of ["copy", "json", "csv"]) byId(id).disabled = !(done + failed);
  if (idle && document.activeElement === byId("stop")) byId("copy").focus(); // a disabled button has no focus
  byId("stop").disabled = idle;
  showChoice();
  announce(summary, left);
}

function showChoice() {
  if (!tracks.some((track) => matches(track, choice.filter))) choice.filter = "all";
  const counts = new Map();
  for (const [filter, button] of filters) {
    const matching = tracks.filter((track) => matches(track, filter)).length;
    counts.set(filter, matching);
    button.ariaPressed = filter === choice.filter;
    button.disabled = !matching;
    button.hidden = !matching && filter !== "all" && document.activeElement !== button;
    button.lastChild.textContent = matching;
  }
  byId("shares").replaceChildren(
    ...labels
      .filter((label) => counts.get(`genre ${label}`))
      .map((label) => {
        const share = tint(element("span"), label);
        share.style.flexGrow = counts.get(`genre ${label}`);
        return share;
      }),
  );
  for (const button of byId("sort").querySelectorAll("button")) {
    const chosen = button.dataset.by === choice.by;
    button.ariaPressed = chosen;
    button.dataset.way = chosen ? (choice.down ? "down" : "up") : "";
  }
  const those = shown();
  byId("none").hidden = !tracks.length || those.length > 0;
  show(those);
  if (current && !those.includes(current)) player.pause(); // who cannot be seen cannot be stopped
  soon();
}

/** A live region is read out at every change, so it changes at the end and now and then. */
function announce(summary, left) {
  if (!tracks.length || (left && Date.now() - spoken < 1000 * SAY_SECONDS)) return;
  spoken = Date.now();
  const [only] = tracks;
  if (tracks.length > 1 || !(only.answer || only.error)) return say(`${summary}.`);
  const { answer, error, doubt } = only;
  const sure = answer && `${answer.genre}, ${Math.round(100 * answer.confidence)} % confidence`;
  say(`${summary}. ${answer ? sure : error}${doubt ? `, ${doubt}` : ""}`);
}
