// Texts to rows of any kind, in batches that the service takes, known rows not asked for again.

import { meanOf, Dense, Sparse } from "../math/vectors.js";
import { rowsOf } from "../math/numbers.js";
import { ask } from "./client.js";

const MOST_CHARACTERS = 200_000; // of one request; the payload limit is in bytes, and not known
const AT_ONCE = 2; // requests
const PATHS = { dense: "embed", sparse: "embed_sparse", multi_vector: "embed_all" };

/** The path and the body that ask for rows of one kind; `options` are more fields of the body. */
export function question(model, kind, texts, prompt, options = {}) {
  const body = { inputs: texts, ...options };
  if (prompt) body.prompt_name = prompt;
  return { path: `${model.base}${PATHS[kind]}`, body };
}

/** One request: {rows, milliseconds, headers}. Raises: Refused. */
export async function rows(model, kind, texts, prompt, { signal, ...options } = {}) {
  const { path, body } = question(model, kind, texts, prompt, options);
  const octets = kind === "dense";
  const { data, headers, milliseconds } = await ask(path, { body, octets, signal });
  const found = octets
    ? rowsOf(data, headers.get("x-embedding-dtype"), headers.get("x-embedding-shape"))
    : data;
  return { rows: found, milliseconds, headers };
}

/** Batches of the places of texts, each small enough for one request. */
export function batches(texts, most) {
  const found = [];
  let batch = [];
  let size = 0;
  texts.forEach((text, place) => {
    if (batch.length && (batch.length >= most || size + text.length > MOST_CHARACTERS)) {
      found.push(batch);
      [batch, size] = [[], 0];
    }
    batch.push(place);
    size += text.length;
  });
  if (batch.length) found.push(batch);
  return found;
}

/** Run `task` for each batch, some at a time, and report how much is done; the first failure ends it. */
export async function inBatches(texts, most, task, report = () => {}) {
  const waiting = batches(texts, most);
  let done = 0;
  let hasFailed = false;
  const work = async () => {
    for (let batch = waiting.shift(); batch; batch = waiting.shift()) {
      await task(batch);
      if (hasFailed) return;
      done += batch.length;
      report(done / texts.length);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } catch (error) {
    hasFailed = true;
    waiting.length = 0;
    throw error;
  }
}

/** Rows of many texts, kept so that only new texts are asked for. */
export class Rows {
  #known = new Map();
  #of = "";

  /** {rows, asked, milliseconds}: `asked` texts were computed anew. Raises: Refused. */
  async of(model, kind, texts, prompt, { report, signal } = {}) {
    const of = JSON.stringify([model.id, kind, prompt]);
    if (of !== this.#of) [this.#known, this.#of] = [new Map(), of];
    const known = this.#known;
    const fresh = [...new Set(texts)].filter((text) => !known.has(text));
    const started = performance.now();
    const task = async (batch) => {
      const some = batch.map((place) => fresh[place]);
      const { rows: found } = await rows(model, kind, some, prompt, { signal });
      some.forEach((text, i) => known.set(text, found[i]));
    };
    await inBatches(fresh, model.batch, task, report);
    const found = texts.map((text) => known.get(text));
    if (this.#known === known) this.#known = new Map(texts.map((text, i) => [text, found[i]]));
    return { rows: found, asked: fresh.length, milliseconds: performance.now() - started };
  }
}

/** Rows as vectors that can be compared; of token vectors their means. */
export function vectorsOf(kind, found) {
  if (kind === "sparse") return new Sparse(found);
  return new Dense(kind === "multi_vector" ? found.map(meanOf) : found);
}
