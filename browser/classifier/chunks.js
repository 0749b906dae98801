/** A waveform -> the 3-second chunks that the model classifies, as genre_classifier/audio/chunks.py cuts them. */

import { AudioError } from "./errors.js";

export const SAMPLE_RATE = 22_050; // Hz, mono
export const CHUNK_SECONDS = 3;
export const CHUNK_SAMPLES = CHUNK_SECONDS * SAMPLE_RATE; // 66_150 samples in a chunk
export const MIN_TAIL_SAMPLES = CHUNK_SAMPLES / CHUNK_SECONDS; // one second: a shorter tail gets no chunk of its own
const SILENT_BELOW = Math.fround(10 ** (-60 / 20)); // the peak amplitude of -60 dBFS: a quieter chunk is silent

/** First sample of every chunk of a clip, in order; a tail of a second or more has one that ends where the clip ends. */
export function chunkStarts(samples) {
  if (samples < CHUNK_SAMPLES) {
    const seconds = Math.floor((samples * 10) / SAMPLE_RATE) / 10; // rounded down: 2.99 must not read as 3
    const unit = seconds === 1 ? "second" : "seconds";
    throw new AudioError(`The audio is ${seconds} ${unit} long and must be at least ${CHUNK_SECONDS}.`, "too_short");
  }
  const starts = [];
  for (let start = 0; start + CHUNK_SAMPLES <= samples; start += CHUNK_SAMPLES) starts.push(start);
  if (samples % CHUNK_SAMPLES >= MIN_TAIL_SAMPLES) starts.push(samples - CHUNK_SAMPLES);
  return starts;
}

/** Whether the peak of a chunk reaches -60 dBFS. */
export function isAudible(chunk) {
  let peak = 0;
  for (const sample of chunk) {
    if (!Number.isFinite(sample)) {
      throw new AudioError("The audio contains samples that are not numbers (NaN or Infinity).", "undecodable");
    }
    peak = Math.max(peak, Math.abs(sample));
  }
  return peak >= SILENT_BELOW;
}

/** Cuts a waveform that comes in blocks; holds less than two chunks. */
export class Chunker {
  samples = 0;
  #chunk = new Float32Array(0); // the last that was whole
  #rest = new Float32Array(0);

  /** The chunks that a block completes, each Float32Array(66150). */
  push(block) {
    this.samples += block.length;
    let rest = join(this.#rest, block);
    const chunks = [];
    while (rest.length >= CHUNK_SAMPLES) {
      this.#chunk = rest.subarray(0, CHUNK_SAMPLES);
      chunks.push(this.#chunk);
      rest = rest.subarray(CHUNK_SAMPLES);
    }
    this.#rest = rest.slice();
    return chunks;
  }

  /** The chunk of the tail, or none. Throws AudioError where the waveform was shorter than one chunk. */
  end() {
    if (chunkStarts(this.samples).length === Math.floor(this.samples / CHUNK_SAMPLES)) return [];
    return [join(this.#chunk, this.#rest).subarray(-CHUNK_SAMPLES)];
  }
}

export function join(first, second) {
  const joined = new Float32Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
