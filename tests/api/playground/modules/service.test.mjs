// Requests of the playground: batches, errors and what is read of them.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";

import { ask } from "../../../../app/api/playground/static/service/client.js";
import { inBatches } from "../../../../app/api/playground/static/service/embedding.js";

const TEXTS = Array.from({ length: 40 }, (_, place) => `text ${place}`);

test("every batch is asked for, and what is done is reported", async () => {
  const places = [];
  const shares = [];
  await inBatches(TEXTS, 16, async (batch) => places.push(...batch), (share) => shares.push(share));
  assert.deepEqual(places, TEXTS.map((_, place) => place));
  assert.deepEqual(shares, [0.4, 0.8, 1]);
});

test("after a failure nothing more is asked for or reported", async () => {
  let asked = 0;
  const shares = [];
  const task = async () => {
    asked += 1;
    const isFirst = asked === 1;
    await pause(1);
    if (isFirst) throw new Error("refused");
  };
  await assert.rejects(inBatches(TEXTS, 2, task, (share) => shares.push(share)), /refused/);
  await pause(30);
  assert.equal(asked, 2);
  assert.deepEqual(shares, []);
});

globalThis.sessionStorage = { getItem: () => null };

const answering = (answer) => () => (globalThis.fetch = async () => answer);
const REFUSALS = {
  "a lost connection": [() => (globalThis.fetch = async () => { throw new TypeError("failed"); }), "offline", 0],
  "a connection lost in the answer": [
    answering({ ok: true, status: 200, arrayBuffer: async () => { throw new TypeError("lost"); }, text: async () => { throw new TypeError("lost"); } }),
    "offline", 0],
  "a proxy's page": [answering(new Response("<h1>Bad gateway</h1>", { status: 502 })), "refused", 502, "<h1>Bad gateway</h1>"],
  "an error of TEI": [answering(new Response('{"error": "too long", "error_type": "Validation"}', { status: 413 })), "tooLarge", 413, "too long"],
  "an error of OpenAI": [answering(new Response('{"error": {"message": "no such model"}}', { status: 404 })), "gone", 404, "no such model"],
  "an empty error": [answering(new Response("", { status: 503, statusText: "Service Unavailable" })), "refused", 503, "Service Unavailable"],
};

for (const [name, [prepare, key, status, detail]] of Object.entries(REFUSALS)) {
  test(`${name} is one line`, async () => {
    for (const octets of [true, false]) {
      prepare();
      await assert.rejects(ask("../embed", { body: {}, octets }), (error) => {
        assert.deepEqual([error.key, error.values.status], [key, status]);
      assert.equal(error.isPassing, [0, 502, 503].includes(status));
        if (detail) assert.equal(error.values.detail, detail);
        return true;
      });
      if (detail) break; // a body is read once
    }
  });
}
