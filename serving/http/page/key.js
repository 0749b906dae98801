/** The key, where the operator asks for one: kept for this tab alone. */

import { byId } from "./dom.js";

let key = sessionStorage.getItem("key") ?? "";
let keyComes = null; // a promise, while one is asked for

export const credentials = () => (key ? { Authorization: `Bearer ${key}` } : {});

/** Ask for a key, once for all who were refused without one. */
export function askForKey() {
  keyComes ??= new Promise((resolve) => {
    byId("asked").textContent = key ? "The service does not take this key. Another one:" : "This service asks for a key:";
    byId("access").hidden = false;
    byId("key").focus();
    byId("access").onsubmit = (event) => {
      event.preventDefault();
      key = byId("key").value;
      sessionStorage.setItem("key", key);
      byId("key").value = "";
      byId("access").hidden = true;
      byId("files").focus();
      keyComes = null;
      resolve();
    };
  });
  return keyComes;
}
