// Principal components of vectors, by a Krylov space: no matrix of the width is ever made. Pure.
//
// Each direction costs one pass over the rows. Some twenty settle what power iteration, which
// forgets all directions but its last, needs hundreds for.

import { pairs } from "./symmetric.js";
import { dot } from "./vectors.js";

const MOST_DIRECTIONS = 64;
const ROUND = 6; // directions, after which it is seen how far the components have come
const SETTLED = 1e-3; // of a component's variance: what may be off, less than a pixel of the map
const NOTHING = 1e-9; // of a direction's length: what remains is rounding

/**
 * The first principal components of centred vectors.
 *
 * `points` has a coordinate of each component for each row, `shares` how much of the variance each
 * component has, and `place` gives the coordinates of another prepared row. `breathe` is awaited
 * before each pass over the rows.
 */
export async function principal(vectors, { components = 2, breathe = () => {} } = {}) {
  const { rows, width } = vectors;
  const mean = new Float64Array(width);
  for (const row of rows) vectors.addTo(mean, row, 1 / rows.length);
  let total = -rows.length * dot(mean, mean);
  for (const row of rows) total += vectors.similarity(row, row);
  const apply = async (axis) => {
    await breathe();
    return spread(vectors, mean, axis);
  };
  const found = await strongest(apply, width, components);
  const axes = found.map(({ axis }) => signed(axis));
  const shares = found.map(({ variance }) => (total > 1e-9 ? Math.min(1, Math.max(0, variance / total)) : 0));
  const offsets = axes.map((axis) => dot(mean, axis));
  const place = (row) => axes.map((axis, k) => vectors.along(row, axis) - offsets[k]);
  return { points: rows.map(place), shares, axes, place };
}

/** The covariance of the rows, times their number, applied to a direction. */
function spread(vectors, mean, axis) {
  const found = new Float64Array(axis.length);
  const offset = dot(mean, axis);
  let sum = 0;
  for (const row of vectors.rows) {
    const score = vectors.along(row, axis) - offset;
    sum += score;
    vectors.addTo(found, row, score);
  }
  for (let i = 0; i < found.length; i += 1) found[i] -= sum * mean[i];
  return found;
}

/** The directions of most variance: [{axis, variance}], zeros where there are too few. */
async function strongest(apply, width, components) {
  // As many starts as components: of equal variances, one start would show but one direction.
  const waiting = Array.from({ length: components }, (_, seed) => start(width, seed));
  const basis = [];
  const images = [];
  let found = [];
  while (waiting.length && basis.length < MOST_DIRECTIONS) {
    const next = waiting.shift();
    const before = Math.sqrt(dot(next, next));
    without(without(next, basis), basis); // the second time removes what rounding left
    if (unit(next) <= NOTHING * Math.max(before, NOTHING)) continue;
    basis.push(next);
    images.push(await apply(next));
    waiting.push(images.at(-1).slice());
    if (basis.length % ROUND) continue;
    found = judged(basis, images, components);
    if (found.every(({ off, variance }) => off <= SETTLED * variance)) return found;
  }
  found = judged(basis, images, components);
  while (found.length < components) found.push({ axis: new Float64Array(width), variance: 0 });
  return found;
}

/** The best that a basis can say of the components, and how far each is off. */
function judged(basis, images, components) {
  const matrix = basis.map((one) => Float64Array.from(images, (image) => dot(one, image)));
  return pairs(matrix).slice(0, components).map(({ value, vector }) => {
    const axis = mixed(basis, vector);
    const off = mixed(images, vector).map((one, i) => one - value * axis[i]);
    return { axis, variance: value, off: Math.sqrt(dot(off, off)) };
  });
}

function mixed(directions, weights) {
  const sum = new Float64Array(directions[0].length);
  directions.forEach((one, k) => {
    for (let i = 0; i < sum.length; i += 1) sum[i] += weights[k] * one[i];
  });
  return sum;
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
