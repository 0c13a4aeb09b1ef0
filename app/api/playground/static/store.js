// The state of the page, and who wants to know when a part of it changes.

const listeners = [];

/** What the page shows; changed by `set` alone. */
export const state = {
  models: [],
  model: null, // the one whose vectors are shown
  texts: [],
  rows: [], // of the texts, of the model's main kind, as they came
  vectors: null, // the same as math/vectors.js, or null while there are none
  picture: null, // of math/pca.js
  hasFailed: false, // whether the service refused the texts
  embedded: null, // how many texts were embedded last, and how long it took
  isReranking: false,
  isSearching: false,
  labels: null, // of a classifier: one {label, score} a text
  textPrompt: "",
  queryPrompt: "",
  query: "",
  found: null, // of service/search.js
  selected: 0, // the place of the chosen text
  pointed: -1, // that of the text under the pointer, or -1
  view: "map",
  asked: {}, // by view: what was asked of the service, for text/snippets.js
};

/** Change parts of the state, and tell those who listen to any of them. */
export function set(changes) {
  const changed = Object.keys(changes).filter((name) => state[name] !== changes[name]);
  Object.assign(state, changes);
  for (const { names, tell } of listeners) if (names.some((name) => changed.includes(name))) tell();
}

/** Call `tell` after any of these parts has changed. */
export function on(names, tell) {
  listeners.push({ names: names.split(" "), tell });
}

/** The place of the text that the views are about: under the pointer, or chosen. */
export function shown() {
  return state.pointed >= 0 ? state.pointed : state.selected;
}

/** Note what was asked for a view: a path, a body, and what is done with the answer. */
export function noteAsked(view, { path, body, then, name, query, texts }) {
  const base = new URL(state.model.base, document.baseURI).href;
  const url = new URL(path, document.baseURI).href;
  const most = state.model.batch;
  const asked = { base, url, path: url.slice(base.length), body, then, name, query, texts, most, total: state.texts.length };
  if (!url.startsWith(base)) Object.assign(asked, { base: new URL("./", url).href, path: url.split("/").pop() });
  set({ asked: { ...state.asked, [view]: asked } });
}
