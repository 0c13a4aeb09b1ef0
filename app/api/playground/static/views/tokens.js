// The tokens of the selected text, in colours, with ids and places; and what the model never reads.

import { make, short } from "../dom.js";
import { SHOWN_TOKENS } from "../limits.js";
import { bodyOf, tokensOf, visible } from "../service/tokens.js";
import { noteAsked, state } from "../store.js";
import { number, say } from "../words/words.js";
import { latest } from "./pending.js";

const HUES = 6;
const MOST_CHARACTERS = 200; // of the text above its tokens
let panel;

export const tokens = { parts: "selected texts textPrompt", suits: Boolean, begin, draw: latest(draw) };

function begin(element) {
  panel = element;
}

async function draw(signal) {
  const { model, texts, selected, textPrompt } = state;
  const text = texts[selected];
  if (text === undefined) return () => panel.replaceChildren(make("p", { class: "note" }, say("chooseText")));
  const found = await tokensOf(model, text, textPrompt, signal);
  const asked = { path: `${model.base}tokenize`, body: bodyOf(text, textPrompt), then: "tokens", name: "tokens" };
  return () => {
    show(text, found, model.info.auto_truncate);
    noteAsked("tokens", asked);
  };
}

function show(text, { tokens: all, kinds, limit, prompt }, truncates) {
  const cut = kinds.filter((kind) => kind === "cut").length;
  const values = { n: number(all.length), limit: number(limit), cut: number(cut) };
  panel.replaceChildren(
    make("p", { class: "of" }, short(text, MOST_CHARACTERS)),
    make("div", { class: "row" },
      gauge(all.length, limit),
      make("span", { class: cut ? "fault" : "" }, say(cut ? (truncates ? "tooLong" : "tooLongRefused") : "tokenCount", values)),
      make("span", { class: "muted" }, prompt ? say("promptIs", { prompt: JSON.stringify(prompt) }) : say("noPrompt"))),
    make("ol", { class: "tokens" }, ...all.slice(0, SHOWN_TOKENS).flatMap((token, place) => card(token, place, kinds))),
    all.length > SHOWN_TOKENS ? make("p", { class: "note" }, say("tokensFirst", { n: number(SHOWN_TOKENS) })) : "",
  );
}

/** How full the model is with this text. */
function gauge(count, limit) {
  const bar = make("i", { class: count > limit ? "is-over" : "" });
  bar.style.width = `${Math.min(100, (100 * count) / limit)}%`;
  return make("span", { class: "meter gauge", "aria-hidden": "true" }, bar);
}

function card(token, place, kinds) {
  const kind = kinds[place];
  const isFirstCut = kind === "cut" && kinds[place - 1] !== "cut";
  const where = token.start === null ? say("special") : `${token.start}–${token.stop}`;
  const title = token.start === null ? say("special") : say("offsets", token);
  const item = make("li", { class: `token is-${kind} hue-${place % HUES}`, title },
    make("b", {}, visible(token)), make("small", {}, String(token.id)),
    make("small", {}, kind === "prompt" ? `${say("prompt")} ${where}` : where));
  return isFirstCut ? [make("li", { class: "cut-here" }, say("cutHere")), item] : [item];
}
