/** A file: how far it is, what was answered, and where its player stands. Its card, if it has one, shows it. */

import { SENDING } from "./service.js";

const WORDS = { queued: "Waiting", sending: SENDING, classifying: "Listening", stopped: "Stopped" };
const UNFINISHED = ["queued", "sending", "classifying", "waiting"];
const PASSING = [408, 429]; // and 5xx: another try may fare better; a file that is refused is refused again

export class Track {
  /** Called when any track has changed. */
  static onchange = () => {};

  /** `opens` is whether its card opens when there is something to see. */
  constructor(file, name, opens) {
    Object.assign(this, { file, name, opens, state: "queued", words: "", share: null, round: 0, asking: null });
    Object.assign(this, { answer: null, error: "", status: null, lost: false });
    Object.assign(this, { card: null, open: false, all: false, time: 0, peaks: null, unplayable: false, undrawable: false });
  }

  /** Pass into a state; `words` for those that have something to say. */
  show(state, words = WORDS[state] ?? "") {
    Object.assign(this, { state, words, share: null }); // no share is "it takes as long as it takes"
    this.changed();
  }

  changed() {
    this.card?.refresh();
    Track.onchange();
  }

  /** So much of it has come to the back end. */
  sent(share) {
    if (share >= 1) return this.show("classifying");
    Object.assign(this, { share, words: `${SENDING} ${Math.round(100 * share)}\u00a0%` });
    this.card?.refresh();
  }

  /** `lost` is whether nobody answered. */
  fail(error, status, lost = false) {
    Object.assign(this, { error, status, lost, open: this.open || this.opens });
    this.show("failed", error);
  }

  finish(answer) {
    Object.assign(this, { answer, open: this.open || this.opens });
    this.show("done");
  }

  get unfinished() {
    return UNFINISHED.includes(this.state);
  }

  /** Whether trying again can help. */
  get mayTryAgain() {
    const passing = PASSING.includes(this.status) || this.status >= 500 || this.lost;
    return this.state === "stopped" || (this.state === "failed" && passing);
  }

  /** What stands beside a genre: why not to rely on it, or nothing. */
  get doubt() {
    if (!this.answer?.uncertain) return "";
    return this.answer.recognised === false ? "none of these" : "not sure";
  }

  /** The segment under a time; where the last overlaps the one before, that one goes on to its end. */
  segment(time) {
    const { segments } = this.answer;
    return segments.find((s) => time < s.end) ?? (time <= segments.at(-1).end + 0.01 ? segments.at(-1) : undefined);
  }

  genreAt(time) {
    const segment = this.segment(time);
    return segment ? (segment.genre ?? "silent") : "not classified";
  }
}
