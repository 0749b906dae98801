/** Ogg with Vorbis or Opus: a piece has the pages of the stream's head, and pages from a little early on. */

import { says, view } from "./bytes.js";

const EARLY_SECONDS = 0.2; // that bring the decoder into its state
const OPUS_RATE = 48_000; // Hz, whatever was encoded
const [FIRST_PAGE, LAST_PAGE] = [2, 4]; // flags
const CODECS = [
  { name: "\x01vorbis", packets: 3, rate: (bytes, place) => view(bytes).getUint32(place + 12, true) },
  { name: "OpusHead", packets: 2, rate: () => OPUS_RATE },
];

export function read(bytes) {
  const first = pageAt(bytes, 0);
  const codec = first && CODECS.find(({ name }) => says(bytes, first.body, name));
  if (!codec) return null;
  const rate = codec.rate(bytes, first.body);
  return { rate, cut: cut(rate, headPages(bytes, codec.packets)), ends };
}

/** Whether the last page is marked as a stream's last. */
function ends(tail) {
  let place = tail.length - 6;
  while (place >= 0 && !says(tail, place, "OggS")) place--;
  return place < 0 || Boolean(tail[place + 5] & LAST_PAGE);
}

function cut(rate, head) {
  if (!head) return undefined;
  return {
    edge(bytes, offset) {
      const pages = pagesFrom(bytes, findPage(bytes));
      const begin = pages.find(({ samples }) => samples !== null);
      const end = begin && pages.find(({ samples }) => samples > begin.samples + EARLY_SECONDS * rate);
      return end ? { from: offset + pages[0].start, keep: offset + end.next, before: end.samples } : null;
    },
    wrap: (body) => [head, body],
    samples(bytes, { before }) {
      const last = pagesFrom(bytes, 0).findLast(({ samples }) => samples !== null);
      return last ? last.samples - before : 0;
    },
  };
}

/** The pages of the head; null where it is longer than what was read, or where there is another stream beside. */
function headPages(bytes, packets) {
  let ended = 0;
  for (let page = pageAt(bytes, 0); page; page = pageAt(bytes, page.next)) {
    if (page.start && page.flags & FIRST_PAGE) return null;
    ended += page.packets;
    if (ended >= packets) return bytes.slice(0, page.next);
  }
  return null;
}

function findPage(bytes) {
  for (let place = 0; place + 4 <= bytes.length; place++) if (pageAt(bytes, place)) return place;
  return bytes.length;
}

function pagesFrom(bytes, start) {
  const pages = [];
  for (let page = pageAt(bytes, start); page; page = pageAt(bytes, page.next)) pages.push(page);
  return pages;
}

/** The page at a place; `samples` is how many the stream has where its last packet ends, null if none ends. */
function pageAt(bytes, start) {
  if (!says(bytes, start, "OggS\0") || start + 27 > bytes.length) return null;
  const body = start + 27 + bytes[start + 26];
  if (body > bytes.length) return null;
  const lacing = bytes.subarray(start + 27, body);
  const next = body + lacing.reduce((sum, each) => sum + each, 0);
  if (next > bytes.length) return null;
  const samples = Number(view(bytes).getBigInt64(start + 6, true));
  const packets = lacing.reduce((sum, each) => sum + (each < 255), 0);
  return { start, flags: bytes[start + 5], body, next, packets, samples: samples < 0 ? null : samples };
}
