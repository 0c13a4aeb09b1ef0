// The language of the page: English or Chinese, as the browser says or as was chosen.

import en from "./en.js";
import zh from "./zh.js";

const CHOSEN = "playground-language";
const WORDS = { en, zh };
let language = "en";
const formats = new Map(); // by language and options: to make one takes forty times as long as to use it

/** Choose the language: the one chosen before, or the browser's. */
export function begin() {
  const chosen = localStorage.getItem(CHOSEN);
  language = chosen in WORDS ? chosen : navigator.language.startsWith("zh") ? "zh" : "en";
  apply();
}

/** Change to the other language. */
export function toggle() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem(CHOSEN, language);
  apply();
}

/** The text of a key, with values put in. */
export function say(key, values = {}) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** A number as the language writes it. */
export function number(value, digits = 0) {
  return formatted(value, "decimal", digits);
}

/** A share of 1 in percent. */
export function percent(share, digits = 0) {
  return formatted(share, "percent", digits);
}

function formatted(value, style, digits) {
  const key = `${language} ${style} ${digits}`;
  if (!formats.has(key)) {
    const options = { style, minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(key, new Intl.NumberFormat(language, options));
  }
  return formats.get(key).format(value);
}

/** The texts of everything that the document itself holds. */
function apply() {
  document.documentElement.lang = language;
  document.title = say("title");
  for (const one of document.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
  for (const one of document.querySelectorAll("[data-hint]")) one.placeholder = say(one.dataset.hint);
  for (const one of document.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", say(one.dataset.label));
  }
  const other = document.getElementById("language");
  other.textContent = say("languageShort");
  other.lang = language === "en" ? "zh" : "en";
}
