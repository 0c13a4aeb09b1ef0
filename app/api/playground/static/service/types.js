// The same texts in each type of number, and what that does to their neighbours.

import { hamming } from "../math/numbers.js";
import { compared } from "../math/nearest.js";
import { Dense, similarities } from "../math/vectors.js";
import { inBatches, rows } from "./embedding.js";

// As sent, and what stands for it in the table; bits come as bytes without a sign.
export const TYPES = { float16: "float16", int8: "int8", ubinary: "binary" };
const BYTES = { float: 4, float16: 2, int8: 1, ubinary: 1 / 8 };

/** How many bytes a vector of so many dimensions takes in a type. */
export function bytesOf(type, dimensions) {
  return Math.ceil(dimensions * BYTES[type]);
}

/** What a type does to the `k` nearest of each text: as `compared` says. Raises: Refused. */
export async function measured(model, texts, prompt, type, { vectors, k, signal, report }) {
  const found = new Array(texts.length);
  const options = { output_dtype: type, signal };
  await inBatches(texts, model.batch, async (batch) => {
    const some = batch.map((place) => texts[place]);
    const answer = await rows(model, "dense", some, prompt, options);
    batch.forEach((place, i) => (found[place] = answer.rows[i]));
  }, report);
  const own = new Dense(vectors.rows.slice(0, texts.length));
  const exact = (place) => similarities(own, own.rows[place]);
  if (type === "ubinary") {
    const bits = (place) => Float32Array.from(found, (row) => -hamming(found[place], row));
    return compared(texts.length, k, exact, bits, false);
  }
  const typed = new Dense(found);
  const other = (place) => similarities(typed, typed.rows[place]);
  return compared(texts.length, k, exact, other, true);
}
