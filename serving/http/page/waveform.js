/** Waveforms: of open cards in the window, decoded one after the other. */

import { edge } from "./colours.js";
import { player, silence } from "./player.js";

export const WAVE_SECONDS = 600; // a longer file is not decoded for its picture: it would take hundreds of megabytes
const WAVE_RATE = 8000; // Hz, enough for a picture
const PEAKS = 1000; // kept of a waveform

let decoding = Promise.resolve();

/** Decode a file for its picture, unless its card has gone when its turn comes. */
export function wave(track) {
  const done = () => track.peaks || track.unplayable || track.undrawable;
  if (done()) return;
  decoding = decoding.then(async () => {
    if (!track.card || done()) return;
    try {
      track.peaks = await peaks(track.file);
      track.card?.timeline.draw();
    } catch {
      if (!player.canPlayType(track.file.type)) return silence(track);
      track.undrawable = true;
      track.card?.timeline.explain();
    }
  });
}

/** The picture of a track, in its genres' colours up to where it stands. */
export function paint(track, canvas) {
  const { duration } = track.answer;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  const bars = Math.max(1, Math.floor(width / 4));
  const rest = getComputedStyle(canvas).color;
  const colours = new Map();
  const colour = (genre) => {
    if (!colours.has(genre)) colours.set(genre, genre ? edge(genre) : rest);
    return colours.get(genre);
  };
  for (let i = 0; i < bars; i++) {
    const from = Math.floor((i * PEAKS) / bars);
    const peak = Math.max(...track.peaks.subarray(from, Math.max(from + 1, Math.floor(((i + 1) * PEAKS) / bars))));
    const middle = ((i + 0.5) / bars) * duration;
    context.fillStyle = middle <= track.time ? colour(track.segment(middle)?.genre) : rest;
    const tall = Math.max(2, peak * height);
    context.beginPath();
    context.roundRect((i * width) / bars, (height - tall) / 2, 2.5, tall, 1.25);
    context.fill();
  }
}

/** The loudest sample of each of PEAKS parts, of 1 for the loudest of all. */
async function peaks(file) {
  const context = new OfflineAudioContext(1, 1, WAVE_RATE);
  const audio = await context.decodeAudioData(await file.arrayBuffer());
  const most = new Float32Array(PEAKS);
  for (let channel = 0; channel < audio.numberOfChannels; channel++) {
    audio.getChannelData(channel).forEach((sample, i, all) => {
      const part = Math.floor((i * PEAKS) / all.length);
      most[part] = Math.max(most[part], Math.abs(sample));
    });
  }
  const loudest = Math.max(...most) || 1;
  return most.map((peak) => peak / loudest);
}
