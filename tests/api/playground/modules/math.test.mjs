// The arithmetic of the playground, against values that were worked out by other means.

import assert from "node:assert/strict";
import { test } from "node:test";

import { alignment, maxsim } from "../../../../app/api/playground/static/math/maxsim.js";
import { chained, compared, highest, overlap } from "../../../../app/api/playground/static/math/nearest.js";
import { half, hamming, rowsOf } from "../../../../app/api/playground/static/math/numbers.js";
import { principal } from "../../../../app/api/playground/static/math/pca.js";
import { pairs } from "../../../../app/api/playground/static/math/symmetric.js";
import {
  Dense, dot, matrix, meanOf, similarities, Sparse, sparseDot,
} from "../../../../app/api/playground/static/math/vectors.js";

const close = (found, expected, most = 1e-5) =>
  assert.ok(Math.abs(found - expected) <= most, `${found} is not ${expected}`);

/** Numbers from 0 to 1 that are the same each time. */
function* noise(state = 1) {
  for (;;) yield (state = (state * 48271) % 2147483647) / 2147483647;
}

test("similarities are cosines, whatever the lengths", () => {
  const vectors = new Dense([[3, 4], [4, 3], [-30, -40], [0, 0]]);
  const found = similarities(vectors, vectors.rows[0]);
  [1, 0.96, -1, 0].forEach((value, place) => close(found[place], value));
  const all = matrix(vectors, 3);
  close(all[1], 0.96);
  close(all[3], 0.96);
  close(all[8], 1);
});

test("sparse vectors compare as their dense forms do", () => {
  const rows = [[0, 2, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 3, 0]];
  const sparse = new Sparse(rows.map(entries));
  const dense = new Dense(rows);
  assert.equal(sparse.width, 4); // no row has an entry in the third column
  const query = [0, 1, 7, 0, 1]; // has the column that no text has
  const [a, b] = [[sparse, entries(query)], [dense, query]].map(([of, row]) => similarities(of, of.prepare(row)));
  a.forEach((value, place) => close(value, b[place]));
  assert.deepEqual([...matrix(sparse, 3)].map((one) => one.toFixed(5)), [...matrix(dense, 3)].map((one) => one.toFixed(5)));
  assert.equal(sparseDot(entries(rows[0]), entries(rows[1])), 2);
});

function entries(row) {
  return row.flatMap((value, index) => (value ? [{ index, value }] : []));
}

test("the principal components are those of the covariance", async () => {
  const random = noise();
  const normal = () => Array.from({ length: 12 }, () => random.next().value).reduce((a, b) => a + b) - 6;
  const rows = Array.from({ length: 300 }, () => [10 + 0.3 * normal(), 2 * normal(), normal(), 0.1 * normal()]);
  const vectors = new Dense(rows);
  const { points, axes, shares, place } = await principal(vectors);
  close(dot(axes[0], axes[1]), 0);
  for (const axis of axes) close(dot(axis, axis), 1);
  assert.ok(Math.abs(axes[0][1]) > 0.98 && Math.abs(axes[1][2]) > 0.98);
  for (const k of [0, 1]) close(points.reduce((sum, one) => sum + one[k], 0), 0, 1e-3);
  close(points.reduce((sum, one) => sum + one[0] * one[1], 0), 0, 1e-2); // uncorrelated
  assert.ok(shares[0] > shares[1] && shares[1] > 0.1 && shares[0] + shares[1] <= 1);
  place(vectors.prepare(rows[7])).forEach((value, k) => close(value, points[7][k]));
  // No other direction has more variance than the first.
  const spread = points.reduce((sum, one) => sum + one[0] ** 2, 0);
  for (let turn = 0; turn < 3.14; turn += 0.2) {
    const axis = axes[0].map((value, i) => value * Math.cos(turn) + axes[1][i] * Math.sin(turn));
    const mean = vectors.rows.reduce((sum, row) => sum + vectors.along(row, axis), 0) / rows.length;
    const other = vectors.rows.reduce((sum, row) => sum + (vectors.along(row, axis) - mean) ** 2, 0);
    assert.ok(other <= spread * (1 + 1e-6));
  }
});

test("components of sparse vectors place texts as those of dense ones", async () => {
  const random = noise(5);
  const rows = Array.from({ length: 20 }, () => Array.from({ length: 9 }, () => Math.max(0, random.next().value - 0.5)));
  const [dense, sparse] = [await principal(new Dense(rows)), await principal(new Sparse(rows.map(entries)))];
  dense.points.forEach((point, i) => point.forEach((value, k) => close(Math.abs(value), Math.abs(sparse.points[i][k]), 1e-3)));
});

test("wide vectors need few passes, and give up no variance", async () => {
  const random = noise(9);
  const hidden = [8, 4, 2, 1, 0.5].map((size) => Array.from({ length: 400 }, () => size * (random.next().value - 0.5)));
  const rows = Array.from({ length: 300 }, () => {
    const weights = hidden.map(() => random.next().value - 0.5);
    return hidden[0].map((_, i) => 1 + hidden.reduce((sum, one, k) => sum + weights[k] * one[i], 0) + 0.2 * random.next().value);
  });
  const vectors = new Dense(rows);
  let passes = 0;
  const { axes, shares } = await principal(vectors, { breathe: () => (passes += 1) });
  assert.ok(passes <= 24, `${passes} passes`);
  const { mean, total } = spreadOf(vectors);
  let step = axes; // power iteration from there finds no more
  for (let again = 0; again < 200; again += 1) step = stepped(vectors, mean, step);
  step.forEach(({ variance }, k) => close(shares[k], variance / total, 1e-4));
});

function spreadOf({ rows, width }) {
  const mean = Float64Array.from({ length: width }, (_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
  return { mean, total: rows.reduce((sum, row) => sum + row.reduce((part, one, i) => part + (one - mean[i]) ** 2, 0), 0) };
}

/** Two directions after one step of power iteration, at right angles, each with its variance. */
function stepped({ rows }, mean, axes) {
  const found = [];
  for (const { axis } of axes.map((one) => (one.axis ? one : { axis: one }))) {
    const next = new Float64Array(mean.length);
    for (const row of rows) {
      const score = row.reduce((sum, one, i) => sum + (one - mean[i]) * axis[i], 0);
      row.forEach((one, i) => (next[i] += score * (one - mean[i])));
    }
    for (const { axis: other } of found) {
      const along = dot(next, other);
      next.forEach((_, i) => (next[i] -= along * other[i]));
    }
    const variance = Math.sqrt(dot(next, next));
    found.push({ axis: next.map((one) => one / variance), variance });
  }
  return found;
}

test("texts that differ alike have both directions, and one number has a picture too", async () => {
  const { shares, points } = await principal(new Dense([[1, 0, 0], [0, 1, 0], [0, 0, 1]]));
  shares.forEach((share) => close(share, 0.5));
  points.forEach(([x, y]) => close(Math.hypot(x, y), Math.sqrt(2 / 3)));
  const single = await principal(new Dense([[1], [-1]]));
  assert.deepEqual(single.points.map((point) => point.map(Math.abs)), [[1, 0], [1, 0]]);
  assert.deepEqual(single.shares, [1, 0]);
});

test("a symmetric matrix is the sum of its directions", () => {
  const random = noise(3);
  const matrix = Array.from({ length: 9 }, () => new Float64Array(9));
  for (let i = 0; i < 9; i += 1) for (let j = 0; j <= i; j += 1) matrix[i][j] = matrix[j][i] = random.next().value - 0.5;
  const found = pairs(matrix);
  found.forEach(({ value, vector }, k) => {
    matrix.forEach((row, i) => close(dot(row, vector), value * vector[i], 1e-9));
    found.forEach((other, l) => close(dot(vector, other.vector), Number(k === l), 1e-9));
    if (k) assert.ok(value <= found[k - 1].value);
  });
  assert.deepEqual(pairs([]), []);
});

test("texts that are all the same have a picture too", async () => {
  for (const rows of [[[1, 2]], [[1, 2], [1, 2], [1, 2]]]) {
    const { points, shares } = await principal(new Dense(rows));
    assert.ok(points.flat().every((value) => Math.abs(value) < 1e-6));
    assert.deepEqual(shares, [0, 0]);
  }
});

test("the highest come first, the earlier where they are equal", () => {
  assert.deepEqual(highest([0.1, 0.9, 0.5, 0.9]), [1, 3, 2, 0]);
  assert.deepEqual(highest([0.1, 0.9, 0.5, 0.9], 2, 1), [3, 2]);
  assert.equal(overlap([1, 2, 3, 4], [4, 3, 9, 8]), 0.5);
  assert.equal(overlap([], []), 1);
});

test("a chain goes on with the nearest that is left", () => {
  const vectors = new Dense([[1, 0], [0, 1], [0.9, 0.1], [0.1, 0.9]]);
  const order = chained(matrix(vectors, 4), 4);
  assert.deepEqual([...order].sort(), [0, 1, 2, 3]);
  assert.ok(["0231", "1320"].includes(order.join("")), order.join(""));
  assert.deepEqual(chained(new Float32Array(), 0), []);
});

test("what another type changes is found, and where it changes most", () => {
  const exact = [[1, 0.9, 0.5, 0.1], [0.9, 1, 0.4, 0.2], [0.5, 0.4, 1, 0.3], [0.1, 0.2, 0.3, 1]];
  const other = exact.map((row) => [...row]);
  other[3] = [0.35, 0.2, 0.3, 1];
  const found = compared(4, 1, (i) => exact[i], (i) => other[i], true);
  assert.equal(found.mean, 0.75);
  assert.equal(found.firstKept, 0.75);
  assert.deepEqual([found.worst, found.worstKept], [3, 0]);
  close(found.change, 0.25);
  assert.deepEqual(found.lists, [[1], [0], [0], [0]]);
  assert.equal(compared(4, 1, (i) => exact[i], (i) => exact[i], false).change, null);
});

test("every kind of float16 is decoded", () => {
  const values = { 0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 2 ** -24, 0x03ff: 1023 * 2 ** -24, 0x0400: 2 ** -14, 0x3555: 0.333251953125 };
  for (const [bits, value] of Object.entries(values)) assert.equal(half(Number(bits)), value);
  assert.equal(half(0xfc00), -Infinity);
  assert.ok(Number.isNaN(half(0x7e00)));
});

test("rows are read from bytes of each type", () => {
  const floats = new Uint8Array(new Float32Array([1, -2, 0.5, 4]).buffer);
  assert.deepEqual(rowsOf(floats.buffer, "float32", "2,2").map((row) => [...row]), [[1, -2], [0.5, 4]]);
  assert.deepEqual([...rowsOf(new Uint8Array([0, 0x3c, 0, 0xc0]).buffer, "float16", "1,2")[0]], [1, -2]);
  assert.deepEqual([...rowsOf(new Uint8Array([255, 127]).buffer, "int8", "1,2")[0]], [-1, 127]);
  const bits = rowsOf(new Uint8Array([0b1010_0000, 0b1111_0001]).buffer, "uint8", "2,1");
  assert.equal(hamming(bits[0], bits[1]), 3);
  assert.throws(() => rowsOf(new ArrayBuffer(7), "float32", "1,2"), RangeError);
});

test("MaxSim takes the best token of the text for each of the query", () => {
  const query = [[1, 0], [0, 1]];
  const text = [[0.6, 0.8], [1, 0], [0, -1]];
  const { values, best, total } = alignment(query, text);
  assert.deepEqual(best, [1, 0]);
  close(total, 1.8);
  close(maxsim(query, text), 1.8);
  assert.equal(values.length, 2);
  assert.equal(values[0].length, 3);
  assert.deepEqual([...meanOf([[1, 3], [3, 5]])], [2, 4]);
});
