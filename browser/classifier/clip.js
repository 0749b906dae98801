/** A clip on its way through the model, in pieces: channels in, the answer out. */

import { Chunker, isAudible } from "./chunks.js";
import { AudioError } from "./errors.js";
import { Resampler, mono } from "./resample.js";
import { decide } from "./verdict.js";

export class Clip {
  #resampler;
  #chunker = new Chunker();
  #audible = [];
  #outputs = {}; // rows of each, for the audible chunks so far

  constructor(rate) {
    this.#resampler = new Resampler(rate);
  }

  async feed(channels, model) {
    await this.#classify(this.#chunker.push(this.#resampler.push(mono(channels))), model);
  }

  /** The answer, once all pieces have come. Throws AudioError where the clip is too short or silent. */
  async finish(warning, model, options) {
    await this.#classify(this.#chunker.push(this.#resampler.end()), model);
    await this.#classify(this.#chunker.end(), model);
    if (!this.#audible.includes(true)) {
      throw new AudioError("The audio is silent from beginning to end: there is nothing to classify.", "silent");
    }
    const clip = { samples: this.#chunker.samples, audible: this.#audible, warning };
    return decide(clip, this.#outputs, model.info, options);
  }

  async #classify(chunks, model) {
    const audible = chunks.map(isAudible);
    this.#audible.push(...audible);
    for (const [name, rows] of Object.entries(await model.run(chunks.filter((_, i) => audible[i])))) {
      (this.#outputs[name] ??= []).push(...rows);
    }
  }
}
