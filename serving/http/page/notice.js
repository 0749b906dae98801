/** One sentence that everyone sees, and where there is a way back, the button for it. */

import { byId } from "./dom.js";

let back = null; // what takes back what was done, while that is offered

/** Say it; `undo` takes back what was done, and stays offered whatever is said after it. */
export function notice(words, undo = null) {
  const before = back && !undo ? `${byId("noticed").textContent} ` : "";
  back = undo ?? back;
  byId("noticed").textContent = before + words;
  byId("notice").hidden = false;
  byId("undo").hidden = !back;
  byId("told").textContent = words;
}

function dismiss() {
  back = null;
  byId("notice").hidden = true;
  byId("told").textContent = "";
  byId("files").focus();
}

byId("undo").onclick = () => {
  const undo = back;
  dismiss();
  undo();
};
byId("dismiss").onclick = dismiss;
