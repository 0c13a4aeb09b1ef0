// Small things about the document.

/** The element of an id. */
export const at = (id) => document.getElementById(id);

/** A new element with attributes (properties where they are functions) and children. */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
}

/** The colours of the theme, as the style sheet names them. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: read("ink"), muted: read("muted"), line: read("line"), surface: read("surface"),
    accent: read("accent"), hot: read("hot"), ramp: [0, 1, 2, 3, 4].map((step) => read(`ramp-${step}`)),
  };
}

/** The colour of a share from 0 to 1 on a ramp of `#rrggbb`: [red, green, blue]. */
export function shade(ramp, share) {
  const place = Math.min(1, Math.max(0, share || 0)) * (ramp.length - 1);
  const step = Math.min(ramp.length - 2, Math.floor(place));
  const [from, to] = [rgb(ramp[step]), rgb(ramp[step + 1])];
  return from.map((value, i) => Math.round(value + (to[i] - value) * (place - step)));
}

function rgb(colour) {
  return [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
}

/** Fit a canvas to the place that it has, in the screen's own pixels; its drawing context. */
export function fitted(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Let the page answer keys and pointers before work goes on. */
export function breathe() {
  return globalThis.scheduler?.yield ? scheduler.yield() : new Promise((resume) => setTimeout(resume));
}

/** Whether the reader wants things to stand still. */
export function isStill() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** A text that is not longer than so many characters. */
export function short(text, most) {
  const characters = [...text.slice(0, 2 * most + 2)]; // each is one or two of JavaScript's
  return characters.length > most ? `${characters.slice(0, most - 1).join("").trimEnd()}…` : text;
}
