// The list of texts: searched as one types, sorted by what was found, chosen by pointer or keys.

import { duration, searchNow, type } from "../actions.js";
import { at, isStill, make, short } from "../dom.js";
import { LISTED, SHOWN_CHARACTERS } from "../limits.js";
import { similarities } from "../math/vectors.js";
import { on, set, shown, state } from "../store.js";
import { number, percent, say } from "../words/words.js";
import { nameOf } from "./header.js";

const items = new Map(); // place of a text → its element
let listed = LISTED;

/** Show the texts, and let one search and choose among them. */
export function beginList() {
  at("query").addEventListener("input", () => type(at("query").value));
  at("query").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") move(event, 0);
  });
  at("rerank").addEventListener("change", () => {
    set({ isReranking: at("rerank").checked });
    searchNow();
  });
  at("more").addEventListener("click", () => {
    listed += LISTED;
    show();
  });
  at("list").addEventListener("keydown", choose);
  at("list").addEventListener("pointerleave", () => set({ pointed: -1 }));
  on("texts", forget);
  on("texts found labels", show);
  on("vectors selected pointed", showScores);
  on("models model", showSearch);
  on("found embedded isSearching", showTiming);
  on("texts", showSearch);
  document.addEventListener("language", () => {
    showSearch();
    show();
    showTiming();
  });
}

function forget() {
  items.clear();
  listed = LISTED;
}

function order() {
  return state.found?.order ?? state.texts.map((_, place) => place);
}

function show() {
  const list = at("list");
  const before = isStill() ? null : tops();
  const places = order().slice(0, listed);
  list.replaceChildren(...places.map(itemOf));
  at("more").hidden = state.texts.length <= listed;
  at("more").textContent = say("more", { n: Math.min(LISTED, state.texts.length - listed) });
  showScores();
  if (before && state.found) glide(before);
}

function itemOf(place) {
  if (!items.has(place)) {
    const item = make(
      "li",
      {
        id: `text-${place}`,
        role: "option",
        click: () => set({ selected: place }),
        pointerenter: () => set({ pointed: place }),
      },
      make("span", { class: "place" }, String(place + 1)),
      make("span", { class: "words" }, short(state.texts[place], SHOWN_CHARACTERS)),
      make("span", { class: "score" }),
      make("span", { class: "meter", "aria-hidden": "true" }, make("i")),
    );
    items.set(place, item);
  }
  return items.get(place);
}

/** The number beside each text: of the search, or its cosine to the text that is shown. */
function showScores() {
  const { found, vectors, labels, selected, pointed } = state;
  const values = labels?.map((label) => label.score) ?? found?.scores ?? (vectors ? similarities(vectors, vectors.rows[shown()]) : null);
  const most = values ? Math.max(1e-9, ...values) : 1;
  const scale = found && most > 1.001 ? most : 1; // sums and dot products are no cosines
  for (const [place, item] of items) {
    const isOwn = !found && !labels && place === shown();
    item.setAttribute("aria-selected", String(place === selected));
    item.classList.toggle("is-pointed", place === pointed);
    const value = values?.[place];
    item.querySelector(".meter i").style.width = `${value > 0 && !isOwn ? (100 * value) / scale : 0}%`;
    item.querySelector(".score").textContent = labels ? labelOf(labels[place]) : scoreOf(place, value, isOwn);
  }
  at("list").setAttribute("aria-activedescendant", items.has(selected) ? `text-${selected}` : "");
  at("list").classList.toggle("is-found", Boolean(found));
}

function scoreOf(place, value, isOwn) {
  if (value === undefined || isOwn) return "";
  const reranked = state.found?.reranked?.get(place);
  return reranked === undefined ? number(value, 2) : `${number(value, 2)} → ${number(reranked, 3)}`;
}

function labelOf({ label, score }) {
  return `${label} ${percent(score)}`;
}

function showSearch() {
  const { model, models } = state;
  if (!model) return;
  const canSearch = Boolean(model.main) || model.task === "reranker";
  at("query").disabled = !canSearch;
  at("query").placeholder = say("searchHint", { n: number(state.texts.length) });
  const note = { reranker: "noVectors", classifier: "noVectorsLabels" }[model.task];
  at("kind-note").textContent = note ? say(note) : "";
  const reranker = models.find((one) => one.task === "reranker");
  at("rerank-option").hidden = !reranker || !model.main;
  if (reranker) at("rerank-name").textContent = say("rerankWith", { name: nameOf(reranker) });
}

function showTiming() {
  const { found, embedded, texts, isSearching } = state;
  if (isSearching) at("timing").textContent = "…";
  else at("timing").textContent = found ? searchTime(found) : embedTime(embedded, texts.length);
}

function searchTime({ milliseconds, inference, rerankMilliseconds }) {
  const total = number(milliseconds);
  if (rerankMilliseconds) return say("timingRerank", { total, rerank: number(rerankMilliseconds) });
  return inference ? say("timingModel", { total, model: number(inference) }) : say("timing", { total });
}

function embedTime(embedded, n) {
  if (!embedded || !n) return "";
  if (!embedded.asked) return say("cached");
  return say("embedded", { n: number(embedded.asked), time: duration(embedded.milliseconds) });
}

function choose(event) {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  if (event.key in steps) move(event, steps[event.key]);
}

function move(event, step) {
  event.preventDefault();
  const places = order().slice(0, listed);
  const now = places.indexOf(state.selected);
  const next = Math.min(places.length - 1, Math.max(0, (step === 0 ? 0 : now) + step));
  set({ selected: places[next], pointed: -1 });
  at("list").focus();
  items.get(places[next])?.scrollIntoView({ block: "nearest" });
}

function tops() {
  return new Map([...items].map(([place, item]) => [place, item.isConnected ? item.offsetTop : null]));
}

/** Let each text go from where it was to where it is. */
function glide(before) {
  at("list").scrollTop = 0;
  for (const [place, item] of items) {
    const was = before.get(place);
    if (was === null || was === undefined || !item.isConnected || was === item.offsetTop) continue;
    const from = { transform: `translateY(${was - item.offsetTop}px)` };
    item.animate([from, { transform: "none" }], { duration: 220, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}
