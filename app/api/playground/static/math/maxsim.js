// MaxSim, the late interaction of ColBERT: each token of a query looks for its best in a text. Pure.

import { dot } from "./vectors.js";

/** The similarities of each token of a query (row) to each of a text, and the best of each row. */
export function alignment(query, text) {
  const values = query.map((row) => Float32Array.from(text, (other) => dot(row, other)));
  const best = values.map((row) => row.indexOf(Math.max(...row)));
  const total = values.reduce((sum, row, i) => sum + (best[i] < 0 ? 0 : row[best[i]]), 0);
  return { values, best, total };
}

/** The sum over the query's tokens of the best similarity to a token of the text. */
export function maxsim(query, text) {
  let total = 0;
  for (const row of query) {
    let best = -Infinity;
    for (const other of text) best = Math.max(best, dot(row, other));
    if (best > -Infinity) total += best;
  }
  return total;
}
