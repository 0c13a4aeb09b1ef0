// Where texts come from: examples, the editor, a file opened or dropped.

import { fail, type, useTexts } from "../actions.js";
import { at, make } from "../dom.js";
import { FILE_MEGABYTES } from "../limits.js";
import { on, state } from "../store.js";
import { EXAMPLES } from "../text/examples.js";
import { decoded, lines, ParseError, texts as textsOf } from "../text/parse.js";
import { say } from "../words/words.js";

/** Let texts be chosen, written, opened and dropped. */
export function beginSources() {
  at("examples").addEventListener("change", () => {
    const chosen = EXAMPLES[at("examples").value];
    if (chosen) take(chosen.texts);
  });
  at("edit").addEventListener("click", () => (at("editor").hidden ? edit() : finish()));
  at("paste").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      finish();
      at("list").focus();
    }
  });
  at("open").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => {
    open(at("file").files[0]);
    at("file").value = "";
  });
  beginDropping();
  on("texts", show);
  document.addEventListener("language", show);
  show();
}

function show() {
  const names = Object.keys(EXAMPLES);
  const chosen = example();
  const own = state.texts.length && !chosen ? "own" : "examples";
  at("examples").replaceChildren(
    make("option", { value: "", selected: !chosen, disabled: true }, say(own)),
    ...names.map((name) => make("option", { value: name, selected: name === chosen }, say(`example_${name}`))),
  );
  showEdit();
}

/** The example that the texts are, or "" for other texts. */
function example() {
  return Object.keys(EXAMPLES).find((name) => EXAMPLES[name].texts.join() === state.texts.join()) ?? "";
}

function showEdit() {
  const isOwn = state.texts.length && !example();
  at("edit").textContent = say(at("editor").hidden ? (isOwn ? "editOwn" : "edit") : "done");
}

function edit() {
  at("paste").value = example() ? "" : state.texts.join("\n");
  toggle(true);
  at("paste").focus();
}

function finish() {
  const found = lines(at("paste").value);
  toggle(false);
  const isNew = found.join("\n") !== state.texts.join("\n");
  if (found.length && (isNew || state.hasFailed)) take(found);
}

function toggle(isEditing) {
  at("texts").classList.toggle("is-editing", isEditing);
  at("editor").hidden = !isEditing;
  at("list").hidden = isEditing;
  showEdit();
}

function take(found) {
  toggle(false);
  at("query").value = "";
  type("");
  useTexts(found);
  show();
}

async function open(file) {
  if (!file) return;
  try {
    if (file.size > FILE_MEGABYTES * 1e6) {
      throw new ParseError("tooBig", { name: file.name, most: FILE_MEGABYTES });
    }
    take(textsOf(file.name, decoded(file.name, await file.arrayBuffer())));
  } catch (error) {
    fail(error, "file");
  }
}

/** Take files that are dropped anywhere on the page, and say so while they are above it. */
function beginDropping() {
  let inside = 0;
  const mark = (change) => {
    inside = Math.max(0, inside + change);
    at("texts").classList.toggle("is-dropping", inside > 0);
  };
  const onFiles = (name, act) =>
    addEventListener(name, (event) => event.dataTransfer.types.includes("Files") && act(event));
  onFiles("dragenter", () => mark(1));
  onFiles("dragleave", () => mark(-1));
  onFiles("dragover", (event) => event.preventDefault());
  onFiles("drop", (event) => {
    event.preventDefault();
    mark(-inside);
    open(event.dataTransfer.files[0]);
  });
}
