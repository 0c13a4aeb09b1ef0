// The nearest texts of the one that is shown, as a list with bars.

import { make, short } from "../dom.js";
import { SHOWN_CHARACTERS } from "../limits.js";
import { highest } from "../math/nearest.js";
import { similarities } from "../math/vectors.js";
import { set, shown, state } from "../store.js";
import { number, say } from "../words/words.js";

const MOST = 6;

/** The nearest of a text: [{place, score}], the nearest first. */
export function nearestOf(place, most = MOST) {
  const { vectors } = state;
  if (!vectors?.rows[place]) return [];
  const scores = similarities(vectors, vectors.rows[place]);
  return highest(scores, most, place).map((other) => ({ place: other, score: scores[other] }));
}

/** Show them in an element, which is told to readers as it changes. */
export function showNeighbours(aside) {
  const { texts, vectors } = state;
  const place = shown();
  if (!vectors || texts[place] === undefined) return;
  aside.replaceChildren(
    make("h2", {}, say("nearestTo")),
    make("p", { class: "of" }, short(texts[place], SHOWN_CHARACTERS)),
    make("ol", { class: "nearest" }, ...nearestOf(place).map((one) =>
      make("li", {},
        make("button", { type: "button", click: () => set({ selected: one.place, pointed: -1 }) },
          make("span", {}, short(texts[one.place], SHOWN_CHARACTERS)),
          make("b", {}, number(one.score, 2)),
          meter(one.score))))),
  );
}

/** A bar from 0 to 1. */
export function meter(share) {
  const bar = make("i");
  bar.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return make("span", { class: "meter", "aria-hidden": "true" }, bar);
}
