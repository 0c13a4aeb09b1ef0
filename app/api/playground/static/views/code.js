// The code that does what the page just did, to be copied.

import { at } from "../dom.js";
import { keys } from "../service/client.js";
import { on, state } from "../store.js";
import { curl, python } from "../text/snippets.js";
import { say } from "../words/words.js";

const OF_TEXTS = new Set(["map", "heat"]);
let language = "curl";

/** Show the code of what the view shows, and let it be copied. */
export function beginCode() {
  for (const name of ["curl", "python"]) {
    at(`as-${name}`).addEventListener("click", () => {
      language = name;
      show();
    });
  }
  at("copy").addEventListener("click", copy);
  on("asked view found", show);
  document.addEventListener("language", show);
  show();
}

/** What was asked for the view: the search if there is one, else the texts. */
function asked() {
  const name = OF_TEXTS.has(state.view) ? (state.found ? "search" : "embed") : state.view;
  return state.asked[name] ?? state.asked[state.found ? "search" : "embed"] ?? null;
}

function show() {
  const now = asked();
  for (const name of ["curl", "python"]) at(`as-${name}`).setAttribute("aria-pressed", String(name === language));
  at("copy").textContent = say("copy");
  at("code").hidden = now === null;
  if (now === null) return;
  at("asked").textContent = say(`asked_${now.name}`);
  at("snippet").textContent = (language === "curl" ? curl : python)(now, Boolean(keys.get()));
}

async function copy() {
  const text = at("snippet").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    select(at("snippet")); // a page without TLS has no clipboard, except on this machine
    document.execCommand("copy");
  }
  at("copy").textContent = say("copied");
  setTimeout(() => (at("copy").textContent = say("copy")), 1500);
}

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}
