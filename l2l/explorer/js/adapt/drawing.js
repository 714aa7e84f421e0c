// The plots of the explorer "adapt": the task with its points and fits, and the errors after each step.

import {html} from "../page/dom.js";
import {handle} from "../page/handle.js";
import {twoDecimals} from "../page/numbers.js";
import {Plot} from "../page/plot.js";
import {gridOver, movePoint, STEPS, truth, valueOf} from "./state.js";

export class Drawing {
  constructor(state, {styles, family: {x_range: range}, compact}, methods, change) {
    Object.assign(this, {state, styles, methods, change, range, grid: gridOver(range), handles: []});
    this.top = html("div", {});
    this.plot = new Plot(this.top, {title: "the task, its support points and the adapted networks",
      xlabel: "x", ylabel: "y", x: range, y: [-6, 6], height: 300});
    this.bottom = html("div", {class: "l2l-plots"});
    this.errors = compact ? [] : ["support", "query"].map(part => this.errorPlot(part));
  }

  errorPlot(part) {
    const cell = html("div");
    this.bottom.append(cell);
    return new Plot(cell, {title: `${part} error after each step`, xlabel: "adaptation steps", ylabel: `${part} error`,
      x: [0, STEPS], y: [0.001, 100], height: 210, log: true});
  }

  fit() {
    [this.plot, ...this.errors].forEach(plot => plot.fit());
  }

  show(result) {
    const {state, plot, errors, grid, styles} = this;
    this.makeRoom();
    plot.task(grid, grid.map(x => truth(state, x)), state.x, styles.truth);
    for (const method of this.methods) {
      const found = result[method], style = styles[method];
      if (!found) { for (const p of [plot, ...errors]) p.hide(method); continue; }
      plot.line(method, grid, found.fit, style);
      errors.forEach((p, i) => p.line(method, found.query.map((_, k) => k), i ? found.query : found.support, style));
    }
    errors.forEach(p => p.now(state.steps));
    this.makeHandles();
    this.handles.forEach(({place}) => place());
  }

  makeRoom() {  // for a large amplitude
    const {plot} = this, reach = Math.max(6, Math.ceil(1.2 * this.state.A));
    if (plot.y[1] === reach && plot.w) return;
    plot.y = [-reach, reach];
    plot.fit();
  }

  makeHandles() {
    const {state, handles} = this;
    if (handles.length === state.x.length) return;
    handles.forEach(({root}) => root.remove());
    this.handles = state.x.map((_, j) => handle(this.plot, {
      label: `support point ${j + 1}`,
      range: this.range,
      at: () => [state.x[j], valueOf(state, j)],
      describe: () => `x ${twoDecimals(state.x[j])}, y ${twoDecimals(valueOf(state, j))}`,
      moved: (x, y, move) => this.change(() => movePoint(state, j, x, y, move, this.range)),
    }));
  }
}
