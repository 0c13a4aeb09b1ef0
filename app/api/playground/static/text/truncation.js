// Which tokens a model reads of a text that is too long for it. Pure.

/**
 * For each token: "special", "prompt", "text", or "cut" if the model never sees it.
 *
 * Special tokens stay; the others are cut at the given side until all fit into `limit`.
 */
export function kindsOf(tokens, { limit, side = "right", promptBytes = 0 }) {
  const inner = tokens.flatMap((token, place) => (token.special ? [] : [place]));
  const room = Math.max(0, limit - (tokens.length - inner.length));
  const excess = Math.max(0, inner.length - room);
  const cut = new Set(excess ? (side === "left" ? inner.slice(0, excess) : inner.slice(-excess)) : []);
  return tokens.map((token, place) => {
    if (token.special) return "special";
    if (cut.has(place)) return "cut";
    return token.stop !== null && token.stop <= promptBytes ? "prompt" : "text";
  });
}

/** The bytes of a text in UTF-8, in which the service counts offsets. */
export function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}
