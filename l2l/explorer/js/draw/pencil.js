// The reader's hand: a curve in a plot, drawn by pointer or finger anywhere in it, or with a pen that keys move.

import {handle} from "../page/handle.js";
import {clamp, evenly, twoDecimals} from "../page/numbers.js";
import {COLUMNS, columnOf, fillGaps, straightLines, stroke} from "./state.js";

export class Pencil {
  constructor(plot, {range, reach, changed}) {
    Object.assign(this, {plot, range, reach, changed, columns: evenly(...range, COLUMNS), locked: false});
    this.curve = new Float64Array(COLUMNS);
    this.touched = new Uint8Array(COLUMNS);
    this.clear();
    this.pen = handle(plot, {
      label: "pen", range: [-reach, reach], ends: true, value: () => this.curve[this.column],
      at: () => [this.columns[this.column], this.curve[this.column]],
      describe: () => `x ${twoDecimals(this.columns[this.column])}, y ${twoDecimals(this.curve[this.column])}`,
      moved: (x, y, move) => this.move(x, y, move),
    });
    this.pen.root.classList.add("l2l-pen");
    this.drawFreely();
  }

  clear() {
    this.curve.fill(0);
    this.touched.fill(0);
    Object.assign(this, {column: (COLUMNS - 1) / 2, drawn: false});
  }

  // Draws the curve at `column`, and on the way there from the place `from`, if it is given.
  put(column, y, from = [column, y]) {
    if (this.locked) return from;
    const value = clamp(y, -this.reach, this.reach);
    stroke(this.curve, from, [column, value]);
    this.touched.fill(1, Math.min(from[0], column), Math.max(from[0], column) + 1);
    fillGaps(this.curve, this.touched);
    Object.assign(this, {column, drawn: true});
    this.changed();
    return [column, value];
  }

  use(curve) {  // a whole one
    this.curve.set(curve);
    this.touched.fill(1);
    this.drawn = true;
  }

  // The frames of a demonstration: the pen goes along the axis, by straight lines from point to point.
  strokes(points) {
    let last;
    return [...straightLines(points, this.range)].map((y, column) => () => { last = this.put(column, y, last); });
  }

  move(x, y, move) {
    const {column, curve} = this;
    if (!move) this.put(columnOf(x, this.range), y, [column, curve[column]]);
    else if (move[1]) this.put(column, curve[column] + move[1]);
    else {
      const by = Math.abs(move[0]) > 1 ? COLUMNS : Math.abs(move[0]) > 0.5 ? 4 : 1;  // to an end; with shift
      this.column = clamp(column + Math.sign(move[0]) * by, 0, COLUMNS - 1);
      this.changed();
    }
  }

  drawFreely() {
    const {plot, range} = this;
    let last = null;
    const place = event => {
      const [px, py] = plot.pointer(event);
      return [columnOf(plot.toX(px), range), plot.toY(py)];
    };
    plot.root.addEventListener("pointerdown", event => {
      if (event.target.closest(".l2l-handle")) return;
      last = this.put(...place(event));
      plot.root.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    plot.root.addEventListener("pointermove", event => { if (last) last = this.put(...place(event), last); });
    for (const end of ["pointerup", "pointercancel"]) plot.root.addEventListener(end, () => { last = null; });
  }

  show() {
    this.plot.line("ours", this.columns, this.curve, {...OURS, dash: this.drawn ? "" : "2 6"});
    this.plot.inside.append(this.plot.items.get("ours"));  // above everything else
    this.pen.root.style.display = this.locked ? "none" : "";
    this.pen.place();
  }
}

export const OURS = {color: "currentColor", width: 3};
