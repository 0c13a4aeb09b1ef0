// What was just asked, as a curl command and as a Python program that anybody can run. Pure.

const MOST_TEXTS = 32; // in a snippet

/**
 * `asked` is {base, url, path, query, body, texts, then}: where to, the body for the query if there
 * is one, the body for the texts, these texts, and what the page did with the answer (of `AFTER`).
 */
export function curl({ url, query, body }, hasKey) {
  const command = (one) => {
    const lines = [`curl ${quoted(url)}`, "  -H 'Content-Type: application/json'"];
    if (hasKey) lines.push('  -H "Authorization: Bearer $API_KEY"');
    return [...lines, `  -d ${quoted(JSON.stringify(shortened(one)))}`].join(" \\\n");
  };
  return [query, body].filter(Boolean).map(command).join("\n");
}

/** The same as Python, with what the page computed of the answer. */
export function python(asked, hasKey) {
  const needsNumpy = asked.then in AFTER && AFTER[asked.then].includes("np.");
  const lines = [...(hasKey ? ["import os", ""] : []), "import httpx"];
  if (needsNumpy) lines.push("import numpy as np");
  const headers = hasKey ? ', headers={"Authorization": f"Bearer {os.environ[\'API_KEY\']}"}' : "";
  lines.push("", `client = httpx.Client(base_url=${JSON.stringify(asked.base)}${headers}, timeout=60)`);
  if (asked.texts) lines.push(`texts = ${literal(asked.texts.slice(0, MOST_TEXTS), "")}`);
  lines.push("", ...asking(asked));
  if (asked.then in AFTER) lines.push(AFTER[asked.then]);
  return `${lines.join("\n")}\n`;
}

const NEAREST = `cosines = vectors @ vectors.T
for text, row in zip(texts, cosines):
    nearest = [other for other in np.argsort(-row) if texts[other] != text][:3]
    print(text, [(texts[other], round(float(row[other]), 3)) for other in nearest])`;

const SPARSE_DOT = `def dot(a, b):
    values = {entry["index"]: entry["value"] for entry in a}
    return sum(values.get(entry["index"], 0) * entry["value"] for entry in b)

`;

const MAXSIM = `def maxsim(query, text):
    return (np.array(query, np.float32) @ np.array(text, np.float32).T).max(axis=1).sum()

`;

const AFTER = {
  neighbours: `vectors = np.array(answer.json(), np.float32)
${NEAREST}`,
  neighboursSparse: `${SPARSE_DOT}for text, row in zip(texts, answer.json()):
    nearest = sorted(zip([dot(row, other) for other in answer.json()], texts), reverse=True)
    print(text, [(other, round(score, 3)) for score, other in nearest if other != text][:3])`,
  neighboursMulti: `for text, rows in zip(texts, answer.json()):
    print(text, np.array(rows, np.float32).shape)`,
  searchSparse: `${SPARSE_DOT}for score, text in sorted(zip([dot(query, one) for one in answer.json()], texts), reverse=True):
    print(f"{score:.3f}  {text}")`,
  searchMulti: `${MAXSIM}for score, text in sorted(zip([maxsim(query, one) for one in answer.json()], texts), reverse=True):
    print(f"{score:.3f}  {text}")`,
  search: `query = np.array(query, np.float32)
vectors = np.array(answer.json(), np.float32)
for score, text in sorted(zip(vectors @ query, texts), reverse=True):
    print(f"{score:.3f}  {text}")`,
  rank: `for one in answer.json():
    print(f"{one['score']:.3f}  {texts[one['index']]}")`,
  tokens: `for token in answer.json()[0]:
    print(token["id"], repr(token["text"]), token["start"], token["stop"])`,
  weights: `ids = [entry["index"] for entry in answer.json()[0]]
terms = client.post("decode", json={"ids": [[one] for one in ids]}).json()
for term, entry in sorted(zip(terms, answer.json()[0]), key=lambda pair: -pair[1]["value"]):
    print(f"{entry['value']:.3f}  {term}")`,
  bits: `bits = np.unpackbits(np.array(answer.json(), np.uint8), axis=1)
for text, row in zip(texts, bits):
    differing = (bits != row).sum(axis=1)
    nearest = [other for other in np.argsort(differing) if texts[other] != text][:3]
    print(text, [(texts[other], int(differing[other])) for other in nearest])`,
  maxsim: `query, text = np.array(query, np.float32), np.array(answer.json()[0], np.float32)
best = (query @ text.T).max(axis=1)
print(best.sum(), best)`,
  labels: "print(answer.json())",
};

function asking(asked) {
  const lines = [];
  const { path, body } = asked;
  if (asked.query) {
    const alone = literal(asked.query, "");
    lines.push(`answer = client.post(${JSON.stringify(path)}, json=${alone})`, "answer.raise_for_status()");
    lines.push("query = answer.json()[0]", "");
  }
  const fields = Object.entries(body).map(([name, value]) => {
    const written = Array.isArray(value) && value === asked.texts ? "texts" : literal(value, "    ");
    return `    ${JSON.stringify(name)}: ${written},`;
  });
  lines.push(`answer = client.post(${JSON.stringify(path)}, json={`, ...fields, "})");
  lines.push("answer.raise_for_status()");
  return lines;
}

/** A value as Python writes it. */
export function literal(value, indent) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  const deeper = `${indent}    `;
  if (Array.isArray(value)) {
    if (!value.length) return "[]";
    const parts = value.slice(0, MOST_TEXTS).map((one) => `${deeper}${literal(one, deeper)},\n`);
    return `[\n${parts.join("")}${indent}]`;
  }
  if (typeof value === "object") {
    const parts = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one, deeper)}`);
    return `{${parts.join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** A word of a shell, whatever is in it. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function shortened(body) {
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, Array.isArray(value) ? value.slice(0, MOST_TEXTS) : value]),
  );
}
