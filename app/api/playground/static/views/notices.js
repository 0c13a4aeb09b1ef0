// One line for what went wrong or should be known, and a bar for what takes long.

import { at } from "../dom.js";
import { say } from "../words/words.js";

let shownKey = null;
let shownValues = {};

/** Show a message of the page's words, or none. */
export function notify(key, values = {}, isFault = false) {
  [shownKey, shownValues] = [key, values];
  const notice = at("notice");
  notice.hidden = key === null;
  notice.classList.toggle("fault", isFault);
  notice.firstElementChild.textContent = key === null ? "" : say(key, values);
}

/** Show how much of something is done, or hide the bar. */
export function showProgress(share) {
  const bar = at("progress");
  bar.hidden = share === null;
  bar.firstElementChild.style.width = `${100 * (share ?? 0)}%`;
}

at("dismiss").addEventListener("click", () => notify(null));
document.addEventListener("language", () => {
  if (shownKey) at("notice").firstElementChild.textContent = say(shownKey, shownValues);
});
