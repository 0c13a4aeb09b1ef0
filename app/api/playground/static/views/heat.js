// The heat map: the cosine of each text to each other.

import { colours, fitted, make, shade, short } from "../dom.js";
import { HEAT_TEXTS, SHOWN_CHARACTERS } from "../limits.js";
import { chained, highest } from "../math/nearest.js";
import { matrix } from "../math/vectors.js";
import { set, state } from "../store.js";
import { number, say } from "../words/words.js";

const LABELLED = 40; // texts, of which each has a row of its own to read
let parts; // canvas, readout, toggle, note, legend
let cell = { row: 0, column: 0 };
let shownOf = { vectors: null, values: null, grouped: [] };
let layout = null;

export const heat = { parts: "vectors selected hasFailed", suits: (model) => Boolean(model?.main), begin, draw };

function begin(panel) {
  const canvas = make("canvas", { tabindex: "0", role: "img", class: "heat" });
  const toggle = make("input", { type: "checkbox", id: "grouped", checked: true, change: draw });
  const legend = make("span", { class: "legend" });
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const note = make("span", { class: "muted" });
  const label = make("span");
  parts = { canvas, toggle, legend, readout, note, label };
  const choice = make("label", {}, toggle, " ", label);
  panel.append(make("div", { class: "row" }, choice, note, legend), make("div", { class: "stage" }, canvas), readout);
  canvas.addEventListener("pointermove", (event) => look(cellAt(event)));
  canvas.addEventListener("click", (event) => {
    const found = cellAt(event);
    if (found) set({ selected: layout.order[found.row] });
  });
  canvas.addEventListener("keydown", step);
}

function draw() {
  const { vectors, texts, hasFailed } = state;
  parts.label.textContent = say("ordered");
  parts.readout.replaceChildren();
  if (!vectors || !texts.length) {
    layout = null;
    parts.readout.textContent = texts.length && !hasFailed ? say("working") : "";
    fitted(parts.canvas, 0, 0);
    return;
  }
  const count = Math.min(texts.length, HEAT_TEXTS);
  parts.note.textContent = count < texts.length ? say("heatFirst", { n: count }) : "";
  parts.canvas.setAttribute("aria-label", say("heatLabel", { n: count }));
  if (shownOf.vectors !== vectors) {
    const values = matrix(vectors, count);
    shownOf = { vectors, values, grouped: chained(values, count) };
  }
  const order = parts.toggle.checked ? shownOf.grouped : shownOf.grouped.map((_, place) => place);
  layout = laidOut(count, order);
  paint();
  const chosen = Math.max(0, order.indexOf(state.selected));
  const row = Array.from(order, (place) => shownOf.values[order[chosen] * count + place]);
  look({ row: chosen, column: count > 1 ? highest(row, 1, chosen)[0] : 0 });
}

function laidOut(count, order) {
  const box = parts.canvas.parentElement.getBoundingClientRect();
  const gutter = count <= LABELLED ? Math.min(300, Math.max(110, box.width * 0.34)) : 0;
  const room = Math.min(box.width - gutter, Math.max(box.height, 260));
  const size = count <= LABELLED ? Math.max(8, Math.floor(room / count)) : room / count;
  const { values } = shownOf;
  let low = 1;
  for (const value of values) low = Math.min(low, value);
  return { count, order, gutter, size, low, high: highOf(values, count) };
}

/** The highest cosine of two different texts; 1 if there is only one. */
function highOf(values, count) {
  let high = -1;
  for (let i = 0; i < count; i += 1) {
    for (let j = 0; j < i; j += 1) high = Math.max(high, values[i * count + j]);
  }
  return count > 1 ? high : 1;
}

function valueOf({ row, column }) {
  return shownOf.values[layout.order[row] * layout.count + layout.order[column]];
}

function paint() {
  const { count, order, gutter, size, low, high } = layout;
  const theme = colours();
  const context = fitted(parts.canvas, gutter + size * count, size * count);
  layout.context = context;
  const gap = size > 10 ? 1 : 0;
  for (let row = 0; row < count; row += 1) {
    for (let column = 0; column < count; column += 1) {
      const value = valueOf({ row, column });
      const share = row === column ? 1 : (value - low) / (high - low || 1);
      const [r, g, b] = shade(theme.ramp, row === column ? 1 : share * 0.92);
      context.fillStyle = row === column ? theme.line : `rgb(${r} ${g} ${b})`;
      context.fillRect(gutter + column * size, row * size, size - gap || size, size - gap || size);
      if (size >= 34 && row !== column) digits(context, value, [r, g, b], gutter + (column + 0.5) * size, (row + 0.5) * size);
    }
    if (gutter) title(context, order[row], row, theme);
  }
  parts.legend.replaceChildren(...legendOf(theme, low, high));
  layout.painted = copyOf(parts.canvas);
}

/** What a canvas shows, to be shown again: 300 texts have 90,000 cells, too many for each move of the pointer. */
function copyOf(canvas) {
  const copy = make("canvas", { width: canvas.width, height: canvas.height });
  if (canvas.width && canvas.height) copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}

function repaint({ context, painted }) {
  if (!painted.width || !painted.height) return;
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalCompositeOperation = "copy";
  context.drawImage(painted, 0, 0);
  context.restore();
}

function digits(context, value, [r, g, b], x, y) {
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = 0.3 * r + 0.6 * g + 0.1 * b > 110 ? "#000000" : "#ffffff";
  context.fillText(number(value, 2), x, y);
}

function title(context, place, row, theme) {
  const { gutter, size } = layout;
  context.font = `${place === state.selected ? 600 : 400} 12px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillStyle = place === state.selected ? theme.hot : theme.muted;
  let most = 48;
  let text = short(state.texts[place], most);
  while (most > 6 && context.measureText(text).width > gutter - 10) text = short(state.texts[place], (most -= 2));
  context.fillText(text, gutter - 8, (row + 0.5) * size);
}

function legendOf(theme, low, high) {
  const bar = make("canvas", { "aria-hidden": "true" });
  const context = fitted(bar, 120, 10);
  for (let x = 0; x < 120; x += 1) {
    const [r, g, b] = shade(theme.ramp, (0.92 * x) / 120);
    context.fillStyle = `rgb(${r} ${g} ${b})`;
    context.fillRect(x, 0, 1, 10);
  }
  return [say("cosine"), " ", number(low, 2), bar, number(high, 2)];
}

function cellAt({ offsetX, offsetY }) {
  if (!layout) return null;
  const [column, row] = [Math.floor((offsetX - layout.gutter) / layout.size), Math.floor(offsetY / layout.size)];
  const isInside = row >= 0 && row < layout.count && column < layout.count;
  return isInside ? { row, column: Math.max(0, column) } : null;
}

/** Say what a cell holds, and outline it. */
function look(found) {
  if (!found || !layout) return;
  cell = found;
  const { order, gutter, size } = layout;
  const [a, b] = [order[cell.row], order[cell.column]].map((place) => state.texts[place]);
  parts.readout.replaceChildren(
    make("b", {}, number(valueOf(cell), 3)), ...[a, b].map((text) => make("span", {}, short(text, SHOWN_CHARACTERS))),
  );
  repaint(layout);
  layout.context.strokeStyle = colours().hot;
  layout.context.lineWidth = 2;
  const side = Math.max(3, size - 1);
  layout.context.strokeRect(gutter + cell.column * size - 0.5, cell.row * size - 0.5, side, side);
}

function step(event) {
  const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (event.key === "Enter" && layout) set({ selected: layout.order[cell.row] });
  if (!move || !layout) return;
  event.preventDefault();
  const within = (place) => Math.min(layout.count - 1, Math.max(0, place));
  look({ row: within(cell.row + move[0]), column: within(cell.column + move[1]) });
}
