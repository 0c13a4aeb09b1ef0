// Files to texts: lines, CSV (RFC 4180) and JSON Lines. Pure.

const NAMES = ["text", "content", "sentence", "passage", "body", "document", "question", "title", "name"];

/** A file that cannot be read; `key` is one of the page's messages. */
export class ParseError extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** What a file's bytes say, in UTF-8 or, where a mark says so, UTF-16. Raises: ParseError. */
export function decoded(name, bytes) {
  const [first, second] = new Uint8Array(bytes);
  const mark = first * 256 + second;
  const encoding = { [0xfffe]: "utf-16le", [0xfeff]: "utf-16be" }[mark] ?? "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new ParseError("notUnicode", { name });
  }
}

/** The texts of pasted lines: one a line, without empty ones. */
export function lines(content) {
  return content.split(/\r\n|\n|\r/).map((line) => line.trim()).filter(Boolean);
}

/** The texts of a file, by the ending of its name. Raises: ParseError. */
export function texts(name, content) {
  const plain = content.replace(/^\uFEFF/, "");
  if (plain.includes("\0")) throw new ParseError("notText", { name });
  const ending = name.toLowerCase().split(".").pop();
  const read = { csv: (all) => table(all, ","), tsv: (all) => table(all, "\t"), jsonl, ndjson: jsonl, json };
  const found = (read[ending] ?? lines)(plain);
  if (!found.length) throw new ParseError("noTexts", { name });
  return found;
}

function jsonl(content) {
  const found = [];
  content.split(/\r\n|\n|\r/).forEach((line, index) => {
    if (!line.trim()) return;
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      throw new ParseError("notJson", { line: index + 1 });
    }
    found.push(textOf(value, index + 1));
  });
  return found.filter(Boolean);
}

function json(content) {
  let values;
  try {
    values = JSON.parse(content);
  } catch {
    return jsonl(content);
  }
  return (Array.isArray(values) ? values : [values]).map((one, i) => textOf(one, i + 1)).filter(Boolean);
}

/** A string itself, or the text among an object's fields. */
function textOf(value, line) {
  if (typeof value === "string") return value.trim();
  const fields = Object.entries(value ?? {}).filter(([, one]) => typeof one === "string");
  if (!fields.length) throw new ParseError("noTextInLine", { line });
  const named = NAMES.map((name) => fields.find(([key]) => key.toLowerCase() === name)).find(Boolean);
  return (named ?? fields.reduce((a, b) => (b[1].length > a[1].length ? b : a)))[1].trim();
}

/** The column that holds texts: one with a name that says so, or the longest. */
function table(content, separator) {
  const rows = records(content, separator).filter((row) => row.some((cell) => cell.trim()));
  if (!rows.length) return [];
  const head = rows[0].map((cell) => cell.trim().toLowerCase());
  const named = NAMES.map((name) => head.indexOf(name)).find((place) => place >= 0) ?? -1;
  if (named >= 0) return column(rows.slice(1), named);
  const widths = head.map((_, place) => column(rows, place).join("").length);
  const longest = widths.indexOf(Math.max(...widths));
  return column(hasHead(rows) ? rows.slice(1) : rows, longest);
}

/** Rows have a head if a column of numbers begins with something else. */
function hasHead(rows) {
  const isNumber = (cell) => cell?.trim() !== "" && Number.isFinite(Number(cell));
  return rows.length > 1 && rows[0].some((cell, place) => !isNumber(cell) && isNumber(rows[1][place]));
}

function column(rows, place) {
  return rows.map((row) => (row[place] ?? "").trim()).filter(Boolean);
}

/** The cells of each record; quoted ones may hold separators, doubled quotes and line ends. */
export function records(content, separator) {
  const found = [];
  let row = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < content.length; i += 1) {
    const one = content[i];
    if (quoted) {
      if (one !== '"') cell += one;
      else if (content[i + 1] === '"') cell += content[(i += 1)];
      else quoted = false;
    } else if (one === '"' && cell === "") quoted = true;
    else if (one === separator) cell = void row.push(cell) ?? "";
    else if (one === "\n" || one === "\r") {
      if (one === "\r" && content[i + 1] === "\n") i += 1;
      row.push(cell);
      found.push(row);
      [row, cell] = [[], ""];
    } else cell += one;
  }
  if (quoted) throw new ParseError("openQuote", { line: found.length + 1 });
  if (cell !== "" || row.length) found.push([...row, cell]);
  return found;
}
