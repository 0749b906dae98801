/** The model and the clips that are on their way through it, away from the page's own thread. */

import { Clip } from "./clip.js";
import { Model } from "./model.js";

const clips = new Map();
let model;

const methods = {
  async load(tell) {
    model = await Model.load(tell);
    return model.info;
  },
  /** A piece of a clip's audio; the clip begins with it where it is not known. */
  async feed(tell, clip, rate, channels) {
    if (!clips.has(clip)) clips.set(clip, new Clip(rate));
    await clips.get(clip).feed(channels, model);
  },
  async finish(tell, clip, warning, options) {
    return clips.get(clip).finish(warning, model, options);
  },
  async drop(tell, clip) {
    clips.delete(clip);
  },
};

let last = Promise.resolve(); // calls wait for each other: the model has the processor to itself

onmessage = ({ data: { call, method, given } }) => {
  last = last.then(async () => {
    try {
      const tell = (progress) => postMessage({ call, progress });
      postMessage({ call, result: await methods[method](tell, ...given) });
    } catch (error) {
      postMessage({ call, error: { name: error.name, message: error.message, kind: error.kind } });
    }
  });
};
