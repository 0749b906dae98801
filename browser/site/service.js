/** The back end in the browser: the model answers here, and no file goes anywhere. */

import { AudioError, Classifier } from "../classifier/classifier.js";

/** What a file is doing before the model listens to it. */
export const SENDING = "Decoding";

const NOT_LOADED = "The model cannot be loaded: try again in a moment.";
const UNREADABLE = "This file cannot be read: it may have been moved, or be a folder.";
const STATUS = { undecodable: 400, too_long: 413, too_short: 422, silent: 422 }; // as the service has them

let loading = null; // a promise of the classifier
let loaded = () => {};

/** The answer for one file, as the service's back end gives it. */
export async function ask(file, { sent, signal }) {
  let classifier;
  try {
    classifier = await load();
  } catch {
    return { kind: "lost", error: NOT_LOADED };
  }
  try {
    return { kind: "answered", answer: await classifier.classify(file, { progress: sent, signal }) };
  } catch (error) {
    if (error instanceof AudioError) return { kind: "refused", status: STATUS[error.kind], error: error.message };
    if (error instanceof DOMException) return { kind: "refused", status: 0, error: UNREADABLE };
    return { kind: "refused", status: 500, error: `The model has failed (${error.message}): load the page again.` };
  }
}

/** What the model is, once it is loaded; `tell` is called with words on how far that is. */
export async function describe(tell) {
  loaded = (share) => tell(`Loading the model, ${Math.round(100 * share)}\u00a0% …`);
  try {
    const { info } = await load();
    return { kind: "answered", model: info };
  } catch {
    return { kind: "lost", error: NOT_LOADED };
  }
}

function load() {
  loading ??= kept()
    .then(() => Classifier.load({ progress: (share) => loaded(share) }))
    .catch((error) => {
      loading = null;
      throw error;
    });
  return loading;
}

/**
 * Have the site kept, so that it works without a network from now on. What is loaded after that is kept as it comes. A
 * browser that cannot, or may not, goes without.
 */
async function kept() {
  try {
    const { active, installing } = await navigator.serviceWorker.register("sw.js");
    if (active || !installing) return;
    await new Promise((resolve) => {
      installing.onstatechange = () => ["activated", "redundant"].includes(installing.state) && resolve();
    });
  } catch {
    // There is none where the page did not come by https, and some private windows have none.
  }
}
