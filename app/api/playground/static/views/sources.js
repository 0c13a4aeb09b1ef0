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
  beginDropping(at("texts"));
  on("texts", show);
  document.addEventListener("language", show);
  show();
}

function show() {
  const names = Object.keys(EXAMPLES);
  const chosen = names.find((name) => EXAMPLES[name].texts.join() === state.texts.join()) ?? "";
  const own = state.texts.length && !chosen ? "own" : "examples";
  at("examples").replaceChildren(
    make("option", { value: "", selected: !chosen, disabled: true }, say(own)),
    ...names.map((name) => make("option", { value: name, selected: name === chosen }, say(`example_${name}`))),
  );
  at("edit").textContent = say(at("editor").hidden ? "edit" : "done");
}

function edit() {
  const isExample = Object.values(EXAMPLES).some((one) => one.texts.join() === state.texts.join());
  at("paste").value = isExample ? "" : state.texts.join("\n");
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
  at("edit").textContent = say(isEditing ? "done" : "edit");
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
    fail(error);
  }
}

function beginDropping(pane) {
  let inside = 0;
  const mark = (change) => {
    inside = Math.max(0, inside + change);
    pane.classList.toggle("is-dropping", inside > 0);
  };
  pane.addEventListener("dragenter", () => mark(1));
  pane.addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-inside);
    if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}
