// The map: each text a point in the plane in which the texts differ most.

import { colours, fitted, make, shade, short } from "../dom.js";
import { similarities } from "../math/vectors.js";
import { on, set, shown, state } from "../store.js";
import { number, percent, say } from "../words/words.js";
import { placeLabels } from "./labels.js";
import { nearestOf, showNeighbours } from "./neighbours.js";

const MARGIN = 34;
const MOST_STRETCHED = 1.6;
const REACH = 22; // pixels from a point to the pointer
const LABELLED = 60; // texts; of more, only those that matter get a label
let canvas;
let aside;
let note;
let spots = []; // {x, y} of each text, in pixels

export const map = {
  parts: "picture selected pointed found hasFailed",
  suits: (model) => Boolean(model?.main),
  begin,
  draw,
};

function begin(panel) {
  canvas = make("canvas", { tabindex: "0", role: "img", class: "map" });
  aside = make("aside", { class: "neighbours", "aria-live": "polite" });
  note = make("p", { class: "note" });
  panel.classList.add("with-aside");
  panel.append(make("div", { class: "stage" }, canvas, note), aside);
  canvas.addEventListener("pointermove", (event) => set({ pointed: under(event) }));
  canvas.addEventListener("pointerleave", () => set({ pointed: -1 }));
  canvas.addEventListener("click", (event) => {
    const place = under(event);
    if (place >= 0) set({ selected: place });
  });
  canvas.addEventListener("keydown", step);
  on("view", () => set({ pointed: -1 }));
}

function draw() {
  const { picture, texts } = state;
  const isThere = picture?.points.length === texts.length;
  note.textContent = isThere ? noteOf(picture) : texts.length && !state.hasFailed ? say("working") : "";
  const box = canvas.parentElement.getBoundingClientRect();
  const width = Math.max(280, box.width);
  const height = Math.max(300, box.height - note.offsetHeight);
  const context = fitted(canvas, width, height);
  canvas.setAttribute("aria-label", say("mapLabel", { n: texts.length }));
  aside.replaceChildren();
  spots = []; // those of other texts are nowhere
  if (!isThere) return;
  paint(context, width, height);
  showNeighbours(aside);
}

function noteOf({ shares }) {
  const { found, model, vectors } = state;
  const share = percent(shares[0] + shares[1]);
  const key = { dense: "colourNote", sparse: "colourNoteSparse", multi_vector: "colourNoteMulti" }[model.main];
  const to = say(found ? "toQuery" : "toText");
  return `${say("mapNote", { share })} ${say(key, { to, n: number(vectors.width) })}`;
}

function paint(context, width, height) {
  const theme = colours();
  const { picture, vectors, found } = state;
  const query = found?.row ? picture.place(found.row) : null;
  const toScreen = scaling(query ? [...picture.points, query] : picture.points, width, height);
  spots = picture.points.map(toScreen);
  const centre = shown();
  const scores = found?.row ? found.scores : similarities(vectors, vectors.rows[centre]);
  const near = nearestOf(centre, 5);
  lines(context, spots[centre], near, theme);
  const most = Math.max(...scores.filter((_, place) => place !== centre || found), 0.01);
  const order = spots.map((_, place) => place).sort((a, b) => scores[a] - scores[b]);
  const radius = spots.length > 500 ? 3 : spots.length > 100 ? 4 : 6;
  for (const place of order) {
    const [r, g, b] = shade(theme.ramp.slice(1), scores[place] / most);
    point(context, spots[place], radius, `rgb(${r} ${g} ${b})`, theme.surface);
  }
  point(context, spots[centre], radius + 1.5, theme.accent, theme.surface);
  ring(context, spots[centre], radius + 8, theme.hot);
  const labels = labelled(centre, near, scores).map((place) => ({
    ...spots[place], text: short(state.texts[place], 34), strong: place === centre,
    soft: place !== centre && !near.some((one) => one.place === place),
  }));
  const taken = [...spots];
  if (query) {
    const spot = toScreen(query);
    taken.push({ ...spot, strong: true });
    diamond(context, spot, theme.hot, theme.surface);
    labels.unshift({ ...spot, text: short(state.query, 34), strong: true, colour: theme.hot });
  }
  write(context, placeLabels(labels, taken, { width, height, measure: (one) => measured(context, one) }), theme);
}

/** From components to pixels; one direction is stretched at most so much more than the other. */
function scaling(points, width, height) {
  const [xs, ys] = [0, 1].map((k) => points.map((one) => one[k]));
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const [fx, fy] = [
    (width - 2 * MARGIN) / (right - left || 1),
    (height - 2 * MARGIN) / (high - low || 1),
  ];
  const [wide, tall] = [Math.min(fx, MOST_STRETCHED * fy), Math.min(fy, MOST_STRETCHED * fx)];
  return ([x, y]) => ({
    x: width / 2 + (x - (left + right) / 2) * wide,
    y: height / 2 - (y - (low + high) / 2) * tall,
  });
}

function lines(context, from, near, theme) {
  for (const { place, score } of near) {
    context.globalAlpha = 0.25 + 0.6 * Math.max(0, score);
    context.strokeStyle = theme.hot;
    context.lineWidth = 1 + 3 * Math.max(0, score);
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(spots[place].x, spots[place].y);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function point(context, { x, y }, radius, colour, edge) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = edge;
  context.stroke();
}

function ring(context, { x, y }, radius, colour) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.lineWidth = 2.5;
  context.strokeStyle = colour;
  context.stroke();
}

function diamond(context, { x, y }, colour, edge) {
  context.beginPath();
  context.moveTo(x, y - 9);
  context.lineTo(x + 9, y);
  context.lineTo(x, y + 9);
  context.lineTo(x - 9, y);
  context.closePath();
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = edge;
  context.stroke();
}

/** Which texts get a label, the most important first. */
function labelled(centre, near, scores) {
  const first = [centre, ...near.map((one) => one.place)];
  if (state.texts.length > LABELLED) return first;
  const rest = state.texts.map((_, place) => place).filter((place) => !first.includes(place));
  return [...first, ...rest.sort((a, b) => scores[b] - scores[a])];
}

function measured(context, { text, strong }) {
  context.font = fontOf(strong);
  return context.measureText(text).width;
}

function write(context, labels, theme) {
  context.textBaseline = "middle";
  context.lineJoin = "round";
  for (const { left, middle, text, strong, soft, colour } of labels) {
    context.font = fontOf(strong);
    context.lineWidth = 4;
    context.strokeStyle = theme.surface;
    context.strokeText(text, left, middle);
    context.fillStyle = colour ?? (soft ? theme.muted : theme.ink);
    context.fillText(text, left, middle);
  }
}

function fontOf(strong) {
  return `${strong ? 600 : 400} 12px ${getComputedStyle(document.body).fontFamily}`;
}

function under({ offsetX, offsetY }) {
  let best = -1;
  let least = REACH;
  spots.forEach(({ x, y }, place) => {
    const distance = Math.hypot(x - offsetX, y - offsetY);
    if (distance < least) [best, least] = [place, distance];
  });
  return best;
}

/** Go to the nearest text in the direction of an arrow key. */
function step(event) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const from = spots[state.selected];
  if (!direction || !from) return;
  event.preventDefault();
  let best = -1;
  let least = Infinity;
  spots.forEach(({ x, y }, place) => {
    const [dx, dy] = [x - from.x, y - from.y];
    const ahead = dx * direction[0] + dy * direction[1];
    const aside = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
    const cost = ahead + 2 * aside;
    if (place !== state.selected && ahead > 0 && cost < least) [best, least] = [place, cost];
  });
  if (best >= 0) set({ selected: best, pointed: -1 });
}
