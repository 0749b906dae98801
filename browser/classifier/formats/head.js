/**
 * What is read of a file's head, so that the browser decodes it at its own rate, and a long one in pieces.
 *
 * A format's module has `read(bytes)`: null where the file is of another, else
 *   rate: Hz, as the decoder will give it, where it is known;
 *   seconds: of audio, where the head tells it;
 *   bytes: of the file, where the head tells it;
 *   ends(tail): whether a file with this end, the last of its TAIL_BYTES, is whole. It is if absent;
 *   cut: how to cut the file, where that is known. A piece is what the decoder takes for a file: what a format needs at
 *     the beginning, and bytes between two edges.
 *       end: where its audio ends, in bytes; the file's own end if absent;
 *       edge(bytes, offset): the first place in bytes, which begin at an offset of the file, where a piece can begin, or
 *         null. `from` is where decoding begins, and `keep` where the samples that are wanted begin: what lies between
 *         brings the decoder into its state. Both are places in the file.
 *       wrap(bytes): the parts of a piece;
 *       samples(bytes, edge): how many samples the bytes after `keep` give; the last of the piece. All if absent.
 */

import * as flac from "./flac.js";
import * as mp3 from "./mp3.js";
import * as mp4 from "./mp4.js";
import * as ogg from "./ogg.js";
import * as wav from "./wav.js";

export const TAIL_BYTES = 2 ** 16; // a page of Ogg, the largest there is
const DEFAULT_RATE = 44_100; // Hz; the browser resamples what has another

export function readHead(bytes) {
  for (const { read } of [wav, flac, ogg, mp4, mp3]) {
    const head = read(bytes);
    if (head && head.rate !== 0) return { ...head, rate: head.rate ?? DEFAULT_RATE }; // a damaged head may say 0
  }
  return { rate: DEFAULT_RATE };
}
