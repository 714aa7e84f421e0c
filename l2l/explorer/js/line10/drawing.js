// The plots of the explorer "line10": over one parameter the tasks' losses, in the plane of two their contours; inner
// paths, directions as arrows, and where descents go.

import {innerPath, near, WAYS} from "../maths/directions.js";
import {contour, taskLoss} from "../maths/quartics.js";
import {add, norm} from "../maths/vectors.js";
import {html} from "../page/dom.js";
import {evenly} from "../page/numbers.js";
import {Plot} from "../page/plot.js";
import {makeHandles} from "./handles.js";
import {LEVEL} from "./state.js";

const MOST_TASKS = 3, MOST_STEPS = 10;
const grey = (opacity, width = 1.4) => ({color: "currentColor", width, opacity});
const xOf = places => places.map(place => place[0]);

export class Drawing {
  constructor(state, styles, change) {
    Object.assign(this, {state, styles, change, top: html("div"), handles: [], madeFor: ""});
    this.line = new Plot(this.top, {title: "losses of the tasks over θ, and four directions",
      xlabel: "θ", ylabel: "loss", x: [-3, 3], y: [-0.62, 1.5], lowest: 0, height: 360});
    this.plane = new Plot(this.top, {title: "tasks in the plane, inner paths, and four directions",
      xlabel: "θ₁", ylabel: "θ₂", x: [-3, 3], y: [-2.1, 2.1], ratio: 0.7});
  }

  forgetWidth() {
    this.line.w = this.plane.w = 0;
  }

  show(found, descents) {
    const {state} = this, flat = this.flat = state.dims === 1, plot = this.plot = flat ? this.line : this.plane;
    (flat ? this.plane : this.line).root.style.display = "none";
    plot.root.style.display = "";
    if (!plot.w) plot.fit();
    this.remakeHandles(`${state.dims} ${state.tasks.length}`);
    for (let i = 0; i < MOST_TASKS; i++) this.drawTask(state.tasks[i], i);
    WAYS.forEach((way, n) => this.drawWay(way, -0.14 - 0.13 * n, found, descents?.[way]));
    this.handles.forEach(({place}) => place());
  }

  remakeHandles(shape) {
    if (this.madeFor === shape) return;
    this.handles.forEach(({root}) => root.remove());
    this.handles = makeHandles(this.plot, this.state, this.change);
    this.madeFor = shape;
  }

  // In one dimension a row below the axis is each way's own.
  place(theta, row) {
    return this.flat ? [theta[0], row] : theta;
  }

  drawTask(task, i) {
    const {plot, flat, state: {theta, alpha, steps, bend}} = this;
    const curves = [`loss ${i}`, `loss ${i}b`], path = `path ${i}`, name = `name ${i}`;
    const dots = Array.from({length: MOST_STEPS + 1}, (_, k) => `path ${i} ${k}`);
    if (!task) { plot.hide(...curves, path, name, ...dots); return; }
    if (flat) {
      const x = Array.from(evenly(-3, 3, 121));
      plot.line(curves[0], x, x.map(t => taskLoss(task, [t], bend)), grey(0.75));
    } else [LEVEL, 4 * LEVEL].forEach((level, n) => {
      const around = contour(task, bend, level);
      plot.line(curves[n], xOf(around), around.map(p => p[1]), grey(0.75 - 0.3 * n));
    });
    const places = innerPath(task, theta, alpha, steps, bend);
    const up = places.map(p => flat ? taskLoss(task, p, bend) : p[1]);
    plot.line(path, xOf(places), up, grey(0.9));
    dots.forEach((key, k) => {
      if (k > 0 && k <= steps && Number.isFinite(up[k])) plot.dot(key, places[k][0], up[k], grey(1), 2.6);
      else plot.hide(key);
    });
    const [x, y] = this.place(task.c, 0);
    plot.item(name, "text", {class: "l2l-name", x: plot.px(x) + 10, y: plot.py(y) - 10}).textContent = `${i + 1}`;
  }

  drawWay(way, row, {directions, rest}, descent) {
    const {plot, state: {theta}, styles: {[way]: style}} = this;
    if (norm(directions[way]) < Infinity && norm(directions[way]) > 0 && !descent) {
      const to = add(theta, -this.arrowScale(way, directions), directions[way]);
      plot.arrow(way, this.place(theta, row), this.place(to, row), style);
    } else plot.hide(way, `${way} head`);
    if (rest[way]) {
      const [x, y] = this.place(rest[way], row);
      plot.dot(`${way} rest`, x, y, style, way === "frozen" ? 10 : 7).setAttribute("class", "l2l-ring");
    } else plot.hide(`${way} rest`);
    if (descent) {
      const trail = descent.filter(near).map(place => this.place(place, row)), [x, y] = trail.at(-1);
      plot.line(`${way} trail`, xOf(trail), trail.map(place => place[1]), style);
      plot.dot(`${way} place`, x, y, style, 5);
    } else plot.hide(`${way} trail`, `${way} place`);
  }

  arrowScale(way, directions) {  // one factor for all, unless they are to be of equal length
    const longest = Math.max(...WAYS.map(other => norm(directions[other])));
    return this.state.equal ? 0.9 / norm(directions[way]) : Math.min(1, 1.6 / longest);
  }
}
