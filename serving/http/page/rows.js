/** The list on the screen. Of thousands of files only those in sight, and some around them, have a card. */

import { Card } from "./card.js";
import { byId } from "./dom.js";
import { current } from "./player.js";

const AROUND = 500; // pixels above and below the window, where cards are ready to be scrolled to

const list = byId("tracks");
const cards = new Map(); // by their tracks
const trackOf = new WeakMap(); // by the elements of their cards
const guess = { closed: 48, open: 300 }; // pixels: the height of the last that was measured
let heights = new WeakMap(); // of tracks that were measured, as {open, height}
let width = 0; // of the list, as they were measured
let shown = [];
let tops = []; // of each that is shown, and the height of all
let due = 0;

const sizes = new ResizeObserver((entries) => {
  for (const { target, borderBoxSize } of entries) {
    const track = trackOf.get(target);
    const [{ inlineSize, blockSize: height }] = borderBoxSize;
    if (inlineSize !== width) heights = new WeakMap(); // all that are drawn are measured together
    width = inlineSize;
    heights.set(track, { open: track.open, height });
    guess[track.open ? "open" : "closed"] = height;
  }
  soon();
});

/** Show these, in this order. */
export function show(tracks) {
  shown = tracks;
  arrange();
}

/** Make a card of a file that is shown, for the keyboard to go to; null where it is not shown. */
export function reach(track) {
  if (!shown.includes(track)) return null;
  if (!cards.has(track)) window.scrollTo({ top: list.offsetTop + tops[shown.indexOf(track)] - innerHeight / 2 });
  arrange();
  return cards.get(track);
}

/** Measure anew: a card was opened or closed, or the window has another width. */
export function soon() {
  due ||= requestAnimationFrame(() => ((due = 0), arrange()));
}

function heightOf(track) {
  const known = heights.get(track);
  return known?.open === track.open ? known.height : guess[track.open ? "open" : "closed"];
}

function arrange() {
  tops = [0];
  for (const track of shown) tops.push(tops.at(-1) + heightOf(track));
  list.style.height = `${tops.at(-1)}px`;
  draw();
}

function draw() {
  const { top } = list.getBoundingClientRect();
  const card = document.activeElement?.closest(".card");
  const held = card ? shown.indexOf(trackOf.get(card)) : NaN;
  const wanted = new Map(); // tracks by their places, in order
  shown.forEach((track, place) => {
    const near = tops[place + 1] > -top - AROUND && tops[place] < innerHeight - top + AROUND;
    // And around the one that holds the keyboard, so that it goes on from there.
    if (near || track === current || Math.abs(place - held) <= 1) wanted.set(track, place);
  });
  for (const [track, card] of cards) {
    if (wanted.has(track)) continue;
    sizes.unobserve(card.item);
    card.leave();
    cards.delete(track);
  }
  let next = list.firstChild;
  for (const [track, place] of wanted) {
    const card = cards.get(track) ?? enter(track);
    card.item.style.transform = `translateY(${tops[place]}px)`;
    card.item.ariaPosInSet = place + 1;
    card.item.ariaSetSize = shown.length;
    if (card.item === next) next = next.nextSibling;
    else put(card.item, next);
  }
}

function enter(track) {
  const card = new Card(track);
  cards.set(track, card);
  trackOf.set(card.item, track);
  sizes.observe(card.item);
  return card;
}

/** An element that is moved loses the keyboard, unless it is given back. */
function put(item, next) {
  const focused = item.contains(document.activeElement) ? document.activeElement : null;
  const isNew = !item.isConnected;
  list.insertBefore(item, next);
  focused?.focus({ preventScroll: true });
  if (isNew) trackOf.get(item).card.settle();
}

addEventListener("scroll", soon, { passive: true });
addEventListener("resize", () => {
  soon();
  for (const card of cards.values()) card.settle();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const card of cards.values()) card.settle();
});
