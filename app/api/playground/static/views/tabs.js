// The views beside the list, one of them at a time; a model has those that suit its kind.

import { at, make } from "../dom.js";
import { on, set, state } from "../store.js";
import { say } from "../words/words.js";
import { heat } from "./heat.js";
import { map } from "./map.js";
import { maxsim } from "./maxsim.js";
import { dropped } from "./notices.js";
import { tokens } from "./tokens.js";
import { types } from "./types.js";
import { weights } from "./weights.js";

// Each has a `panel`, `suits(model)`, `parts` of the state that it shows, and `draw()`.
const VIEWS = { map, heat, tokens, weights, maxsim, types };

/** Show the tabs and the view that is chosen. */
export function beginTabs() {
  for (const [name, view] of Object.entries(VIEWS)) {
    const attributes = { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true };
    const panel = make("div", attributes);
    view.begin(panel);
    at("panels").append(panel);
    on(`${view.parts} model`, () => state.view === name && view.suits(state.model) && view.draw());
  }
  at("tabs").addEventListener("keydown", step);
  on("model", showTabs);
  on("view", showView);
  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width !== width) requestAnimationFrame(redraw);
    width = contentRect.width;
  }).observe(at("panels"));
}

/** Draw the view again: the theme, the language or the size is another. */
export function redraw() {
  showTabs();
  if (state.model) VIEWS[state.view].draw();
}

function fitting() {
  return Object.keys(VIEWS).filter((name) => VIEWS[name].suits(state.model));
}

function showTabs() {
  if (!state.model) return;
  const names = fitting();
  const focused = document.activeElement?.getAttribute("role") === "tab";
  const view = names.includes(state.view) ? state.view : names[0];
  at("tabs").replaceChildren(
    ...names.map((name) =>
      make("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`,
        "aria-selected": String(name === view), tabindex: name === view ? "0" : "-1",
        click: () => set({ view: name }),
      }, say(name)),
    ),
  );
  if (focused) at(`tab-${view}`).focus();
  if (view === state.view) showPanels();
  else set({ view });
}

function showView() {
  dropped("view"); // of the one before
  showTabs();
  VIEWS[state.view].draw();
}

function showPanels() {
  for (const name of Object.keys(VIEWS)) at(`panel-${name}`).hidden = name !== state.view;
}

function step(event) {
  const change = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!change) return;
  event.preventDefault();
  const names = fitting();
  set({ view: names[(names.indexOf(state.view) + change + names.length) % names.length] });
}
