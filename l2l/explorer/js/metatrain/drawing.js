// The plots of the explorer "metatrain": gradient norms, query errors, and one task's fits.

import {adaptationPath} from "../maths/methods.js";
import {sweep} from "../maths/sweep.js";
import {html} from "../page/dom.js";
import {clamp, evenly, roundUp} from "../page/numbers.js";
import {Plot} from "../page/plot.js";

export class Drawing {
  constructor({styles: {truth, ...styles}, family: {x_range: range}, sizes, task}) {
    Object.assign(this, {styles, truthStyle: truth, sizes});
    Object.assign(this, {task, support: {x: task.x, y: []}, grid: evenly(...range, 121)});
    const cells = [{}, {}, {class: "l2l-across"}].map(kind => html("div", kind));
    this.root = html("div", {class: "l2l-plots"}, ...cells);
    this.norms = new Plot(cells[0], {title: "norm of the initial adaptation gradient",
      xlabel: "outer iteration", ylabel: "initial gradient norm", x: [0, 200], y: [0, 10], height: 240});
    this.errors = new Plot(cells[1], {title: "query error after each adaptation step",
      xlabel: "adaptation steps", ylabel: "query error", x: [0, 10], y: [0.05, 20], height: 240, log: true});
    this.fits = new Plot(cells[2], {title: "one task, with points on half of the axis",
      xlabel: "x", ylabel: "y", x: range, y: [-6, 6], height: 240});
  }

  fit() {
    [this.norms, this.errors, this.fits].forEach(plot => plot.fit());
  }

  // One task, of the family that trains or as close to it as can be.
  showTask({lowA, highA, lowB, highB}) {
    const {fits, grid, support, task} = this, A = clamp(task.A, lowA, highA), b = clamp(task.b, lowB, highB);
    const curve = x => A * Math.sin(x + b);
    support.y = support.x.map(curve);
    fits.task(grid, grid.map(curve), support.x, this.truthStyle);
  }

  show(seen, {methods, fit}) {
    const {support, grid, sizes, norms, errors, fits} = this, shown = Object.values(seen);
    const finite = shown.flatMap(({history}) => history.norm.filter(Number.isFinite));
    makeRoom(norms, Math.max(200, ...shown.map(({iteration}) => iteration)), Math.max(...finite, 5));
    for (const [method, style] of Object.entries(this.styles)) {
      if (!methods.includes(method) || !seen[method]) {
        for (const plot of [norms, errors, fits]) plot.hide(method);
        continue;
      }
      const {values, rates, history, curve} = seen[method];
      const phi = adaptationPath({sizes, values}, support, rates, fit).at(-1);
      norms.line(method, history.iteration, history.norm, style);
      errors.line(method, curve.map((_, k) => k), curve, style);
      fits.line(method, grid, sweep(phi, grid), style);
    }
    errors.now(fit);
    support.x.forEach((x, j) => fits.dot(`point ${j}`, x, support.y[j], {color: "currentColor"}, 5));
  }
}

function makeRoom(plot, ...reach) {  // grows the axes, by steps, so that they don't creep
  const [across, up] = reach.map(roundUp);
  if (plot.x[1] === across && plot.y[1] === up) return;
  Object.assign(plot, {x: [0, across], y: [0, up]});
  plot.fit();
}
