/** FLAC: a piece has the first metadata block, STREAMINFO, and whole frames. */

import { afterTag, says, view } from "./bytes.js";

const LAST_BLOCK = 0x80;
const STREAMINFO = 8 + 34; // bytes: "fLaC", the head of the block, the block

export function read(bytes) {
  const start = afterTag(bytes);
  if (!says(bytes, start, "fLaC") || start + STREAMINFO > bytes.length) return null;
  const info = bytes.slice(start, start + STREAMINFO);
  const word = view(info).getUint32(18); // 20 bits of rate, 3 of channels, 5 of sample size, 4 of the number of samples
  const rate = word >>> 12;
  const samples = (word & 15) * 2 ** 32 + view(info).getUint32(22);
  return { rate, seconds: samples ? samples / rate : undefined, cut: cut(info, firstFrame(bytes, start)) };
}

/** The first bytes of the first frame, or null where the metadata is longer than what was read. */
function firstFrame(bytes, start) {
  let place = start + 4;
  for (let last = false; !last; ) {
    if (place + 4 > bytes.length) return null;
    last = Boolean(bytes[place] & LAST_BLOCK);
    place += 4 + ((bytes[place + 1] << 16) | (bytes[place + 2] << 8) | bytes[place + 3]);
  }
  return isFrame(bytes, place) ? bytes.slice(place, place + 4) : null;
}

function cut(info, first) {
  if (!first) return undefined;
  const head = info.slice();
  head[4] |= LAST_BLOCK;
  head[21] &= 0xf0; // the number of samples is not told
  head.fill(0, 22, 26);
  head.fill(0, 26); // nor the checksum of them all
  return {
    edge(bytes, offset) {
      for (let place = 0; place + 16 <= bytes.length; place++) {
        // As in the first frame, but the kind of stereo, which each frame chooses.
        const alike =
          bytes[place] === first[0] &&
          bytes[place + 1] === first[1] &&
          bytes[place + 2] === first[2] &&
          (bytes[place + 3] & 15) === (first[3] & 15);
        if (alike && isFrame(bytes, place)) return { from: offset + place, keep: offset + place };
      }
      return null;
    },
    wrap: (body) => [head, body],
  };
}

/** Whether a frame's head stands at a place, by its checksum. */
function isFrame(bytes, place) {
  if (bytes[place] !== 0xff || (bytes[place + 1] & 0xfe) !== 0xf8) return false;
  let length = 4 + Math.max(1, Math.clz32(~(bytes[place + 4] << 24))); // the number of the frame, as UTF-8 has it
  const [size, rate] = [bytes[place + 2] >> 4, bytes[place + 2] & 15];
  length += size === 6 ? 1 : size === 7 ? 2 : 0;
  length += rate === 12 ? 1 : rate === 13 || rate === 14 ? 2 : 0;
  let checksum = 0;
  for (let i = place; i < place + length; i++) {
    checksum ^= bytes[i];
    for (let bit = 0; bit < 8; bit++) checksum = (checksum << 1) ^ (checksum & 0x80 ? 0x107 : 0);
  }
  return checksum === bytes[place + length];
}
