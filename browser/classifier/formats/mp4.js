/** MP4 and WebM: their rates, and how many bytes they have when they are whole. */

import { says, view } from "./bytes.js";

const OPUS_RATE = 48_000; // Hz
const RATES = [44_100, 48_000, 32_000, 22_050, 16_000]; // which music has; another is no rate but chance
const LARGE = ["moov", "moof", "mdat"]; // boxes of MP4 that hold all but some words
const [EBML, SEGMENT] = [0x1a45dfa3, 0x18538067]; // the two parts of a WebM

export function read(bytes) {
  if (says(bytes, 4, "ftyp")) return { rate: sampleRate(bytes), bytes: endOfBoxes(bytes) };
  if (!isPart(bytes, 0, EBML)) return null;
  return { rate: find(bytes, "A_OPUS") >= 0 ? OPUS_RATE : undefined, bytes: endOfSegment(bytes) };
}

/** The rate stands in the description of the samples, which may come after them. */
function sampleRate(bytes) {
  const place = find(bytes, "mp4a");
  const rate = place >= 0 && place + 30 <= bytes.length ? view(bytes).getUint16(place + 28) : 0;
  return RATES.includes(rate) ? rate : undefined;
}

function find(bytes, word) {
  for (let place = bytes.indexOf(word.charCodeAt(0)); place >= 0; place = bytes.indexOf(word.charCodeAt(0), place + 1)) {
    if (says(bytes, place, word)) return place;
  }
  return -1;
}

/** Where the last of the large boxes ends. */
function endOfBoxes(bytes) {
  const file = view(bytes);
  let end;
  for (let place = 0; place + 16 <= bytes.length; ) {
    const size = file.getUint32(place);
    const length = size === 1 ? Number(file.getBigUint64(place + 8)) : size;
    if (length < 8) return undefined; // it goes on to the end of the file, or is damaged
    place += length;
    if (LARGE.some((name) => says(bytes, place - length + 4, name))) end = place;
  }
  return end;
}

function endOfSegment(bytes) {
  const head = lengthAt(bytes, 4);
  const segment = head && head.next + head.length;
  const body = isPart(bytes, segment, SEGMENT) && lengthAt(bytes, segment + 4);
  return body ? body.next + body.length : undefined;
}

const isPart = (bytes, place, name) => place + 4 <= bytes.length && view(bytes).getUint32(place) === name;

/** A length of one to eight bytes, which its first bits tell; null where it is not known, as of what is recorded live. */
function lengthAt(bytes, place) {
  const size = 1 + Math.clz32(bytes[place] << 24);
  if (size > 8 || place + size > bytes.length) return null;
  let length = bytes[place] & (0xff >> size);
  for (let i = 1; i < size; i++) length = length * 256 + bytes[place + i];
  return length < 2 ** (7 * size) - 1 ? { length, next: place + size } : null;
}
