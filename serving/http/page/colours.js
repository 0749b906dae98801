/**
 * The colours of genres. Ten that are told apart with any kind of colour blindness, and whose neighbours differ most;
 * where a model has more genres, hues evenly around the wheel, in two lightnesses by turns.
 */

import { byId, element } from "./dom.js";

const PALETTE = [
  "#8896f9", "#d1c68e", "#d034a4", "#a4ac0d", "#92f6f0", "#a47547", "#76cbf1", "#8558fe", "#db839a", "#cef44b",
]; // all light enough for dark words

export const labels = [];
const swatches = new Map(); // an element that has the genre's colour

const colour = (place) =>
  labels.length <= PALETTE.length
    ? PALETTE[place]
    : `oklch(${place % 2 ? 0.84 : 0.68} 0.15 ${(255 + (360 * place) / labels.length) % 360})`;

/** Give an element the colour of a genre, as --fill. */
export function tint(target, genre) {
  if (!labels.includes(genre)) learn([genre]);
  target.style.setProperty("--fill", colour(labels.indexOf(genre)));
  return target;
}

export function learn(genres) {
  labels.push(...genres.filter((genre) => !labels.includes(genre)));
  for (const genre of labels) {
    if (!swatches.has(genre)) swatches.set(genre, byId("labels").appendChild(element("li", genre, "key")));
    tint(swatches.get(genre), genre);
  }
}

/** The edge of a genre's colour, which is seen on light and dark: for a canvas, which knows no style sheet. */
export const edge = (genre) => getComputedStyle(swatches.get(genre), "::before").borderTopColor;
