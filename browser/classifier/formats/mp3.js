/** MP3: a piece begins some frames early, for a frame may need what those before it left over. */

import { afterTag, says, view } from "./bytes.js";

const EARLY = 10; // frames that bring the decoder into its state
const IN_A_ROW = 3; // frames after which bytes are believed to be frames
const RATES = [44_100, 48_000, 32_000]; // Hz of MPEG 1; MPEG 2 halves them, MPEG 2.5 once more
const KBITS_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const KBITS_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

export function read(bytes) {
  const start = findFrame(bytes, afterTag(bytes));
  if (start === null) return null;
  const { rate, samples } = frameAt(bytes, start);
  const frames = framesTold(bytes, start);
  return { rate, seconds: frames ? (frames * samples) / rate : undefined, cut: cut(rate) };
}

function cut(rate) {
  return {
    edge(bytes, offset) {
      const from = findFrame(bytes, 0, rate);
      if (from === null) return null;
      let keep = from;
      for (let i = 0; i < EARLY; i++) keep += frameAt(bytes, keep)?.length ?? Infinity;
      return keep <= bytes.length ? { from: offset + from, keep: offset + keep } : null;
    },
    wrap: (body) => [body],
    samples(bytes) {
      let total = 0;
      for (let place = 0; place !== null && place < bytes.length; ) {
        const frame = frameAt(bytes, place);
        if (frame && place + frame.length <= bytes.length) total += frame.samples;
        place = frame ? place + frame.length : findFrame(bytes, place, rate);
      }
      return total;
    },
  };
}

/** Where the first frames stand, of a rate if one is given; null where there are none. */
function findFrame(bytes, from, rate) {
  for (let start = from; start + 4 <= bytes.length; start++) {
    let [place, row] = [start, 0];
    while (row < IN_A_ROW) {
      const frame = frameAt(bytes, place);
      if (!frame || frame.rate !== (rate ?? frame.rate)) break;
      [place, row] = [place + frame.length, row + 1];
    }
    if (row === IN_A_ROW) return start;
  }
  return null;
}

/** The frame at a place: its rate, its length in bytes and in samples; null where none is. */
function frameAt(bytes, place) {
  if (bytes[place] !== 0xff || (bytes[place + 1] & 0xe0) !== 0xe0) return null;
  const version = (bytes[place + 1] >> 3) & 3; // 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
  const layer = (bytes[place + 1] >> 1) & 3; // 1 is layer III
  const kbits = (version === 3 ? KBITS_1 : KBITS_2)[bytes[place + 2] >> 4];
  const rate = RATES[(bytes[place + 2] >> 2) & 3] / { 3: 1, 2: 2, 0: 4 }[version];
  if (version === 1 || layer !== 1 || !kbits || !rate) return null;
  const samples = version === 3 ? 1152 : 576;
  const padding = (bytes[place + 2] >> 1) & 1;
  return { rate, samples, length: Math.floor((samples * 125 * kbits) / rate) + padding };
}

/** How many frames the first one tells of, in an encoder's own words; 0 where it tells nothing. */
function framesTold(bytes, start) {
  const mono = bytes[start + 3] >> 6 === 3;
  const side = frameAt(bytes, start).samples === 1152 ? (mono ? 17 : 32) : mono ? 9 : 17;
  const place = start + 4 + side;
  if (!says(bytes, place, "Xing") && !says(bytes, place, "Info")) return 0;
  return bytes[place + 7] & 1 ? view(bytes).getUint32(place + 8) : 0;
}
