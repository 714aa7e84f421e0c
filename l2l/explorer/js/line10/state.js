// What a reader sets in the explorer "line10": the tasks, the start θ, and the inner loop; and the places that descents
// along the four directions have come to.

import {direction, near, outerStep, restingPoint, WAYS} from "../maths/directions.js";
import {axesOf, curvatureAt, radius} from "../maths/quartics.js";
import {add, dot, norm} from "../maths/vectors.js";
import {clamp, numbers, readable, round, wholeWithin, within} from "../page/numbers.js";

export const LEVEL = 0.15;  // the loss at which a task's handles of curvature sit
export const [SMALLEST, LARGEST] = [0.08, 4];  // curvatures

const copy = value => JSON.parse(JSON.stringify(value));

export class Scene {
  constructor(presets) {
    this.presets = presets;
    this.left = {};  // by number of parameters: tasks and start as they were left
    this.descents = null;  // by way: the places of a descent so far
    this.rested = false;
    this.state = {};  // dims, theta, tasks, alpha, steps, bend, and whether arrows are of equal length
    this.use(presets[0]);
  }

  use({name, ...preset}) {
    Object.assign(this.state, copy(preset), {dims: preset.theta.length});
  }

  setDimensions(dims) {
    const {state, left} = this;
    left[state.dims] = copy({tasks: state.tasks, theta: state.theta});
    const {tasks, theta} = left[dims] ?? this.presets.find(preset => preset.theta.length === dims);
    Object.assign(state, {dims, ...copy({tasks, theta})});
  }

  setCount(n) {  // of tasks; more come from the preset that has three
    const {tasks, dims} = this.state;
    const more = copy(this.presets.find(preset => preset.tasks.length === 3).tasks).slice(tasks.length)
      .map(({c, h, a}) => ({c: c.slice(0, dims), h: h.slice(0, dims), a: dims === 1 ? 0 : a}));
    this.state.tasks = [...tasks, ...more].slice(0, n);
  }

  // Each descent takes one outer step. False when none of them moves any more.
  iteration() {
    let moving = false;
    for (const way of WAYS) {
      const next = outerStep(way, this.state.tasks, this.descents[way].at(-1), this.state);
      if (next) { this.descents[way].push(next); moving = true; }
    }
    return moving;
  }

  // Continues by at most `n` iterations; from the start if there are no descents or all have ended.
  descend(n) {
    if (!this.descents || this.rested) this.descents = Object.fromEntries(WAYS.map(way => [way, [this.state.theta]]));
    let moving = true;
    for (; n > 0 && moving; n--) moving = this.iteration();
    this.rested = !moving;
    return moving;
  }

  // The directions at θ, and for parabolas the points to which the descents converge, in closed form.
  compute() {
    const {state} = this, each = value => Object.fromEntries(WAYS.map(way => [way, value(way)]));
    return {
      directions: each(way => direction(way, state.tasks, state.theta, state)),
      rest: each(way => state.bend ? null : restingPoint(way, state.tasks, state)),
      places: this.descents && each(way => this.descents[way].at(-1)),
    };
  }

  toAddress() {
    const {dims, theta, tasks, alpha, steps, bend, equal} = this.state;
    const [c, h, a] = ["c", "h", "a"].map(name => tasks.flatMap(task => task[name]));
    return {d: dims, theta, c, h, a, alpha, steps, bend, equal: +equal};
  }

  fromAddress(given) {  // false where it doesn't say what the tasks are
    const {state} = this, dims = given.d === "1" ? 1 : 2;
    const [theta, c, h, a] = ["theta", "c", "h", "a"].map(name => numbers(given[name]));
    const count = Math.min(3, Math.floor(c.length / dims));
    if (theta.length !== dims || !count || h.length < dims * count || a.length < count) return false;
    const part = (values, i, low, high) => values.slice(dims * i, dims * (i + 1)).map(v => clamp(v, low, high));
    Object.assign(state, {
      dims,
      theta: theta.map(v => clamp(v, -2.9, 2.9)),
      tasks: Array.from({length: count}, (_, i) =>
        ({c: part(c, i, -2.5, 2.5), h: part(h, i, SMALLEST, LARGEST), a: a[i]})),
      alpha: within(given.alpha, 0.05, 1.2, state.alpha),
      steps: wholeWithin(given.steps, 1, 10, state.steps),
      bend: within(given.bend, 0, 0.5, state.bend),
      equal: given.equal === "1",
    });
    return true;
  }
}

// The second handle sits on the side where there is more room; the first, which also turns the task, stays where it is.
const side = (task, j) => j === 1 && dot(task.c, axesOf(task)[j]) > 0 ? -1 : 1;

// Where the handle of curvature h_j sits: where the loss, along that axis, is LEVEL.
export const curvaturePlace = (task, j, bend) =>
  add(task.c, side(task, j) * radius(task.h[j], bend, LEVEL), axesOf(task)[j]);

export function setCurvature(task, j, place, bend) {
  const away = add(place, -1, task.c), turns = place.length > 1 && j === 0;
  if (turns && norm(away) > 0.05) task.a = round(Math.atan2(away[1], away[0]), 0.01);
  const r = turns ? norm(away) : side(task, j) * dot(away, axesOf(task)[j]);
  task.h[j] = round(clamp(r > 0 ? curvatureAt(r, bend, LEVEL) : LARGEST, SMALLEST, LARGEST), 0.01);
}

export const vectorText = v => v.map(readable).join(", ").replaceAll("-", "−");

// What the table says of where a way's descent ends.
export function endText(way, {rest, places}, bend) {
  if (rest[way]) return vectorText(rest[way]);
  if (!bend) return "nowhere: diverges";
  if (!places) return "press Play to see";
  return near(places[way]) ? vectorText(places[way]) : "diverges";
}
