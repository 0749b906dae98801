/** What the service says of its model: asked for until it answers. */

import { learn } from "./colours.js";
import { byId } from "./dom.js";
import { askForKey } from "./key.js";
import { describe } from "./service.js";

const AGAIN_SECONDS = 3;

/** As /model gives it; null until it is known. */
export let model = null;

export async function introduce() {
  const told = await describe();
  if (told.kind === "key") {
    byId("model").textContent = told.error;
    await askForKey();
    return introduce();
  }
  if (told.kind === "lost") {
    byId("model").textContent = "The service cannot say yet which model it has.";
    setTimeout(introduce, 1000 * AGAIN_SECONDS);
    return;
  }
  model = told.model;
  learn(model.labels);
  const provider = model.provider.replace("ExecutionProvider", "");
  byId("model").textContent = `Model ${model.version} on ${provider}. It knows ${model.labels.length} genres:`;
  const least = Math.round(model.chunk_samples / model.sample_rate);
  byId("limits").textContent =
    `Any common format will do, from ${least} seconds to ${Math.floor(model.limits.max_seconds / 60)} minutes.`;
}
