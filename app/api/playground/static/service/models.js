// The models of the process, as `/v1/models` and `/info` describe them.

import { ask } from "./client.js";

const QUERY = ["search_query", "query"];
const DOCUMENT = ["search_document", "document", "passage"];

/** Every model with what the page needs to know of it. Raises: Refused. */
export async function models() {
  const listed = (await ask("../v1/models")).data.data;
  return Promise.all(
    listed.map(async ({ id }) => {
      const base = listed.length === 1 ? "../" : `../tei/${pathOf(id)}/`;
      return described(id, base, (await ask(`${base}info`)).data);
    }),
  );
}

/** The name of a model as a path holds it. */
export function pathOf(name) {
  return encodeURI(name.replace(/^\/+|\/+$/g, "")).replace(/[?#]/g, encodeURIComponent);
}

/** A model by its `/info`. */
export function described(id, base, info) {
  const task = Object.keys(info.model_type)[0]; // embedding, classifier or reranker
  const kinds = info.vectors ?? [];
  const routed = Object.values(info.routes ?? {}).flatMap((route) => route.prompt_names);
  const names = [...new Set([...Object.keys(info.prompts ?? {}), ...routed])];
  return {
    id,
    base,
    info,
    task,
    kinds,
    main: ["dense", "multi_vector", "sparse"].find((kind) => kinds.includes(kind)) ?? null,
    batch: info.max_client_batch_size,
    promptNames: names,
    queryPrompt: kinds.length ? chosen(QUERY, names) : "",
    textPrompt: kinds.length ? chosen(DOCUMENT, names) : "",
  };
}

function chosen(wanted, names) {
  return wanted.find((name) => names.includes(name)) ?? "";
}

/** The text that is put before an input for which this name of a prompt is chosen ("" for none). */
export function promptOf(model, name) {
  return (name ? model.info.prompts?.[name] : model.info.default_prompt) ?? "";
}

/** How many tokens the model takes of such an input. */
export function limitOf(model, name) {
  const routes = Object.entries(model.info.routes ?? {});
  const chosen = name || model.info.default_prompt_name;
  const route =
    routes.find(([, one]) => one.prompt_names.includes(chosen)) ??
    routes.find(([own]) => own === model.info.default_route);
  return route?.[1].max_input_length ?? model.info.max_input_length;
}
