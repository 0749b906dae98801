/** A file that cannot be classified: one sentence, and the `kind` that the Python library has for it. */

export class AudioError extends Error {
  /** `kind` is undecodable, too_short, too_long or silent. */
  constructor(message, kind) {
    super(message);
    Object.assign(this, { name: "AudioError", kind });
  }
}

export const breaksOff = (seconds) =>
  `The file breaks off or is damaged: only ${seconds.toFixed(1)} seconds of it could be read.`;
