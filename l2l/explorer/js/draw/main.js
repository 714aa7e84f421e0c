// The explorer "draw": the reader draws a curve first, by pointer, finger or keys; then the answers come over it.

import {button, note, row} from "../page/controls.js";
import {announcement, html, later, numbersTable, swatch} from "../page/dom.js";
import {handle} from "../page/handle.js";
import {clamp, evenly, readable, twoDecimals} from "../page/numbers.js";
import {Plot} from "../page/plot.js";
import {COLUMNS, columnOf, difference, stroke} from "./state.js";

const OURS = {color: "currentColor", width: 3};

export function buildDraw(root, panel, {x, points, answers, styles, reach}) {
  const range = [x[0], x.at(-1)], columns = evenly(...range, COLUMNS);
  const state = {curve: new Float64Array(COLUMNS), pen: (COLUMNS - 1) / 2, drawn: false, shown: false};
  const cell = html("div", {style: "touch-action: none; cursor: crosshair"});
  const plot = new Plot(cell, {title: "your curve", xlabel: "x", ylabel: "y", x: range, y: [-reach, reach],
    height: 300});
  const table = numbersTable("how far your curve is from the answers", ["answer", "mean squared difference"]);
  const spoken = announcement();
  const show = button("Show the answer", () => { state.shown = !state.shown; refresh(); });
  const again = button("Start again", () => { state.curve.fill(0); state.drawn = state.shown = false; refresh(); });
  panel.append(cell, row(show, again), table.root,
    note("Draw the curve with a pointer or a finger, or move the pen: left and right along the axis, up and down to ",
      "draw (with shift: in larger steps)."), spoken);

  const put = (column, y, from = [column, y]) => {
    const value = clamp(y, -reach, reach);
    stroke(state.curve, from, [column, value]);
    state.pen = column;
    state.drawn = true;
    refresh();
    return [column, value];
  };
  const pen = handle(plot, {
    label: "pen", range: [-reach, reach], value: () => state.curve[state.pen],
    at: () => [columns[state.pen], state.curve[state.pen]],
    describe: () => `x ${twoDecimals(columns[state.pen])}, y ${twoDecimals(state.curve[state.pen])}`,
    moved: (toX, toY, move) => {
      if (!move) put(columnOf(toX, range), toY, [state.pen, state.curve[state.pen]]);
      else if (move[1]) put(state.pen, state.curve[state.pen] + move[1]);
      else {
        const by = Math.abs(move[0]) > 0.5 ? 4 : 1;  // with shift
        state.pen = clamp(state.pen + Math.sign(move[0]) * by, 0, COLUMNS - 1);
        refresh();
      }
    },
  });
  drawFreely(plot, range, put);

  const say = later(500, found => { spoken.textContent = found; });
  function refresh() {
    plot.line("ours", columns, state.curve, {...OURS, dash: state.drawn ? "" : "2 6"});
    points.x.forEach((at, j) => plot.dot(`point ${j}`, at, points.y[j], {color: "currentColor"}, 5));
    for (const [name, y] of Object.entries(answers)) {
      if (state.shown) plot.line(name, x, y, styles[name]);
      else plot.hide(name);
    }
    plot.inside.append(plot.items.get("ours"));  // above the answers
    const off = Object.entries(answers).map(([name, y]) => [name, readable(difference(state.curve, x, y, range))]);
    table.root.hidden = !state.shown;
    table.fill(off.map(([name, text]) => [name, [swatch(styles[name]), styles[name].label], text]));
    show.textContent = state.shown ? "Hide the answer" : "Show the answer";
    show.disabled = !state.drawn;
    pen.place();
    root.l2l = {state: {...state, curve: [...state.curve]}};
    if (state.shown) say(off.map(([name, text]) => `${styles[name].label}: ${text}`).join(", "));
  }
  return {drawInWidth: () => { plot.fit(); refresh(); }};
}

// Anywhere in the plot, as with a pencil.
function drawFreely(plot, range, put) {
  let last = null;
  const place = event => {
    const [px, py] = plot.pointer(event);
    return [columnOf(plot.toX(px), range), plot.toY(py)];
  };
  plot.root.addEventListener("pointerdown", event => {
    if (event.target.closest(".l2l-handle")) return;
    last = put(...place(event));
    plot.root.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  plot.root.addEventListener("pointermove", event => { if (last) last = put(...place(event), last); });
  for (const end of ["pointerup", "pointercancel"]) plot.root.addEventListener(end, () => { last = null; });
}
