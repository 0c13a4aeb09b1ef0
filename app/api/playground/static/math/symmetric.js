// Eigenvalues of a small symmetric matrix, by Jacobi's rotations. Pure.

const MOST_SWEEPS = 30;
const DONE = 1e-22; // of the squares of all entries: what may be left beside the diagonal

/** The eigenvalues of a matrix of rows with a unit vector each, the highest first: [{value, vector}]. */
export function pairs(matrix) {
  const size = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const turned = a.map((_, i) => Float64Array.from({ length: size }, (_, j) => Number(i === j)));
  const whole = a.reduce((sum, row) => row.reduce((part, value) => part + value * value, sum), 0);
  for (let sweep = 0; sweep < MOST_SWEEPS && besides(a) > DONE * whole; sweep += 1) {
    for (let p = 0; p < size; p += 1) {
      for (let q = p + 1; q < size; q += 1) rotate(a, turned, p, q);
    }
  }
  const found = a.map((row, k) => ({ value: row[k], vector: turned[k] }));
  return found.sort((one, other) => other.value - one.value);
}

function besides(a) {
  let sum = 0;
  a.forEach((row, i) => row.forEach((value, j) => (sum += i === j ? 0 : value * value)));
  return sum;
}

/** Turn two directions so that they no longer depend on each other; `turned` has the directions as rows. */
function rotate(a, turned, p, q) {
  if (a[p][q] === 0) return;
  const slope = (a[q][q] - a[p][p]) / (2 * a[p][q]);
  const tangent = (slope < 0 ? -1 : 1) / (Math.abs(slope) + Math.hypot(slope, 1));
  const cosine = 1 / Math.hypot(tangent, 1);
  const sine = tangent * cosine;
  for (const row of a) [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
  for (const rows of [a, turned]) {
    const [first, second] = [rows[p], rows[q]];
    for (let i = 0; i < first.length; i += 1) {
      [first[i], second[i]] = [cosine * first[i] - sine * second[i], sine * first[i] + cosine * second[i]];
    }
  }
}
