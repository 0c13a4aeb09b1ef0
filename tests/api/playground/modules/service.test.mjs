// Requests of the playground: batches, errors and what is read of them.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";

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
