/** A file's card: a row, which opens into the whole answer. It is made when it comes near the window. */

import { tint } from "./colours.js";
import { byId, element, length, percent, size } from "./dom.js";
import { copy } from "./export.js";
import { remove, shown } from "./list.js";
import { model } from "./model.js";
import { current, toggle } from "./player.js";
import { enqueue } from "./queue.js";
import { reach, soon } from "./rows.js";
import { report } from "./summary.js";
import { Timeline } from "./timeline.js";

const FIRST = 3; // genres whose bars are seen at once

export class Card {
  constructor(track) {
    this.track = track;
    track.card = this;
    this.item = byId("card").content.firstElementChild.cloneNode(true);
    this.parts = {};
    for (const part of this.item.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    this.timeline = new Timeline(track, this.parts);
    this.answered = null;
    const { name } = track;
    const { open, folder, base, copy: copies, again, all, play } = this.parts;
    const slash = name.lastIndexOf("/") + 1;
    folder.textContent = name.slice(0, slash);
    base.textContent = name.slice(slash);
    open.title = name;
    this.parts.progress.ariaLabel = `Progress of ${name}`;
    this.parts.remove.ariaLabel = `Remove ${name}`;
    copies.ariaLabel = `Copy as JSON: ${name}`;
    again.ariaLabel = `Try again: ${name}`;
    open.onclick = () => this.toggle();
    this.parts.row.onclick = ({ target }) => target.closest("button") || getSelection().toString() || this.toggle();
    this.parts.remove.onclick = () => this.remove();
    copies.onclick = () => copy(copies, track.answer);
    again.onclick = () => {
      const next = this.next();
      open.focus(); // this button goes
      enqueue([track]);
      report();
      if (!this.item.isConnected) this.focus(next); // it is not among those that a filter shows
    };
    all.onclick = () => {
      track.all = !track.all;
      this.bars();
    };
    play.onclick = () => toggle(track);
    this.refresh();
  }

  toggle() {
    this.track.open = !this.track.open;
    this.refresh();
    this.settle();
    soon();
  }

  remove() {
    const next = this.next();
    remove([this.track]);
    report(); // after the last that a filter shows, all are shown
    this.focus(next);
  }

  /** The file after it, or before it. */
  next() {
    const order = shown();
    const place = order.indexOf(this.track);
    return order[place + 1] ?? order[place - 1];
  }

  /** The keyboard stays where it was, though this card goes. */
  focus(next) {
    const track = next ?? shown()[0];
    const card = track && reach(track);
    (card?.parts.remove ?? byId("files")).focus({ preventScroll: Boolean(card) });
  }

  /** Show the track as it is. */
  refresh() {
    const { track, parts } = this;
    const { answer, state } = track;
    this.item.dataset.state = state;
    this.item.classList.toggle("opened", track.open);
    parts.open.ariaExpanded = track.open;
    parts.detail.hidden = !track.open;
    parts.said.textContent = answer ? answer.genre : track.words;
    parts.said.title = answer ? "" : track.words;
    parts.progress.hidden = !["sending", "classifying"].includes(state);
    if (track.share === null) parts.progress.removeAttribute("value");
    else parts.progress.value = track.share;
    parts.again.hidden = !track.mayTryAgain;
    parts.error.textContent = answer ? "" : track.words;
    parts.size.textContent = size(track.file.size);
    if (answer && this.answered !== answer) this.answer(answer);
    this.showPlaying();
  }

  /** What an answer adds to the card; `answered` is the one that it has. */
  answer(answer) {
    const { track, parts } = this;
    const { genre, confidence, duration, segments, warning } = answer;
    this.answered = answer;
    tint(this.item, genre);
    parts.sure.textContent = percent(confidence);
    parts.length.textContent = length(duration);
    parts.doubt.hidden = !track.doubt;
    parts.doubt.textContent = track.doubt;
    parts.damaged.hidden = parts.warning.hidden = !warning;
    parts.damaged.title = parts.warning.textContent = warning ?? "";
    parts.genre.textContent = genre;
    parts.confidence.textContent = `${percent(confidence)} confidence`;
    const audible = segments.filter((segment) => segment.genre).length;
    parts.meaning.textContent = `the probability of ${genre}, averaged over ${audible} audible ${audible === 1 ? "segment" : "segments"}`;
    parts.why.hidden = !track.doubt;
    parts.why.textContent = why(answer);
    parts.copy.hidden = false;
    parts.tags.replaceChildren(
      ...Object.entries(answer.tags ?? {}).map(([tag, p]) =>
        Object.assign(element("li", tag, "chip"), { title: `${percent(p)} probable` }),
      ),
    );
    parts.tags.hidden = !parts.tags.childElementCount;
    const silent = segments.length - audible;
    parts.legend.replaceChildren(
      ...Object.entries(answer.votes).map(([label, n]) =>
        tint(element("li", `${label} ${n} of ${segments.length}`, "key"), label),
      ),
    );
    if (silent) parts.legend.append(element("li", `silent ${silent} of ${segments.length}`, "key silent"));
    this.bars();
    this.timeline.answer();
    this.settle();
  }

  bars() {
    const { track, parts } = this;
    const genres = Object.entries(track.answer.probabilities);
    parts.bars.replaceChildren(
      ...genres.slice(0, track.all ? genres.length : FIRST).map(([label, p]) => {
        const bar = tint(element("li"), label);
        bar.style.setProperty("--share", p);
        bar.append(element("span", label), element("i"), element("b", percent(p)));
        return bar;
      }),
    );
    parts.all.hidden = genres.length <= FIRST;
    parts.all.textContent = track.all ? `The first ${FIRST} alone` : `All ${genres.length} genres`;
    parts.all.ariaExpanded = track.all;
  }

  showPlaying() {
    const { track, parts } = this;
    const playing = current === track && !byId("player").paused;
    this.item.classList.toggle("playing", playing);
    parts.play.ariaLabel = `${playing ? "Pause" : "Play"} ${track.name}`;
    parts.play.disabled = track.unplayable;
  }

  /** It stands in the window, or has another size or other colours: what depends on these is drawn. */
  settle() {
    if (this.track.open && this.track.answer && this.item.isConnected) this.timeline.settle();
  }

  leave() {
    this.item.remove();
    this.track.card = null;
  }
}

/** Why an answer is not to be relied on. */
function why({ genre, recognised }) {
  if (recognised === false) {
    return `None of these: it sounds unlike the music that the model knows its genres from. ${capital(genre)} is the most like it.`;
  }
  const below = model ? `below ${percent(model.uncertain_below)}` : "this low";
  return `Not sure: with a confidence ${below}, answers are often wrong.`;
}

const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
