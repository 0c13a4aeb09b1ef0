// The bar at the top: which model it is, and what it is like.

import { embed, useModel, useTexts } from "../actions.js";
import { at, make } from "../dom.js";
import { maxOf } from "../limits.js";
import { on, set, state } from "../store.js";
import { number, say } from "../words/words.js";

/** Show the models and let one be chosen. */
export function beginHeader() {
  at("model").addEventListener("change", async () => {
    useModel(state.models[at("model").selectedIndex]);
    if (state.texts.length > maxOf(state.model)) await useTexts(state.texts);
    else await embed();
  });
  for (const [id, name] of [["text-prompt", "textPrompt"], ["query-prompt", "queryPrompt"]]) {
    at(id).addEventListener("change", () => {
      set({ [name]: at(id).value });
      embed();
    });
  }
  on("models model", show);
  document.addEventListener("language", show);
}

function show() {
  const { models, model } = state;
  if (!model) return;
  at("model").replaceChildren(
    ...models.map((one) => make("option", { selected: one === model, title: one.id }, nameOf(one))),
  );
  at("model").disabled = models.length === 1;
  const { info } = model;
  const facts = [
    model.task === "embedding" ? kindsOf(model) : model.task,
    state.vectors && model.main === "dense" ? say("dimensions", { n: number(state.vectors.width) }) : null,
    say("tokensMost", { n: number(info.max_input_length) }),
    `${info.model_dtype} · ${info.provider}`,
  ];
  at("facts").replaceChildren(...facts.filter(Boolean).map((fact) => make("li", {}, fact)));
  showPrompts(model);
}

function kindsOf(model) {
  return model.kinds.map((kind) => kind.replace("_", "-")).join(" + ");
}

/** The last part of a model's name, without the organization or the folders before it. */
export function nameOf(model) {
  return model.id.replace(/\/+$/, "").split("/").pop();
}

function showPrompts(model) {
  const names = ["", ...model.promptNames];
  for (const [id, chosen] of [["text-prompt", state.textPrompt], ["query-prompt", state.queryPrompt]]) {
    at(`${id}-option`).hidden = names.length === 1 || !model.main;
    at(id).replaceChildren(
      ...names.map((name) => make("option", { value: name, selected: name === chosen }, name || say("noPromptName"))),
    );
  }
}

on("vectors", show);
