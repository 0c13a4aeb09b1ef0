// One line for what went wrong or should be known, and a bar for what takes long.

import { at } from "../dom.js";
import { say } from "../words/words.js";

let note = null; // what should be known of the texts: {key, values}
let fault = null; // what went wrong, in its place: {key, values, of, again}

/** Show a message of the page's words about new texts, or none; what went wrong before is over. */
export function notify(key, values = {}) {
  note = key === null ? null : { key, values };
  fault = null;
  show();
}

/** Show what went wrong in the texts, a search, a view or the page; `again` tries once more, if that may help. */
export function complain(of, key, values = {}, again = null) {
  fault = { key, values, of, again };
  show();
}

/** Take a fault away, now that something went well: that of the texts only if it was the texts. */
export function settled(of) {
  if (!fault || (fault.of === "texts" && of !== "texts")) return;
  fault = null;
  show();
}

/** Take away the fault of something that is no longer asked for. */
export function dropped(of) {
  if (fault?.of === of) settled(of);
}

/** Show how much of something is done, or hide the bar. */
export function showProgress(share) {
  const bar = at("progress");
  bar.hidden = share === null;
  bar.firstElementChild.style.width = `${100 * (share ?? 0)}%`;
}

function show() {
  const shown = fault ?? note;
  const notice = at("notice");
  const wasFocused = notice.contains(document.activeElement);
  at("notice").hidden = shown === null;
  notice.classList.toggle("fault", fault !== null);
  notice.firstElementChild.textContent = shown === null ? "" : say(shown.key, shown.values);
  at("retry").hidden = !fault?.again;
  if (wasFocused && (notice.hidden || at("retry").hidden)) at("list").focus(); // where keys go on
}

/** Do again what was refused, and say so until it is known how that went. */
async function retry() {
  const { of, again } = fault;
  const trying = { key: "retrying", values: {}, of, again };
  fault = trying;
  show();
  await again();
  if (fault === trying) settled(of); // there is no more to ask
}

at("retry").addEventListener("click", retry);
at("dismiss").addEventListener("click", () => notify(null));
document.addEventListener("language", show);
