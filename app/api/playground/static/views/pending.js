// A view that asks the service each time it is drawn: an older answer never covers a newer one.

import { fail } from "../actions.js";
import { settled } from "./notices.js";

/** A function that runs `task(signal)` and ends the one that ran before. */
export function latest(task) {
  let running = new AbortController();
  const draw = async () => {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    try {
      const show = await task(signal);
      if (signal.aborted) return;
      show?.();
      settled("view");
    } catch (error) {
      fail(error, "view", draw);
    }
  };
  return draw;
}
