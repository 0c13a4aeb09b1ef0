// What was just asked, as a curl command and as a Python program that anybody can run. Pure.

const MOST_TEXTS = 32; // in a snippet

/**
 * `asked` is {base, url, path, query, body, texts, then}: where to, the body for the query if there
 * is one, the body for the texts, these texts, what the page did with the answer (of `AFTER`), and
 * how many inputs a request may have, and how many texts there are in all.
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
  const { base, path, body, query, texts, then, most = MOST_TEXTS, total = 0 } = asked;
  const after = AFTER[then].replace("{most}", String(most));
  const key = hasKey ? ', "Authorization": f"Bearer {os.environ[\'API_KEY\']}"' : "";
  const lines = [
    "import json",
    ...(hasKey ? ["import os"] : []),
    "from urllib.request import Request, urlopen",
    ...(after.includes("np.") ? ["", "import numpy as np"] : []),
    "", "",
    "def post(path, body):",
    `    headers = {"Content-Type": "application/json"${key}}`,
    `    request = Request(${JSON.stringify(base)} + path, json.dumps(body).encode(), headers)`,
    "    with urlopen(request) as answer:",
    "        return json.load(answer)",
    "", "",
    ...(texts ? [`texts = ${literal(texts.slice(0, MOST_TEXTS), "")}${some(texts, total)}`] : []),
    ...(query ? [`query = post(${JSON.stringify(path)}, ${literal(query, "")})[0]`] : []),
    `answer = post(${JSON.stringify(path)}, ${fieldsOf(body, texts)})`,
    after,
  ];
  return `${lines.join("\n")}\n`;
}

/** A remark on texts that are not all there. */
function some(texts, total) {
  const shown = Math.min(texts.length, MOST_TEXTS);
  return total > shown ? `  # the first ${shown} of ${total}` : "";
}

/** A body in which the texts that have a name already are called by it. */
function fieldsOf(body, texts) {
  const fields = Object.entries(body).map(([name, value]) => {
    return `${JSON.stringify(name)}: ${value === texts ? "texts" : literal(value, "")}`;
  });
  return `{${fields.join(", ")}}`;
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
  neighbours: `vectors = np.array(answer, np.float32)
${NEAREST}`,
  neighboursSparse: `${SPARSE_DOT}for text, row in zip(texts, answer):
    nearest = sorted(zip([dot(row, other) for other in answer], texts), reverse=True)
    print(text, [(other, round(score, 3)) for score, other in nearest if other != text][:3])`,
  neighboursMulti: `for text, rows in zip(texts, answer):
    print(text, np.array(rows, np.float32).shape)`,
  searchSparse: `${SPARSE_DOT}for score, text in sorted(zip([dot(query, one) for one in answer], texts), reverse=True):
    print(f"{score:.3f}  {text}")`,
  searchMulti: `${MAXSIM}for score, text in sorted(zip([maxsim(query, one) for one in answer], texts), reverse=True):
    print(f"{score:.3f}  {text}")`,
  search: `query = np.array(query, np.float32)
vectors = np.array(answer, np.float32)
for score, text in sorted(zip(vectors @ query, texts), reverse=True):
    print(f"{score:.3f}  {text}")`,
  rank: `for one in answer:
    print(f"{one['score']:.3f}  {texts[one['index']]}")`,
  tokens: `for token in answer[0]:
    print(token["id"], repr(token["text"]), token["start"], token["stop"])`,
  weights: `entries = sorted(answer[0], key=lambda entry: -entry["value"])[:{most}]
ids = [[entry["index"]] for entry in entries]
terms = post("decode", {"ids": ids, "skip_special_tokens": False})
for term, entry in zip(terms, entries):
    print(f"{entry['value']:.3f}  {term}")`,
  bits: `bits = np.unpackbits(np.array(answer, np.uint8), axis=1)
for text, row in zip(texts, bits):
    differing = (bits != row).sum(axis=1)
    nearest = [other for other in np.argsort(differing) if texts[other] != text][:3]
    print(text, [(texts[other], int(differing[other])) for other in nearest])`,
  maxsim: `query, text = np.array(query, np.float32), np.array(answer[0], np.float32)
best = (query @ text.T).max(axis=1)
print(best.sum(), best)`,
  labels: "print(answer)",
};

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
