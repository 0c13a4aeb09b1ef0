// What the page does: find the models, embed texts, search. One newer request ends an older one.

import { breathe } from "./dom.js";
import { maxOf } from "./limits.js";
import { principal } from "./math/pca.js";
import { ask, isAborted, keys } from "./service/client.js";
import { inBatches, question, Rows, vectorsOf } from "./service/embedding.js";
import { models } from "./service/models.js";
import { search } from "./service/search.js";
import { noteAsked, set, state } from "./store.js";
import { askForKey } from "./views/key.js";
import { complain, dropped, notify, settled, showProgress } from "./views/notices.js";
import { number, say } from "./words/words.js";

const PAUSE = 120; // milliseconds after a key, before a query is asked
const known = new Rows();
let embedding = new AbortController();
let searching = new AbortController();
let typing = 0;

/**
 * Show an error of the texts, a search, a view or the page as one line; ask for the key if that is what is missing.
 *
 * `again` tries once more, and is offered where that may help.
 */
export function fail(error, of, again) {
  if (isAborted(error)) return;
  if (error?.status === 401) {
    askForKey(Boolean(keys.get()));
    keys.forget();
  }
  const isOurs = error?.key !== undefined;
  const values = isOurs ? error.values : { detail: String(error?.message ?? error) };
  complain(of, isOurs ? error.key : "failed", values, error?.isPassing ? again : null);
}

/** Find the models, choose the first that has vectors, then go on. */
export async function connect(then) {
  try {
    const found = await models();
    notify(null);
    const chosen = found.find((one) => one.main) ?? found[0];
    set({ models: found });
    useModel(chosen);
    if (state.texts.length) await embed();
    else then();
  } catch (error) {
    fail(error, "texts", () => connect(then));
  }
}

/** Look at the texts with another model. */
export function useModel(model) {
  const { textPrompt, queryPrompt } = model;
  set({ embedded: null, model, textPrompt, queryPrompt, vectors: null, picture: null, labels: null, found: null, rows: [], asked: {} });
}

/** Show these texts, as many of them as the page takes. */
export async function useTexts(texts) {
  const most = maxOf(state.model);
  set({ texts: texts.slice(0, most), selected: 0, pointed: -1, found: null, vectors: null, picture: null, labels: null });
  if (texts.length > most) notify("tooMany", { n: number(texts.length), most: number(most) });
  else notify(null);
  await embed();
}

/** Ask for what the views show of the texts. */
export async function embed() {
  embedding.abort();
  embedding = new AbortController();
  const { signal } = embedding;
  const { model, texts, textPrompt } = state;
  if (!texts.length) return;
  if (!model) {
    await connect(() => {}); // the service did not answer before, or wanted a key
    return;
  }
  set({ hasFailed: false });
  try {
    if (model.main) await embedAs(model, texts, textPrompt, signal);
    else if (model.task === "classifier") await label(model, texts, signal);
    if (signal.aborted) return;
    settled("texts");
    if (state.query) await searchNow();
  } catch (error) {
    if (!isAborted(error)) set({ hasFailed: true });
    fail(error, "texts", embed);
  } finally {
    if (embedding.signal === signal) showProgress(null);
  }
}

async function embedAs(model, texts, prompt, signal) {
  const kind = model.main;
  const report = (share) => texts.length > model.batch && showProgress(share);
  report(0);
  const { rows, asked, milliseconds } = await known.of(model, kind, texts, prompt, { report, signal });
  if (signal.aborted) return;
  const vectors = vectorsOf(kind, rows);
  const picture = await principal(vectors, { breathe });
  if (signal.aborted) return;
  set({ rows, vectors, picture, embedded: { asked, milliseconds } });
  const { path, body } = question(model, kind, texts.slice(0, model.batch), prompt);
  const then = { dense: "neighbours", sparse: "neighboursSparse", multi_vector: "neighboursMulti" }[kind];
  noteAsked("embed", { path, body, then, name: "embed", texts: body.inputs });
}

async function label(model, texts, signal) {
  const labels = new Array(texts.length);
  const path = `${model.base}predict`;
  await inBatches(texts, model.batch, async (batch) => {
    const { data } = await ask(path, { body: { inputs: batch.map((place) => [texts[place]]) }, signal });
    batch.forEach((place, i) => (labels[place] = data[i][0]));
  });
  if (signal.aborted) return;
  set({ labels });
  const body = { inputs: texts.slice(0, model.batch).map((text) => [text]) };
  noteAsked("embed", { path, body, then: "labels", name: "labels" });
}

/** Search as one types: a moment after the last key. */
export function type(query) {
  set({ query });
  clearTimeout(typing);
  searching.abort();
  if (query.trim()) typing = setTimeout(searchNow, PAUSE);
  else {
    set({ found: null });
    dropped("search");
  }
}

/** Search now; an answer that comes after a newer question is dropped. */
export async function searchNow() {
  searching.abort();
  searching = new AbortController();
  const { signal } = searching;
  const { query, model, texts, rows, vectors, queryPrompt } = state;
  const reranker = state.isReranking ? state.models.find((one) => one.task === "reranker") : null;
  const canSearch = query.trim() && texts.length && (vectors || model?.task === "reranker");
  set({ isSearching: Boolean(canSearch) });
  if (!canSearch) return;
  try {
    const of = { model, texts, rows, vectors, queryPrompt };
    const found = await search(of, query.trim(), { reranker, signal });
    if (signal.aborted || texts !== state.texts || model !== state.model) return;
    settled("search");
    set({ found, pointed: -1, selected: found.order[0] });
    noteSearch(of, query.trim(), reranker, found);
  } catch (error) {
    fail(error, "search", searchNow);
  } finally {
    if (searching.signal === signal) set({ isSearching: false });
  }
}

function noteSearch({ model, texts, queryPrompt }, query, reranker, found) {
  const ranker = model.task === "reranker" ? model : reranker;
  if (ranker) {
    const some = found.order.slice(0, ranker.batch).map((place) => texts[place]);
    const asked = { path: `${ranker.base}rerank`, body: { query, texts: some }, then: "rank", name: "rerank" };
    noteAsked("search", { ...asked, texts: some });
    return;
  }
  const own = question(model, model.main, [query], queryPrompt);
  const { body } = question(model, model.main, texts.slice(0, model.batch), state.textPrompt);
  const then = { dense: "search", sparse: "searchSparse", multi_vector: "searchMulti" }[model.main];
  noteAsked("search", { path: own.path, body, then, name: "search", query: own.body, texts: body.inputs });
}

/** How long something took, in words. */
export function duration(milliseconds) {
  return milliseconds < 1000
    ? say("timing", { total: number(milliseconds) })
    : say("timingSeconds", { total: number(milliseconds / 1000, 1) });
}
