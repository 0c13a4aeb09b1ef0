// Labels beside points, none over another: those that find no room are left out. Pure.

const HEIGHT = 16;
const GAP = 12;

/** The labels that find room, each with `left` and `middle`; earlier ones come first. */
export function placeLabels(labels, spots, { width, height, measure }) {
  const taken = spots.map(({ x, y, strong }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6, isLabel: strong }));
  const placed = [];
  for (const label of labels) {
    const wide = measure(label);
    const candidates = label.soft ? beside(label, wide) : [...beside(label, wide), ...askew(label, wide)];
    const isInside = (one) => one.left >= 2 && one.right <= width - 2 && one.top >= 2 && one.bottom <= height - 2;
    const fitting = candidates.find((one) => isInside(one) && !taken.some((other) => overlaps(one, other)))
      ?? (label.strong ? leastHiding(candidates, taken, isInside) : null);
    if (!fitting) continue;
    taken.push({ ...fitting, isLabel: true });
    placed.push({ ...label, left: fitting.left, middle: (fitting.top + fitting.bottom) / 2 });
  }
  return placed;
}

/** Where a label that has to be seen hides least: within the picture, and over points rather than labels. */
function leastHiding(candidates, taken, isInside) {
  const over = (one) => taken.filter((other) => overlaps(one, other));
  const cost = (one) => over(one).reduce((sum, other) => sum + (other.isLabel ? 10 : 1), isInside(one) ? 0 : 1000);
  return candidates.reduce((best, one) => (cost(one) < cost(best) ? one : best));
}

/** Where a label may stand: on the right of its point, on the left, above, below. */
function beside({ x, y, strong }, wide) {
  const gap = strong ? GAP + 6 : GAP;
  return [
    box(x + gap, y, wide), box(x - gap - wide, y, wide), box(x - wide / 2, y - gap - 6, wide),
    box(x - wide / 2, y + gap + 6, wide),
  ];
}

/** Where one may stand that matters more than that it is plain whose it is. */
function askew({ x, y, strong }, wide) {
  const gap = strong ? GAP + 6 : GAP;
  return [
    box(x - 8, y + gap + 12, wide), box(x - 8, y - gap - 12, wide),
    box(x + gap, y - HEIGHT, wide), box(x + gap, y + HEIGHT, wide),
    box(x - gap - wide, y - HEIGHT, wide), box(x - gap - wide, y + HEIGHT, wide),
  ];
}

function box(left, middle, wide) {
  return { left, right: left + wide, top: middle - HEIGHT / 2, bottom: middle + HEIGHT / 2 };
}

function overlaps(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
