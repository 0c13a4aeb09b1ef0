// Labels beside points, none over another: those that find no room are left out. Pure.

const HEIGHT = 16;
const GAP = 12;

/** The labels that find room, each with `left` and `middle`; earlier ones come first. */
export function placeLabels(labels, spots, { width, height, measure }) {
  const taken = spots.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
  const placed = [];
  for (const label of labels) {
    const wide = measure(label);
    const fitting = candidates(label, wide).find((box) => {
      const isInside = box.left >= 2 && box.right <= width - 2 && box.top >= 2 && box.bottom <= height - 2;
      return isInside && !taken.some((other) => overlaps(box, other));
    }) ?? (label.strong ? candidates(label, wide)[0] : null);
    if (!fitting) continue;
    taken.push(fitting);
    placed.push({ ...label, left: fitting.left, middle: (fitting.top + fitting.bottom) / 2 });
  }
  return placed;
}

/** Where a label may stand: beside its point, above or below, and askew. */
function candidates({ x, y, strong }, wide) {
  const gap = strong ? GAP + 6 : GAP;
  const box = (left, middle) => ({ left, right: left + wide, top: middle - HEIGHT / 2, bottom: middle + HEIGHT / 2 });
  return [
    box(x + gap, y), box(x - gap - wide, y), box(x - wide / 2, y - gap - 6), box(x - wide / 2, y + gap + 6),
    box(x - 8, y + gap + 12), box(x - 8, y - gap - 12),
    box(x + gap, y - HEIGHT), box(x + gap, y + HEIGHT), box(x - gap - wide, y - HEIGHT), box(x - gap - wide, y + HEIGHT),
  ];
}

function overlaps(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
