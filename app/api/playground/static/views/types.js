// Types of number side by side: what fewer bytes do to the neighbours of these texts.

import { make, short } from "../dom.js";
import { SHOWN_CHARACTERS, TYPE_TEXTS } from "../limits.js";
import { highest } from "../math/nearest.js";
import { similarities } from "../math/vectors.js";
import { isAborted } from "../service/client.js";
import { question } from "../service/embedding.js";
import { bytesOf, measured, TYPES } from "../service/types.js";
import { noteAsked, on, set, state } from "../store.js";
import { number, percent, say } from "../words/words.js";
import { showProgress } from "./notices.js";
import { latest } from "./pending.js";

const MOST_NEAREST = 10;
const SHOWN = 5;
let panel;
let done = { vectors: null, results: null };

export const types = {
  parts: "vectors selected hasFailed",
  suits: (model) => Boolean(model?.main === "dense"),
  begin: (element) => (panel = element),
  draw: latest(draw),
};

on("vectors", () => (done = { vectors: null, results: null }));

async function draw(signal) {
  const { model, texts, vectors, textPrompt, hasFailed } = state;
  if (!vectors || texts.length < 3) {
    const why = vectors ? say("typesFew") : hasFailed ? "" : say("working");
    return () => panel.replaceChildren(make("p", { class: "note" }, why));
  }
  const some = texts.slice(0, TYPE_TEXTS);
  const k = Math.min(MOST_NEAREST, some.length - 1, Math.max(1, Math.floor(some.length / 4)));
  if (done.vectors !== vectors) {
    panel.replaceChildren(make("p", { class: "note" }, say("measuring")));
    done = { vectors, k, n: some.length, results: await measureAll(model, some, textPrompt, { vectors, k, signal }) };
    if (signal.aborted) done = { vectors: null, results: null };
    else note(model, texts, textPrompt);
  }
  return show;
}

async function measureAll(model, texts, prompt, options) {
  const results = {};
  for (const type of Object.keys(TYPES)) {
    const report = (share) => texts.length > model.batch && showProgress(share);
    try {
      results[type] = await measured(model, texts, prompt, type, { ...options, report });
    } catch (error) {
      if (isAborted(error) || error.status !== 424) throw error;
      results[type] = { detail: error.message }; // the model cannot have this type
    } finally {
      showProgress(null);
    }
  }
  return results;
}

function note(model, texts, prompt) {
  const asked = question(model, "dense", texts.slice(0, model.batch), prompt, { output_dtype: "ubinary" });
  noteAsked("types", { ...asked, then: "bits", name: "types", texts: asked.body.inputs });
}

function show() {
  const { texts, vectors, selected } = state;
  const { k, n, results } = done;
  const place = selected < n ? selected : 0;
  const heads = ["type", "bytes", "kept", "firstKept", "change", "worst"];
  panel.replaceChildren(
    make("p", { class: "note" }, say("typesNote", { n }), " ", n < texts.length ? say("typesFirst", { n }) : ""),
    make("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": say("types") },
      make("table", {},
        make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, say(head, { k }))))),
        make("tbody", {}, reference(vectors.width), ...Object.entries(TYPES).map(([type, name]) => line(type, name, results[type]))))),
    make("h2", {}, say("neighboursOf")),
    make("p", { class: "of" }, short(texts[place], SHOWN_CHARACTERS)),
    columns(place),
  );
}

function reference(width) {
  return row("float32", [number(bytesOf("float", width)), percent(1, 1), percent(1, 1), "0", "–"]);
}

function line(type, name, result) {
  const bytes = number(bytesOf(type, state.vectors.width));
  if (result.detail) return row(name, [bytes, make("span", { class: "fault" }, result.detail), "", "", ""]);
  const { mean, firstKept, change, worst, worstKept } = result;
  const jump = make("button", { type: "button", class: "quiet", click: () => set({ selected: worst, pointed: -1 }) },
    `${short(state.texts[worst], 40)} · ${say("worstKept", { share: percent(worstKept) })}`);
  const changed = change === null ? say("byBits") : change.toPrecision(2);
  return row(name, [bytes, percent(mean, 1), percent(firstKept, 1), changed, worstKept < 1 ? jump : "–"]);
}

function row(name, cells) {
  return make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((cell) => make("td", {}, cell)));
}

/** The nearest texts of one text, a column for each type; those that float32 does not have are marked. */
function columns(place) {
  const { vectors } = state;
  const { k, n, results } = done;
  const scores = similarities(vectors, vectors.rows[place]).slice(0, n);
  const exact = highest(scores, Math.min(SHOWN, k), place);
  const lists = [["float32", exact]];
  for (const [type, name] of Object.entries(TYPES)) {
    if (!results[type].detail) lists.push([name, results[type].lists[place].slice(0, exact.length)]);
  }
  return make("div", { class: "columns" }, ...lists.map(([name, places]) =>
    make("section", {}, make("h3", {}, name), make("ol", {}, ...places.map((one, i) => entry(one, i, exact))))));
}

function entry(place, i, exact) {
  const was = exact.indexOf(place);
  const moved = was < 0 ? " is-new" : was !== i ? " is-moved" : "";
  const title = was < 0 ? say("notAmong") : null;
  return make("li", { class: moved.trim(), title }, short(state.texts[place], SHOWN_CHARACTERS));
}
