/** What the service says of its model: asked for until it answers. */

import { learn } from "./colours.js";
import { byId } from "./dom.js";
import { askForKey } from "./key.js";
import { describe } from "./service.js";

const AGAIN_SECONDS = 3;

/** As /model gives it; null until it is known. */
export let model = null;

export async function introduce() {
  const told = await describe((words) => (byId("model").textContent = words));
  if (told.kind === "key") {
    byId("model").textContent = told.error;
    await askForKey();
    return introduce();
  }
  if (told.kind === "lost") {
    byId("model").textContent = told.error;
    setTimeout(introduce, 1000 * AGAIN_SECONDS);
    return;
  }
  model = told.model;
  learn(model.labels);
  const provider = model.provider.replace("ExecutionProvider", "");
  byId("model").textContent = `Model ${model.version} on ${provider}. It knows ${model.labels.length} genres:`;
  const least = Math.round(model.chunk_samples / model.sample_rate);
  const most = model.limits.max_seconds;
  byId("limits").textContent =
    `Any common format will do, from ${least} seconds ${most ? `to ${Math.floor(most / 60)} minutes` : "on"}.`;
}
