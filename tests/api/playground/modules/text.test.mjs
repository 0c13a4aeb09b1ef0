// Files, truncation, labels and snippets of the playground.

import assert from "node:assert/strict";
import { test } from "node:test";

import { decoded, lines, ParseError, records, texts } from "../../../../app/api/playground/static/text/parse.js";
import { curl, literal, python, quoted } from "../../../../app/api/playground/static/text/snippets.js";
import { bytesOf, kindsOf } from "../../../../app/api/playground/static/text/truncation.js";
import { placeLabels } from "../../../../app/api/playground/static/views/labels.js";

const fault = (key, values) => (error) => {
  assert.ok(error instanceof ParseError);
  assert.equal(error.key, key);
  assert.deepEqual(error.values, values);
  return true;
};

test("lines are texts, whatever ends them", () => {
  assert.deepEqual(lines(" a \r\n\r\nb\rc\n"), ["a", "b", "c"]);
  assert.deepEqual(texts("notes.TXT", "\uFEFFone\ntwo, three"), ["one", "two, three"]);
  assert.deepEqual(texts("README", "one"), ["one"]);
});

test("files are read in UTF-8 or UTF-16, and no other bytes are guessed at", () => {
  assert.equal(decoded("a.txt", new TextEncoder().encode("\uFEFF猫 😀\n")), "猫 😀\n");
  for (const isLittle of [true, false]) {
    const view = new DataView(new ArrayBuffer(6));
    [0xfeff, 0x732b, 0x0a].forEach((unit, place) => view.setUint16(2 * place, unit, isLittle));
    assert.equal(decoded("a.txt", view.buffer), "猫\n");
  }
  assert.equal(decoded("a.txt", new ArrayBuffer(0)), "");
  const simplified = new Uint8Array([0xc3, 0xa8, 0xcb, 0xaf, 0xbe, 0xf5]); // GBK
  assert.throws(() => decoded("a.csv", simplified), fault("notUnicode", { name: "a.csv" }));
});

test("quoted cells hold commas, quotes and line ends", () => {
  assert.deepEqual(records('a,"b ""c"", d"\r\n"e\nf",g\n', ","), [["a", 'b "c", d'], ["e\nf", "g"]]);
  assert.deepEqual(records("a,\n,b", ","), [["a", ""], ["", "b"]]);
  assert.throws(() => records('a\n"b', ","), fault("openQuote", { line: 2 }));
});

test("a table gives the column that its head names, or the longest", () => {
  assert.deepEqual(texts("a.csv", "id,Text,note\n1,hello,a much longer remark\n2,bye,\n"), ["hello", "bye"]);
  assert.deepEqual(texts("a.csv", "nr,remark\n1,a first line\n2,and a second"), ["a first line", "and a second"]);
  assert.deepEqual(texts("a.csv", "a first line\nand a second"), ["a first line", "and a second"]);
  assert.deepEqual(texts("a.tsv", "1\thello, you\n2\tbye"), ["hello, you", "bye"]);
});

test("JSON Lines are strings, or objects with a text", () => {
  const content = '{"id": "x", "text": " one "}\n\n"two"\n{"id": "a-long-identifier", "body": "three"}\n{"a": "x", "b": "four"}';
  assert.deepEqual(texts("a.jsonl", content), ["one", "two", "three", "four"]);
  assert.deepEqual(texts("a.json", '["one", {"content": "two"}]'), ["one", "two"]);
  assert.throws(() => texts("a.jsonl", '"one"\n{oops'), fault("notJson", { line: 2 }));
  assert.throws(() => texts("a.jsonl", '"one"\n{"n": 3}'), fault("noTextInLine", { line: 2 }));
});

test("files without texts are named", () => {
  assert.throws(() => texts("a.txt", " \n "), fault("noTexts", { name: "a.txt" }));
  assert.throws(() => texts("a.png", "\x89PNG\0"), fault("notText", { name: "a.png" }));
});

const token = (start, stop) => ({ special: start === null, start, stop });
const TOKENS = [token(null, null), token(0, 5), token(5, 7), token(8, 12), token(12, 20), token(null, null)];

test("what does not fit is cut, on the side where the model cuts", () => {
  assert.deepEqual(kindsOf(TOKENS, { limit: 6, promptBytes: 7 }), ["special", "prompt", "prompt", "text", "text", "special"]);
  assert.deepEqual(kindsOf(TOKENS, { limit: 4 }), ["special", "text", "text", "cut", "cut", "special"]);
  assert.deepEqual(kindsOf(TOKENS, { limit: 4, side: "left" }), ["special", "cut", "cut", "text", "text", "special"]);
  assert.deepEqual(kindsOf(TOKENS, { limit: 2 }).filter((kind) => kind === "cut").length, 4);
  assert.equal(bytesOf("é 猫"), 6);
});

test("labels never lie over each other", () => {
  const spots = Array.from({ length: 40 }, (_, i) => ({ x: 100 + (i % 8) * 30, y: 100 + Math.floor(i / 8) * 12 }));
  const labels = spots.map((spot, i) => ({ ...spot, text: `text ${i}` }));
  const placed = placeLabels(labels, spots, { width: 500, height: 300, measure: () => 60 });
  assert.ok(placed.length > 5);
  placed.forEach((a, i) => placed.slice(i + 1).forEach((b) => {
    assert.ok(Math.abs(a.left - b.left) >= 60 || Math.abs(a.middle - b.middle) >= 16);
  }));
  const strong = placeLabels([{ x: 100, y: 100, strong: true }], spots, { width: 90, height: 90, measure: () => 60 });
  assert.equal(strong.length, 1);
});

test("a label that has to be seen lies within the picture, whatever it hides", () => {
  const spots = [{ x: 480, y: 150 }, ...Array.from({ length: 60 }, (_, i) => ({ x: 300 + 4 * i, y: 90 + 24 * (i % 6) }))];
  const labels = [{ ...spots[0], strong: true }, { x: 460, y: 152, strong: true }];
  const [query, chosen] = placeLabels(labels, spots, { width: 500, height: 300, measure: () => 180 });
  assert.ok(query.left >= 2 && query.left + 180 <= 498 && chosen.left >= 2 && chosen.left + 180 <= 498);
  assert.ok(Math.abs(query.middle - chosen.middle) >= 16 || Math.abs(query.left - chosen.left) >= 180);
});

const ASKED = { then: "labels", base: "http://h:1/", url: "http://h:1/embed", path: "embed", body: { inputs: ["it's"] } };

test("a shell reads a quoted text as it is", () => {
  assert.equal(quoted("it's"), "'it'\\''s'");
  assert.equal(curl(ASKED, false), `curl 'http://h:1/embed' \\\n  -H 'Content-Type: application/json' \\\n  -d '{"inputs":["it'\\''s"]}'`);
  assert.match(curl(ASKED, true), /-H "Authorization: Bearer \$API_KEY"/);
});

test("no snippet holds the key itself, nor more texts than one request takes", () => {
  assert.match(python(ASKED, true), /os\.environ\['API_KEY'\]/);
  const body = { inputs: Array.from({ length: 99 }, (_, i) => `text ${i}`) };
  for (const code of [curl, python]) {
    const made = code({ ...ASKED, body, texts: body.inputs }, false);
    assert.ok(made.includes("text 31") && !made.includes("text 32"));
  }
});

test("values are written as Python has them", () => {
  assert.equal(literal({ a: true, b: null, c: 1.5, d: 'x"y' }, ""), '{"a": True, "b": None, "c": 1.5, "d": "x\\"y"}');
  assert.equal(literal([], ""), "[]");
});
