// The experiment "learn": ten tasks of one family, the reader's curve for each, and what others make of its points.

import {COLUMNS, difference} from "../draw/state.js";
import {adaptationPath, uniformRates} from "../maths/methods.js";
import {bayes, solveTwo} from "../maths/predictors.js";
import {meanSquare} from "../maths/net.js";
import {Generator} from "../maths/random.js";
import {sweep} from "../maths/sweep.js";
import {evenly} from "../page/numbers.js";

export const TASKS = 10;
const SHOTS = 5, GRID = 121;

// A task of a family: y = m x + A sin(ωx + b), five points of it with noise, and the function over the grid.
export function sampleTask(generator, {amplitude, phase, slope, frequency}, [low, high], noise) {
  const between = ([from, to]) => from + (to - from) * generator.double();
  const A = between(amplitude), b = between(phase), m = between(slope);
  const curve = x => m * x + A * Math.sin(frequency * x + b);
  const x = Array.from({length: SHOTS}, () => between([low, high])).sort((s, t) => s - t);
  const grid = evenly(low, high, GRID);
  return {A, b, m, x, y: x.map(value => curve(value) + noise * generator.normal()), grid, truth: grid.map(curve)};
}

export class Experiment {
  // `networks`: method → {sizes, values}, the starts of the methods that adapt to the points.
  constructor({range, noise, families, alpha, steps, seed}, networks) {
    Object.assign(this, {range, noise, families, alpha, steps, networks, past: {}});
    this.begin(Object.keys(families)[0], seed);
  }

  begin(family, seed) {
    const {families, range, noise} = this, place = Object.keys(families).indexOf(family);
    const generator = new Generator(seed + 1000 * place);  // each family has its own tasks
    const tasks = Array.from({length: TASKS}, () => sampleTask(generator, families[family], range, noise));
    Object.assign(this, {family, seed, tasks, at: 0, phase: "draw", curves: [], errors: {ours: []}, answers: {}});
  }

  get task() { return this.tasks[this.at]; }

  // What each learner makes of a task's points, over its grid. They all know the first family, and no other.
  predictions({x, y, grid}) {
    const {networks, families, noise, alpha, steps} = this, first = Object.values(families)[0];
    const found = {};
    for (const [method, theta] of Object.entries(networks)) {
      const path = adaptationPath(theta, {x, y}, uniformRates(theta.sizes, alpha), steps);
      found[method] = sweep(path[steps], grid);
    }
    const apart = [x[0], x[Math.floor(SHOTS / 2)]], pair = {x: apart, y: [y[0], y[Math.floor(SHOTS / 2)]]};
    return {...found, solver: grid.map(solveTwo(pair)), bayes: grid.map(bayes({x, y}, first, noise))};
  }

  // The reader's curve is done: everybody's error on this task.
  judge(curve) {
    const {task, errors, range} = this, predictions = this.predictions(task);
    this.curves.push(Float64Array.from(curve));
    this.phase = "shown";
    errors.ours.push(difference(curve, task.grid, task.truth, range));
    for (const [name, values] of Object.entries(predictions)) {
      const error = meanSquare(values, task.truth);
      (errors[name] ??= []).push(Number.isFinite(error) ? error : Infinity);  // its steps diverged
    }
    return predictions;
  }

  next() {
    this.phase = this.at + 1 < TASKS ? "draw" : "asked";
    if (this.phase === "draw") this.at += 1;
  }

  // How much of each curve's mean square was missed, so that tasks of small and large amplitude count alike.
  get missed() {
    return this.errors.ours.map((error, i) => error / meanSquare(this.tasks[i].truth, new Float64Array(GRID)));
  }

  // The medians over the first three tasks, and the last three.
  get ends() {
    return {first: median(this.missed.slice(0, 3)), last: median(this.missed.slice(-3))};
  }

  finish(answers) {
    Object.assign(this, {answers, phase: "end"});
    this.past[this.family] = this.ends;
  }
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
}

// A smooth curve through values at evenly spaced places (Catmull–Rom), in the columns that a pencil draws.
export function smooth(values) {
  const last = values.length - 1, at = k => values[Math.min(Math.max(k, 0), last)];
  return Float64Array.from({length: COLUMNS}, (_, column) => {
    const place = column / (COLUMNS - 1) * last, k = Math.min(Math.floor(place), last - 1), t = place - k;
    const [a, b, c, d] = [k === 0 ? 2 * at(0) - at(1) : at(k - 1), at(k), at(k + 1),
      k + 2 > last ? 2 * at(last) - at(last - 1) : at(k + 2)];
    return b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  });
}

// What ten curves showed of their family, asked at the end.
export const QUESTIONS = {
  kind: {ask: "The curves were", options: ["parabolas", "waves", "waves on a slope", "of no common kind"],
    truth: ({slope}) => slope[1] > slope[0] ? "waves on a slope" : "waves"},
  amplitude: {ask: "The largest swing, from the middle to a peak, is about", min: 0.5, max: 10, step: 0.5, start: 2.5,
    truth: ({amplitude}) => amplitude[1], near: 1},
  period: {ask: "The distance from one peak to the next is about", min: 1, max: 12, step: 0.25, start: 1.5,
    truth: ({frequency}) => 2 * Math.PI / frequency, near: 0.8},
  start: {ask: "At x = 0 the curves were", options: ["never below 0", "never above 0", "on either side of 0"],
    truth: () => "never below 0"},
};

export function score(answers, family) {
  return Object.entries(QUESTIONS).map(([name, {ask, truth, near}]) => {
    const right = truth(family), given = answers[name];
    return {ask, given, right, good: near ? Math.abs(given - right) <= near : given === right};
  });
}

// In words that the numbers bear out.
export function verdict({errors, ends: {first, last}, past, family, families}, labels) {
  const times = v => v < 10 ? v.toPrecision(2) : v.toFixed(0);
  const change = `In the first three tasks your error was ${times(first)} times that of the line y = 0, in the last `
    + `three ${times(last)} times (medians).`;
  const learnt = first < 0.1 && last < 0.1 ? "You knew this family, or saw through it at once."
    : last < first / 2 ? "You learnt from the tasks, not only from the points: you have learnt to learn."
      : "From task to task you did not get much better.";
  const ours = median(errors.ours), others = Object.keys(labels).map(name => [name, median(errors[name])]);
  const better = others.filter(([, error]) => error < ours), worse = others.filter(([, error]) => error >= ours);
  const named = ([name]) => ["solver", "bayes"].includes(name) ? `the ${labels[name]}` : labels[name];
  const list = found => new Intl.ListFormat("en-GB").format(found.map(named));
  const place = better.length === 0 ? `Your median query error is the smallest of all.`
    : worse.length === 0 ? `Everybody else's median query error is smaller than yours.`
      : `Your median query error is larger than that of ${list(better)}, `
        + `and no larger than that of ${list(worse)}.`;
  const before = past[Object.keys(families)[0]], moved = before && family !== Object.keys(families)[0];
  const transfer = moved ? ` At the end of the first family your error was ${times(before.last)} times that of the `
    + `line; in the first three tasks of this one it was ${times(first)} times.` : "";
  return [`${change} ${learnt}`, `${place} Ten tasks are few: with others the order may differ.${transfer}`];
}
