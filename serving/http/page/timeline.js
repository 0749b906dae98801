/** A file's player: its picture, its segments by genre, and what is read of the one that is pointed at. */

import { tint } from "./colours.js";
import { clock, element, length, percent } from "./dom.js";
import { load, seek, toggle } from "./player.js";
import { WAVE_SECONDS, paint, wave } from "./waveform.js";

const FIRST = 3; // genres of a segment that are read
const TOO_LONG = "No waveform is drawn for a file this long.";
const UNDRAWABLE = "No waveform: this browser can only play this format.";
const UNPLAYABLE = "This browser cannot decode this format: there is no waveform and no playback.";

export class Timeline {
  /** `parts` are those of the file's card. */
  constructor(track, parts) {
    Object.assign(this, { track, parts, pointed: null });
    const { slider } = parts;
    slider.ariaLabel = `Position in ${track.name}`;
    slider.onkeydown = (event) => this.key(event);
    slider.onpointerdown = (event) => {
      if (event.button) return;
      slider.setPointerCapture(event.pointerId);
      load(track);
      seek(track, this.timeAt(event));
    };
    slider.onpointermove = (event) => {
      if (slider.hasPointerCapture(event.pointerId)) seek(track, this.timeAt(event));
      this.point(event.pointerType === "mouse" ? this.timeAt(event) : null);
    };
    slider.onpointerleave = () => this.point(null);
  }

  /** There is an answer. */
  answer() {
    const { duration, segments } = this.track.answer;
    this.parts.slider.ariaValueMax = Math.round(duration);
    this.parts.timeline.replaceChildren(
      ...stretches(segments).map(({ start, end, genre }) => {
        const stretch = element("span", "", genre ? "" : "silent");
        stretch.append(element("i", genre ?? ""));
        stretch.style.left = `${(100 * start) / duration}%`;
        stretch.style.width = `${(100 * (end - start)) / duration}%`;
        return genre ? tint(stretch, genre) : stretch;
      }),
    );
    this.explain();
    this.draw();
    this.tell();
  }

  /** It stands in the window: names that do not fit are not shown, and the waveform is drawn. */
  settle() {
    const words = [...this.parts.timeline.children].map((stretch) => [stretch.firstChild, stretch.clientWidth]);
    const fits = words.map(([word, room]) => word.offsetWidth <= room);
    words.forEach(([word], i) => word.classList.toggle("long", !fits[i]));
    if (this.track.answer.duration <= WAVE_SECONDS) wave(this.track);
    this.draw();
  }

  /** Why there is no waveform, if there is none. */
  explain() {
    const { track } = this;
    const words =
      (track.unplayable && UNPLAYABLE) ||
      (track.undrawable && UNDRAWABLE) ||
      (track.answer.duration > WAVE_SECONDS && TOO_LONG) ||
      "";
    this.parts.note.textContent = words;
    this.parts.note.hidden = !words;
  }

  timeAt({ clientX }) {
    const { left, width } = this.parts.slider.getBoundingClientRect();
    return Math.min(Math.max((clientX - left) / width, 0), 1) * this.track.answer.duration;
  }

  /** A pointer stands over a time, or over none. */
  point(time) {
    this.pointed = time;
    this.draw();
  }

  draw() {
    const { track, parts } = this;
    const { duration } = track.answer;
    const time = this.pointed ?? track.time;
    const probabilities = Object.entries(track.segment(time)?.probabilities ?? {}).slice(0, FIRST);
    const genres = probabilities.map(([genre, p]) => `${genre} ${percent(p)}`).join(", ");
    parts.readout.textContent = `${clock(time)} / ${length(duration)}  ${genres || track.genreAt(time)}`;
    parts.slider.style.setProperty("--at", duration ? track.time / duration : 0);
    if (track.open && track.peaks && this.parts.wave.clientWidth) paint(track, parts.wave);
  }

  /** For a screen reader, which would read out every change of a slider that moves by itself. */
  tell() {
    const { track, parts } = this;
    const segment = track.segment(track.time);
    const sure = segment?.genre ? ` ${percent(segment.probabilities[segment.genre])}` : "";
    parts.slider.ariaValueNow = Math.round(track.time);
    parts.slider.ariaValueText =
      `${Math.floor(track.time)} of ${Math.round(track.answer.duration)} seconds, ${track.genreAt(track.time)}${sure}`;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { track } = this;
    const { duration } = track.answer;
    const step = Math.max(1, Math.round(duration / 60));
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    this.pointed = null; // the keyboard moves what is read
    if (event.key === " ") toggle(track);
    else if (event.key === "Home") seek(track, 0);
    else if (event.key === "End") seek(track, duration);
    else if (event.key in steps) seek(track, track.time + step * steps[event.key]);
    else return;
    event.preventDefault();
  }
}

/** Neighbouring segments of one genre as one; each begins where the one before ended. */
function stretches(segments) {
  const runs = [];
  for (const { start, end, genre } of segments) {
    const last = runs.at(-1);
    if (last?.genre === genre) last.end = end;
    else runs.push({ start: Math.max(start, last?.end ?? 0), end, genre });
  }
  return runs;
}
