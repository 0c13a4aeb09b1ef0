// Neighbours: who is nearest, in which order to show, and what another type of number changes. Pure.

/** The places of the `k` highest scores, the highest first; earlier texts first where equal. */
export function highest(scores, k = scores.length, except = -1) {
  const places = [];
  for (let i = 0; i < scores.length; i += 1) if (i !== except) places.push(i);
  places.sort((a, b) => scores[b] - scores[a] || a - b);
  return places.slice(0, k);
}

/** The share of one list that is in the other. */
export function overlap(expected, found) {
  if (!expected.length) return 1;
  const there = new Set(found);
  return expected.filter((one) => there.has(one)).length / expected.length;
}

/** An order in which each text is followed by the nearest one that is left. */
export function chained(values, count) {
  if (!count) return [];
  const left = new Set(Array.from({ length: count }, (_, i) => i));
  const sums = Array.from({ length: count }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < count; j += 1) sum += values[i * count + j];
    return sum;
  });
  let last = sums.indexOf(Math.min(...sums));
  const order = [last];
  left.delete(last);
  while (left.size) {
    let best = -1;
    for (const one of left) {
      if (best < 0 || values[last * count + one] > values[last * count + best]) best = one;
    }
    order.push(best);
    left.delete(best);
    last = best;
  }
  return order;
}

/**
 * What rows in another type do to the neighbours of each text.
 *
 * `exact(i)` and `other(i)` give the scores of all texts to text i; `isCosine` says that those of
 * the other type can be compared as numbers.
 */
export function compared(count, k, exact, other, isCosine) {
  const kept = [];
  let firstKept = 0;
  let largestChange = 0;
  const lists = [];
  for (let i = 0; i < count; i += 1) {
    const before = exact(i);
    const after = other(i);
    const expected = highest(before, k, i);
    const found = highest(after, k, i);
    lists.push(found);
    kept.push(overlap(expected, found));
    if (expected[0] === found[0]) firstKept += 1;
    for (let j = 0; isCosine && j < count; j += 1) {
      if (j !== i) largestChange = Math.max(largestChange, Math.abs(before[j] - after[j]));
    }
  }
  const mean = kept.reduce((sum, one) => sum + one, 0) / (count || 1);
  const worst = kept.indexOf(Math.min(...kept));
  const change = isCosine ? largestChange : null;
  return { mean, worst, worstKept: kept[worst], firstKept: firstKept / (count || 1), change, lists };
}
