/** WAV: a piece has the chunks before the audio, with its own lengths. */

import { says, view } from "./bytes.js";

const UNKNOWN = 0xffff_fff0; // a length from which on a writer did not know it

export function read(bytes) {
  if (!says(bytes, 0, "RIFF") || !says(bytes, 8, "WAVE")) return null;
  const file = view(bytes);
  let rate, perSecond, block;
  for (let place = 12; place + 8 <= bytes.length; ) {
    const length = file.getUint32(place + 4, true);
    const body = place + 8;
    if (says(bytes, place, "fmt ") && body + 14 <= bytes.length) {
      rate = file.getUint32(body + 4, true);
      perSecond = file.getUint32(body + 8, true);
      block = file.getUint16(body + 12, true);
    }
    if (says(bytes, place, "data")) {
      if (!rate || !block || !perSecond) return null;
      const known = length > 0 && length < UNKNOWN;
      return { rate, seconds: known ? length / perSecond : undefined, cut: cut(bytes, body, block, known && length) };
    }
    place = body + length + (length % 2);
  }
  return rate ? { rate } : null;
}

function cut(bytes, start, block, length) {
  return {
    end: length ? start + length : undefined,
    edge(_, offset) {
      const place = start + block * Math.ceil(Math.max(0, offset - start) / block);
      return { from: place, keep: place };
    },
    wrap(body) {
      const head = bytes.slice(0, start);
      view(head).setUint32(4, start - 8 + body.length, true);
      view(head).setUint32(start - 4, body.length, true);
      return [head, body];
    },
  };
}
