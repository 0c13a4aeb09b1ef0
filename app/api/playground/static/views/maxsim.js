// How a query meets the selected text, token by token, of models with a vector for each token.

import { colours, fitted, make, shade, short } from "../dom.js";
import { SHOWN_CHARACTERS } from "../limits.js";
import { alignment } from "../math/maxsim.js";
import { question, rows } from "../service/embedding.js";
import { tokensOf, visible } from "../service/tokens.js";
import { noteAsked, state } from "../store.js";
import { number, say } from "../words/words.js";
import { latest } from "./pending.js";

const LEFT = 110;
const TOP = 90;
const ROW = 26;
const OVERHANG = 90; // of the last column's name, and the panel's margins
let panel;

export const maxsim = {
  parts: "selected texts found textPrompt queryPrompt",
  suits: (model) => Boolean(model?.kinds.includes("multi_vector")),
  begin: (element) => (panel = element),
  draw: latest(draw),
};

async function draw(signal) {
  const { model, texts, selected, textPrompt, queryPrompt } = state;
  const text = texts[selected];
  const query = state.query.trim();
  if (text === undefined || !query) {
    return () => panel.replaceChildren(make("p", { class: "note" }, say("maxsimEmpty")));
  }
  const both = [[query, queryPrompt], [text, textPrompt]];
  const sides = await Promise.all(both.map(([one, prompt]) => side(model, one, prompt, signal)));
  return () => {
    show(text, ...sides);
    const first = question(model, "multi_vector", [query], queryPrompt);
    const asked = question(model, "multi_vector", [text], textPrompt);
    noteAsked("maxsim", { ...asked, then: "maxsim", name: "maxsim", query: first.body });
  };
}

/** The vectors of a text's tokens, and what stands for each: the last ones, if the first have none. */
async function side(model, text, prompt, signal) {
  const [found, read] = await Promise.all([
    rows(model, "multi_vector", [text], prompt, { signal }),
    tokensOf(model, text, prompt, signal),
  ]);
  const vectors = found.rows[0];
  const seen = read.tokens.filter((_, place) => read.kinds[place] !== "cut");
  return { vectors, names: seen.slice(-vectors.length).map(visible) };
}

function show(text, query, other) {
  const found = alignment(query.vectors, other.vectors);
  const canvas = make("canvas", { class: "maxsim", role: "img", "aria-label": say("maxsimLabel") });
  panel.replaceChildren(
    make("p", { class: "of" }, short(text, SHOWN_CHARACTERS)),
    make("p", { class: "note" }, say("maxsimTotal", { total: number(found.total, 2) })),
    make("div", { class: "scroller", tabindex: "0", "aria-label": say("maxsimLabel"), role: "group" }, canvas),
    make("ol", { class: "pairs" }, ...query.names.map((name, row) =>
      make("li", {}, make("b", {}, name), " → ", make("span", {}, other.names[found.best[row]] ?? ""),
        " ", make("small", {}, number(found.values[row][found.best[row]], 2))))),
  );
  paint(canvas, found, query.names, other.names);
}

function paint(canvas, { values, best }, rowNames, columnNames) {
  const theme = colours();
  const room = panel.getBoundingClientRect().width - LEFT - OVERHANG;
  const wide = Math.max(18, Math.min(64, room / columnNames.length));
  const context = fitted(canvas, LEFT + wide * columnNames.length + OVERHANG / 2, TOP + ROW * rowNames.length);
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  columnNames.forEach((name, column) => {
    context.save();
    context.translate(LEFT + (column + 0.5) * wide, TOP - 8);
    context.rotate(-Math.PI / 4);
    context.fillStyle = best.includes(column) ? theme.ink : theme.muted;
    context.fillText(name, 0, 0, 110);
    context.restore();
  });
  values.forEach((row, i) => {
    context.fillStyle = theme.ink;
    context.textAlign = "right";
    context.fillText(rowNames[i], LEFT - 10, TOP + (i + 0.5) * ROW, LEFT - 14);
    row.forEach((value, column) => {
      const [r, g, b] = shade(theme.ramp, value);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(LEFT + column * wide, TOP + i * ROW, wide - 1, ROW - 1);
    });
    context.textAlign = "left";
    context.strokeStyle = theme.hot;
    context.lineWidth = 2.5;
    context.strokeRect(LEFT + best[i] * wide, TOP + i * ROW, wide - 1, ROW - 1);
  });
}
