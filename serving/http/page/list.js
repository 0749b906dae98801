/** The files of the page: how they come and go, and which of them are shown in which order. */

import { byId, files, inOrder } from "./dom.js";
import { notice } from "./notice.js";
import { current, unload } from "./player.js";
import { dequeue, enqueue } from "./queue.js";
import { Track } from "./track.js";

const FEW = 4; // files that come together and open when they are answered

export let tracks = []; // the newest first

/** Which are shown: by genre or state, by words in the name, in which order. */
export const choice = { filter: "all", search: "", by: "", down: false };

const alike = new Map(); // tracks by what does not change when a file is dropped again
const likeness = ({ name, size, lastModified }) => `${name}/${size}/${lastModified}`;
const isTail = (long, short) => long === short || long.endsWith(`/${short}`);
const isHere = (file, name) =>
  (alike.get(likeness(file)) ?? []).some((track) => isTail(track.name, name) || isTail(name, track.name));

/** Files as [file, name]; `skipped` were there too and are no music. */
export function add(named, skipped = 0) {
  const fresh = [];
  for (const [file, name] of named) {
    if (isHere(file, name)) continue;
    const track = new Track(file, name, named.length <= FEW);
    enter(track);
    fresh.push(track);
  }
  const again = named.length - fresh.length;
  const parts = [];
  if (skipped) parts.push(`${files(skipped)} skipped, no music or not to be read`);
  if (again) parts.push(`${files(again)} ${again === 1 ? "is" : "are"} here already`);
  if (!named.length) notice(`There is no music in it${skipped ? `: ${parts[0]}` : ""}.`);
  else if (parts.length) notice(`${parts.join(", ")}.`);
  if (!fresh.length) return;
  showAll();
  tracks = [...fresh, ...tracks];
  enqueue(fresh);
}

/** Have nothing chosen: all files are shown. */
export function showAll() {
  Object.assign(choice, { filter: "all", search: "" });
  byId("search").value = "";
}

function enter(track) {
  const key = likeness(track.file);
  alike.set(key, [...(alike.get(key) ?? []), track]);
}

function leave(track) {
  const key = likeness(track.file);
  alike.set(key, alike.get(key).filter((each) => each !== track));
  track.state = "removed";
  track.asking?.abort();
  if (current === track) unload();
}

/** Remove files, with a way back. */
export function remove(those) {
  const before = tracks;
  const states = new Map(those.map((track) => [track, track.state]));
  const gone = new Set(those);
  dequeue(gone);
  those.forEach(leave);
  tracks = tracks.filter((track) => !gone.has(track));
  const words = those.length > 1 ? `${files(those.length)} are removed.` : `${those[0].name} is removed.`;
  notice(words, () => {
    const fresh = tracks.filter((track) => !before.includes(track));
    const unfinished = [];
    const back = those.filter((track) => !isHere(track.file, track.name)); // not those that were dropped again since
    for (const track of back) {
      enter(track);
      track.state = states.get(track);
      if (track.unfinished) unfinished.push(track);
    }
    const stay = new Set([...tracks, ...back]);
    tracks = [...fresh, ...before.filter((track) => stay.has(track))];
    enqueue(unfinished);
    Track.onchange();
  });
  Track.onchange();
}

export const matches = (track, filter) =>
  filter === "all" ||
  (filter === "failed" && track.state === "failed") ||
  (filter === "in doubt" && track.answer?.uncertain) ||
  filter === `genre ${track.answer?.genre}`;

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

const KEYS = {
  name: (a, b) => inOrder(a.name, b.name),
  genre: (a, b) => inOrder(a.answer.genre, b.answer.genre) || b.answer.confidence - a.answer.confidence,
  sure: (a, b) => a.answer.confidence - b.answer.confidence,
  length: (a, b) => a.answer.duration - b.answer.duration,
};

/** The files that are shown, in their order; those without an answer are last where the order is by answers. */
export function shown() {
  const { filter, by, down } = choice;
  const words = plain(choice.search).split(/\s+/);
  const found = tracks.filter(
    (track) => matches(track, filter) && words.every((word) => plain(track.name).includes(word)),
  );
  if (!by) return found;
  const turned = (a, b) => (down ? -KEYS[by](a, b) : KEYS[by](a, b));
  if (by === "name") return found.sort(turned);
  return [...found.filter((track) => track.answer).sort(turned), ...found.filter((track) => !track.answer)];
}
