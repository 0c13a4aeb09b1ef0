// A query against the texts: by vectors, then perhaps by a reranker; or by a reranker alone.

import { maxsim } from "../math/maxsim.js";
import { highest } from "../math/nearest.js";
import { meanOf, similarities, sparseDot } from "../math/vectors.js";
import { ask } from "./client.js";
import { inBatches, rows } from "./embedding.js";

const RERANKED = 30; // texts at the top of a search

/**
 * The scores of all texts for a query: {scores, order, row, milliseconds, inference, reranked}.
 *
 * `of` holds the model, the vectors and rows of the texts, the texts, and the names of prompts.
 * Raises: Refused.
 */
export async function search(of, query, { reranker, signal }) {
  if (of.model.task === "reranker") return ranked(of.model, of.texts, query, signal);
  const found = await byVectors(of, query, signal);
  if (!reranker) return found;
  const top = found.order.slice(0, Math.min(RERANKED, reranker.batch));
  const again = await ranked(reranker, top.map((place) => of.texts[place]), query, signal);
  return {
    ...found,
    order: [...again.order.map((i) => top[i]), ...found.order.slice(top.length)],
    reranked: new Map(top.map((place, i) => [place, again.scores[i]])),
    rerankMilliseconds: again.milliseconds,
  };
}

async function byVectors({ model, vectors, rows: texts, queryPrompt }, query, signal) {
  const kind = model.main;
  const answer = await rows(model, kind, [query], queryPrompt, { signal });
  const raw = answer.rows[0];
  const row = vectors.prepare(kind === "multi_vector" ? meanOf(raw) : raw);
  const scores =
    kind === "dense"
      ? similarities(vectors, row)
      : Float32Array.from(texts, (text) => (kind === "sparse" ? sparseDot : maxsim)(raw, text));
  const inference = Number(answer.headers.get("x-inference-time"));
  return { scores, order: highest(scores), row, raw, milliseconds: answer.milliseconds, inference };
}

async function ranked(model, texts, query, signal) {
  const scores = new Float32Array(texts.length);
  const started = performance.now();
  await inBatches(texts, model.batch, async (batch) => {
    const body = { query, texts: batch.map((place) => texts[place]) };
    const { data } = await ask(`${model.base}rerank`, { body, signal });
    for (const { index, score } of data) scores[batch[index]] = score;
  });
  return { scores, order: highest(scores), row: null, milliseconds: performance.now() - started };
}
