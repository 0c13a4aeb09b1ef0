// The terms of the selected text and their weights, of models with sparse vectors.

import { make } from "../dom.js";
import { ask } from "../service/client.js";
import { inBatches, question, rows } from "../service/embedding.js";
import { tokensOf } from "../service/tokens.js";
import { noteAsked, state } from "../store.js";
import { number, say } from "../words/words.js";
import { meter } from "./neighbours.js";
import { latest } from "./pending.js";

const MOST = 48; // terms
let panel;

export const weights = {
  parts: "selected texts textPrompt",
  suits: (model) => Boolean(model?.kinds.includes("sparse")),
  begin: (element) => (panel = element),
  draw: latest(draw),
};

async function draw(signal) {
  const { model, texts, selected, textPrompt } = state;
  const text = texts[selected];
  if (text === undefined) return () => panel.replaceChildren();
  const [sparse, read] = await Promise.all([
    rows(model, "sparse", [text], textPrompt, { signal }),
    tokensOf(model, text, textPrompt, signal),
  ]);
  const entries = sparse.rows[0].sort((a, b) => b.value - a.value);
  const top = entries.slice(0, MOST);
  const terms = await termsOf(model, top, signal);
  return () => {
    show(text, entries, terms, read);
    const asked = question(model, "sparse", [text], textPrompt);
    noteAsked("weights", { ...asked, then: "weights", name: "weights" });
  };
}

/** The text of each term, in as many requests as the service wants. */
async function termsOf(model, entries, signal) {
  const terms = new Array(entries.length);
  await inBatches(entries.map(({ index }) => String(index)), model.batch, async (batch) => {
    const body = { ids: batch.map((place) => [entries[place].index]), skip_special_tokens: false };
    const { data } = await ask(`${model.base}decode`, { body, signal });
    batch.forEach((place, i) => (terms[place] = data[i]));
  });
  return terms;
}

function show(text, entries, terms, { tokens }) {
  const ids = new Set(tokens.map((token) => token.id));
  const byId = new Map(entries.map(({ index, value }) => [index, value]));
  const most = entries[0]?.value ?? 1;
  const isExpanded = entries.some(({ index }) => !ids.has(index));
  panel.replaceChildren(
    make("p", { class: "of weighed" }, ...weighed(tokens, byId, most)),
    make("p", { class: "note" }, say(isExpanded ? "weightsNote" : "weightsNoteOwn", { n: number(entries.length) })),
    make("ol", { class: "terms" }, ...terms.map((term, i) => {
      const { index, value } = entries[i];
      const isAdded = !ids.has(index);
      return make("li", { class: isAdded ? "is-added" : "", title: `${say("id")} ${index}` },
        make("span", {}, term.trim() || `#${index}`), isAdded ? make("em", {}, say("added")) : "",
        make("b", {}, number(value, 2)), meter(value / most));
    })),
  );
}

/** The tokens of the text, each the more coloured the more it weighs. */
function weighed(tokens, byId, most) {
  return tokens.filter((token) => !token.special).flatMap((token, i, all) => {
    const gap = i > 0 && token.start > all[i - 1].stop ? " " : "";
    const value = byId.get(token.id) ?? 0;
    const mark = make("mark", { title: number(value, 2) }, token.text);
    mark.style.setProperty("--weight", String(value / most));
    return [gap, mark];
  });
}
