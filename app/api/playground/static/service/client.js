// Requests to the service: the key, deadlines that pass, times, and errors as one line each.

const KEY = "playground-key";
const PASSING = new Set([0, 429, 502, 503, 504]); // what may be answered a moment later
const PATIENCE = 3; // requests that are tried again after a 429

/** An answer that is none; `key` is one of the page's messages, `status` 0 for no answer at all. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.key = { 0: "offline", 401: "needsKey", 404: "gone", 413: "tooLarge", 429: "busy" }[status] ?? "refused";
    this.values = { status, detail };
    this.isPassing = PASSING.has(status);
  }
}

export const keys = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** Whether an error is only that something newer was asked. */
export function isAborted(error) {
  return error?.name === "AbortError";
}

/** Ask, and return {data, headers, milliseconds}; `octets` asks for bytes. Raises: Refused. */
export async function ask(path, { body, octets = false, signal } = {}) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (octets) headers.accept = "application/octet-stream";
  if (keys.get()) headers.authorization = `Bearer ${keys.get()}`;
  const options = { method: body === undefined ? "GET" : "POST", headers, signal, cache: "no-store" };
  if (body !== undefined) options.body = JSON.stringify(body);
  for (let tries = 1; ; tries += 1) {
    const started = performance.now();
    const answer = await arrived(fetch(path, options));
    if (answer.status === 429 && tries < PATIENCE) {
      await pause(1000 * (Number(answer.headers.get("retry-after")) || 1), signal);
      continue;
    }
    const read = await arrived(octets && answer.ok ? answer.arrayBuffer() : answer.text());
    if (!answer.ok) throw new Refused(answer.status, detailOf(read.trim()) || answer.statusText);
    const data = octets ? read : JSON.parse(read);
    return { data, headers: answer.headers, milliseconds: performance.now() - started };
  }
}

/** What a request or an answer's body brings. Raises: Refused if the connection was lost. */
async function arrived(promised) {
  try {
    return await promised;
  } catch (error) {
    if (isAborted(error)) throw error;
    throw new Refused(0, String(error.message));
  }
}

/** What the service says of an error, in whichever shape. */
function detailOf(text) {
  try {
    const { error, message } = JSON.parse(text);
    return String(error?.message ?? error ?? message ?? text);
  } catch {
    return text.slice(0, 300);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
