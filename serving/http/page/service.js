/**
 * The back end: `ask` is all that asks for an answer, and `describe` for the model. Another back end, such as a worker
 * that has the model, takes this module's place.
 */

import { credentials } from "./key.js";

/** What a file is doing while it goes to the back end. */
export const SENDING = "Uploading";

const UNREACHABLE = "The service cannot be reached: try again in a moment.";
const UNREADABLE = "This file cannot be read: it may have been moved, or be a folder.";

/**
 * The answer for one file, as { kind, ... }:
 *   answered: `answer`, as /classify gives it;
 *   key: `error`, for a key is needed or another one;
 *   busy: `error` and `seconds` after which to ask again;
 *   lost: `error`, for nobody answers;
 *   refused: `error` and `status` (0 for a file that cannot be read).
 * `sent` is called with the share that has come to the back end; `signal` ends it.
 */
export async function ask(file, { sent, signal }) {
  const { status, retryAfter, answer } = await send(file, sent, signal);
  if (status === 200 && answer?.segments) return { kind: "answered", answer };
  if (status === 401) return { kind: "key", error: answer?.error };
  if (!status) {
    const kind = (await readable(file)) ? "lost" : "refused";
    return { kind, status, error: kind === "lost" ? UNREACHABLE : UNREADABLE };
  }
  const error = answer?.error ?? `The service did not answer as it should (status ${status}).`;
  if (status === 503 && retryAfter) return { kind: "busy", status, error, seconds: retryAfter };
  return { kind: "refused", status, error };
}

/**
 * What the model is, as /model gives it, as { kind, ... }: answered: `model`; key or lost: `error`. A back end that must
 * load it first calls an argument with words on how far that is.
 */
export async function describe() {
  try {
    const response = await fetch("model", { headers: credentials() });
    const model = await response.json();
    if (response.status === 401) return { kind: "key", error: model.error };
    return response.ok ? { kind: "answered", model } : { kind: "lost", error: model.error };
  } catch {
    return { kind: "lost", error: UNREACHABLE };
  }
}

/** One request. XMLHttpRequest, for fetch does not tell how much it has sent. */
function send(file, sent, signal) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", "classify");
    request.responseType = "json";
    for (const [name, value] of Object.entries(credentials())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => sent(loaded / total);
    request.upload.onload = () => sent(1);
    request.onloadend = () =>
      resolve({
        status: request.status,
        retryAfter: Number(request.getResponseHeader("Retry-After")),
        answer: request.response,
      });
    signal.addEventListener("abort", () => request.abort());
    const body = new FormData();
    body.append("audio", file); // the browser reads it from disk as it goes
    request.send(body);
  });
}

const readable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);
