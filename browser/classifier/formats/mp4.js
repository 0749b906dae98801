/** MP4 and WebM: their rates. */

import { says, view } from "./bytes.js";

const OPUS_RATE = 48_000; // Hz
const RATES = [44_100, 48_000, 32_000, 22_050, 16_000]; // which music has; another is no rate but chance

export function read(bytes) {
  if (says(bytes, 4, "ftyp")) return mp4(bytes);
  return bytes.length > 4 && view(bytes).getUint32(0) === 0x1a45dfa3 && find(bytes, "A_OPUS") >= 0 ? { rate: OPUS_RATE } : null;
}

/** The rate stands in the description of the samples, which may come after them. */
function mp4(bytes) {
  const place = find(bytes, "mp4a");
  const rate = place >= 0 && place + 30 <= bytes.length ? view(bytes).getUint16(place + 28) : 0;
  return RATES.includes(rate) ? { rate } : null;
}

function find(bytes, word) {
  for (let place = bytes.indexOf(word.charCodeAt(0)); place >= 0; place = bytes.indexOf(word.charCodeAt(0), place + 1)) {
    if (says(bytes, place, word)) return place;
  }
  return -1;
}
