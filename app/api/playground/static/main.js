// The page: put together, and its first texts asked for.

import { at } from "./dom.js";
import * as actions from "./actions.js";
import { EXAMPLES } from "./text/examples.js";
import * as theme from "./theme.js";
import * as words from "./words/words.js";
import { beginCode } from "./views/code.js";
import { beginHeader } from "./views/header.js";
import { beginKey } from "./views/key.js";
import { beginList } from "./views/list.js";
import { beginSources } from "./views/sources.js";
import { beginTabs, redraw } from "./views/tabs.js";

words.begin();
theme.begin(at("theme"), redraw);
beginHeader();
beginKey(() => actions.connect(first));
beginList();
beginSources();
beginTabs();
beginCode();

at("language").addEventListener("click", () => {
  words.toggle();
  document.dispatchEvent(new Event("language"));
  redraw();
});
addEventListener("error", (event) => event.error && actions.fail(event.error, "page"));
addEventListener("unhandledrejection", (event) => actions.fail(event.reason, "page"));

function first() {
  actions.useTexts(EXAMPLES.support.texts);
}

actions.connect(first);
