// The dialog that asks for the API key, which is kept in this tab alone.

import { at } from "../dom.js";
import { keys } from "../service/client.js";

/** Take a key, and call `taken` when there is one. */
export function beginKey(taken) {
  at("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keys.set(at("key-value").value.trim());
    at("key-value").value = "";
    at("key-dialog").close();
    taken();
  });
  at("key").hidden = !keys.get();
  at("key").addEventListener("click", () => askForKey(false));
}

/** Open the dialog; `wasRefused` says that a key was sent and not accepted. */
export function askForKey(wasRefused) {
  at("key").hidden = false;
  at("key-fault").hidden = !wasRefused;
  if (!at("key-dialog").open) at("key-dialog").showModal();
  at("key-value").focus();
}
