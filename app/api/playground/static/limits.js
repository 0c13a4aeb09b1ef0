// How much the page takes on, so that it stays quick.

export const TEXTS = 2000;
export const TOKEN_TEXTS = 200; // of models that give a vector for each token, or scores alone
export const HEAT_TEXTS = 300;
export const TYPE_TEXTS = 300;
export const FILE_MEGABYTES = 20;
export const SHOWN_CHARACTERS = 2000; // of a text, where it is not cut shorter anyway
export const SHOWN_TOKENS = 10_000; // of the selected text
export const LISTED = 100; // texts of the list at first, and more each time

/** How many texts the page takes for a model. */
export function maxOf(model) {
  return model?.main === "multi_vector" || model?.main === null ? TOKEN_TEXTS : TEXTS;
}
