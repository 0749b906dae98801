/**
 * Classifier: a file to a verdict, in this browser.
 *
 *     const classifier = await Classifier.load();
 *     const verdict = await classifier.classify(file);
 *     console.log(verdict.genre, verdict.confidence);
 */

import { decode } from "./decode.js";
import { AudioError } from "./errors.js";

export { AudioError };

export class Classifier {
  /** What the model says of itself: labels, tags, version, metrics. */
  info;
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #calls = new Map();
  #count = 0;
  #decoding = Promise.resolve(); // files are decoded one after the other: decoded, they are large

  /** Load the model; `progress` is called with the share that has come, 0 to 1. */
  static async load({ progress = () => {} } = {}) {
    const classifier = new Classifier();
    try {
      classifier.info = await classifier.#call("load", [], { progress });
      return classifier;
    } catch (error) {
      classifier.close();
      throw error;
    }
  }

  constructor() {
    this.#worker.onmessage = ({ data: { call, ...told } }) => this.#calls.get(call)?.(told);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      for (const answer of this.#calls.values()) answer({ error: { message: "The model has failed: load the page again." } });
    };
  }

  /**
   * Classify a File or a Blob.
   *
   * `aggregate` and `top_k` are those of the service's /classify, and so is the answer. `progress` is called with the
   * share of the file that is decoded, and `signal` ends it. Throws AudioError where the file cannot be classified: the
   * message is one sentence, and `kind` says which.
   */
  async classify(file, { aggregate, top_k, progress = () => {}, signal } = {}) {
    const clip = this.#count++;
    try {
      const warning = await this.#inTurn(() => this.#feed(clip, file, progress, signal));
      return await this.#call("finish", [clip, warning, { aggregate, top_k }]);
    } finally {
      this.#call("drop", [clip]).catch(() => {});
    }
  }

  /** End the worker; the classifier cannot be used afterwards. */
  close() {
    this.#worker.terminate();
  }

  async #feed(clip, file, progress, signal) {
    for (const pieces = decode(file); ; ) {
      signal?.throwIfAborted();
      const { done, value } = await pieces.next();
      if (done) return value;
      const { rate, channels, share } = value;
      progress(share);
      await this.#call("feed", [clip, rate, channels], { transfer: channels.map(({ buffer }) => buffer) });
    }
  }

  #inTurn(act) {
    const done = this.#decoding.then(act);
    this.#decoding = done.catch(() => {});
    return done;
  }

  #call(method, given, { progress, transfer = [] } = {}) {
    return new Promise((resolve, reject) => {
      const call = this.#count++;
      this.#calls.set(call, (told) => {
        if ("progress" in told) return progress?.(told.progress);
        this.#calls.delete(call);
        if (!told.error) return resolve(told.result);
        const { message, kind } = told.error;
        reject(kind ? new AudioError(message, kind) : new Error(message));
      });
      this.#worker.postMessage({ call, method, given }, transfer);
    });
  }
}
