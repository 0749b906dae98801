/** The page: its buttons. Plain DOM: nothing to install, nothing to build. */

import { byId } from "./dom.js";
import { asCsv, copy, download, results, unsaved } from "./export.js";
import "./intake.js";
import { remove, tracks } from "./list.js";
import { introduce } from "./model.js";
import { enqueue, stop } from "./queue.js";
import { update } from "./summary.js";
import { Track } from "./track.js";

Track.onchange = update;

byId("stop").onclick = () => {
  if (byId("stop").textContent === "Stop") return stop();
  enqueue(tracks.filter((track) => track.state === "stopped" || (track.state === "failed" && track.lost)).reverse());
};
byId("copy").onclick = () => copy(byId("copy"), results());
byId("json").onclick = () => download("genres.json", "application/json", JSON.stringify(results(), null, 2));
byId("csv").onclick = () => download("genres.csv", "text/csv", asCsv(results()));
byId("clear").onclick = () => {
  remove(tracks);
  byId("undo").focus();
};

addEventListener("beforeunload", (event) => {
  if (unsaved()) event.preventDefault(); // the browser asks whether to leave
});

introduce();
