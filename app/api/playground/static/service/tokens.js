// The tokens of a text as its model reads them.

import { ask } from "./client.js";
import { limitOf, promptOf } from "./models.js";
import { bytesOf, kindsOf } from "../text/truncation.js";

/** The body that asks for them, with the prompt of that name. */
export function bodyOf(text, prompt) {
  return prompt ? { inputs: text, prompt_name: prompt } : { inputs: text };
}

/** {tokens, kinds, limit, prompt, milliseconds}, where each token has one of the kinds. Raises: Refused. */
export async function tokensOf(model, text, prompt, signal) {
  const { data, milliseconds } = await ask(`${model.base}tokenize`, { body: bodyOf(text, prompt), signal });
  const limit = limitOf(model, prompt);
  const put = promptOf(model, prompt);
  const side = model.info.truncation_direction ?? "right";
  const kinds = kindsOf(data[0], { limit, side, promptBytes: bytesOf(put) });
  return { tokens: data[0], kinds, limit, prompt: put, milliseconds };
}

/** The text of a token as it can be seen. */
export function visible(token) {
  return token.text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "·") || "·";
}
