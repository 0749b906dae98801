/** One sentence that everyone sees, and where there is a way back, the button for it. */

import { byId, say } from "./dom.js";

/** Say it, or with no words, say nothing any more; `undo` takes back what was done. */
export function notice(words, undo = null) {
  byId("notice").hidden = !words;
  byId("noticed").textContent = words;
  byId("undo").hidden = !undo;
  byId("undo").onclick = () => {
    notice("");
    undo();
    byId("files").focus();
  };
  if (words) say(words);
}

byId("dismiss").onclick = () => {
  notice("");
  byId("files").focus();
};
