// Principal components of vectors, by power iteration: no matrix of the width is ever made. Pure.

import { dot } from "./vectors.js";

const MOST_STEPS = 300;
const STILL = 1e-10;

/**
 * The first principal components of centred vectors.
 *
 * `points` has a coordinate of each component for each row, `shares` how much of the variance each
 * component has, and `place` gives the coordinates of another prepared row.
 */
export function principal(vectors, components = 2) {
  const { rows, width } = vectors;
  const mean = new Float64Array(width);
  for (const row of rows) vectors.addTo(mean, row, 1 / rows.length);
  let total = -rows.length * dot(mean, mean);
  for (const row of rows) total += vectors.similarity(row, row);
  const axes = [];
  const shares = [];
  for (let number = 0; number < components; number += 1) {
    const { axis, variance } = strongest(vectors, mean, axes);
    axes.push(axis);
    shares.push(total > 1e-9 ? Math.min(1, Math.max(0, variance / total)) : 0);
  }
  const offsets = axes.map((axis) => dot(mean, axis));
  const place = (row) => axes.map((axis, k) => vectors.along(row, axis) - offsets[k]);
  return { points: rows.map(place), shares, axes, place };
}

function strongest(vectors, mean, earlier) {
  const { rows, width } = vectors;
  let axis = start(width, earlier.length);
  unit(without(axis, earlier));
  let variance = 0;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const next = new Float64Array(width);
    const offset = dot(mean, axis);
    let sum = 0;
    for (const row of rows) {
      const score = vectors.along(row, axis) - offset;
      sum += score;
      vectors.addTo(next, row, score);
    }
    for (let i = 0; i < width; i += 1) next[i] -= sum * mean[i];
    variance = unit(without(next, earlier));
    const moved = 1 - Math.abs(dot(next, axis));
    axis = next;
    if (variance === 0 || moved < STILL) break;
  }
  return { axis: signed(axis), variance };
}

/** The same directions each time: noise that is no noise. */
function start(width, seed) {
  let state = 12345 + seed * 7919;
  return Float64Array.from({ length: width }, () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648 - 0.5;
  });
}

function without(vector, others) {
  for (const other of others) {
    const along = dot(vector, other);
    for (let i = 0; i < vector.length; i += 1) vector[i] -= along * other[i];
  }
  return vector;
}

/** Bring a vector to length 1 and return the length that it had. */
function unit(vector) {
  const length = Math.sqrt(dot(vector, vector));
  if (length > 0) for (let i = 0; i < vector.length; i += 1) vector[i] /= length;
  return length;
}

/** A component and its opposite are the same: keep the one whose largest entry is positive. */
function signed(axis) {
  let largest = 0;
  for (const value of axis) if (Math.abs(value) > Math.abs(largest)) largest = value;
  return largest < 0 ? axis.map((value) => -value) : axis;
}
