/** Playback: one element for all files, so that only one plays; it streams from the file and needs no decode. */

import { byId } from "./dom.js";

export const player = byId("player");
export let current = null;

export function load(track) {
  if (current === track || track.unplayable) return;
  unload();
  current = track;
  player.src = URL.createObjectURL(track.file);
  player.currentTime = track.time;
}

export function unload() {
  if (!current) return;
  const track = current;
  player.pause();
  URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  current = null;
  track.card?.showPlaying();
}

export function toggle(track) {
  load(track);
  if (current !== track) return;
  if (player.paused) player.play().catch(() => {}); // why not comes as an error event
  else player.pause();
}

export function seek(track, time) {
  track.time = Math.min(Math.max(time, 0), track.answer.duration);
  if (current === track) player.currentTime = track.time;
  track.card?.timeline.draw();
  track.card?.timeline.tell();
}

function showPlaying() {
  current?.card?.showPlaying();
  current?.card?.timeline.tell();
}

function follow() {
  if (!current || player.paused) return;
  current.time = Math.min(player.currentTime, current.answer.duration);
  const { card } = current;
  card?.timeline.draw();
  if (card && document.activeElement !== card.parts.slider) card.timeline.tell();
  requestAnimationFrame(follow);
}

player.onplay = () => (showPlaying(), follow());
player.onpause = player.onended = showPlaying;
player.onerror = () => {
  const track = current;
  if (!track) return;
  unload();
  silence(track);
};

/** A file that the browser cannot play. */
export function silence(track) {
  track.unplayable = true;
  track.card?.timeline.explain();
  track.card?.showPlaying();
}
