/** The queue: files are asked for a few at a time, and again where the service is busy or lost. */

import { askForKey } from "./key.js";
import { tracks } from "./list.js";
import { model } from "./model.js";
import { ask } from "./service.js";

const IN_FLIGHT = 3; // requests at a time: enough to keep the service busy, few enough to leave it to others
const TRIES = { busy: 60, lost: 3 }; // of a file, where the service refuses for now or cannot be reached
const LOST_SECONDS = 2; // between tries to reach it

let queue = []; // those that wait, first come first served
let workers = 0;

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

export function enqueue(those) {
  for (const track of those) track.show("queued");
  queue.push(...those);
  while (workers < IN_FLIGHT && queue.length) {
    workers++;
    work();
  }
}

/** Take files out; `those` is a Set. */
export function dequeue(those) {
  queue = queue.filter((track) => !those.has(track));
}

export function stop() {
  for (const track of tracks) if (["queued", "waiting"].includes(track.state)) track.show("stopped");
  queue = [];
}

async function work() {
  for (let track; (track = queue.shift()); ) await classify(track);
  workers--;
}

/** Ask for a file until it is answered, refused for good, stopped or removed. */
async function classify(track) {
  const most = model?.limits.max_upload_mb;
  if (track.file.size > most * 2 ** 20) {
    return track.fail(`The file is larger than ${most} MiB: send a shorter or a compressed file.`, 413);
  }
  const tries = { ...TRIES };
  const round = ++track.round;
  for (;;) {
    track.show("sending");
    track.asking = new AbortController();
    const { kind, answer, error, status, seconds = LOST_SECONDS } = await ask(track.file, {
      sent: (share) => track.state === "sending" && track.sent(share),
      signal: track.asking.signal,
    });
    if (track.state === "removed" || track.round !== round) return;
    if (kind === "answered") return track.finish(answer);
    if (kind === "key") {
      track.show("waiting", error);
      await askForKey();
    } else if (kind === "refused" || !--tries[kind]) {
      track.fail(error, status, kind === "lost");
      if (kind === "lost") stop(); // the others would fare no better
      return;
    } else {
      track.show("waiting", `${error} Trying again in ${seconds} s.`);
      await sleep(seconds);
    }
    if (track.state !== "waiting" || track.round !== round) return; // stopped, removed, or begun anew
  }
}
