// What a reader sets in the explorer "step": the run and the moment of its training, the multiple m of the step, and
// one task; and what follows for 200 tasks and for the one.

import {gradient} from "../maths/net.js";
import {Generator} from "../maths/random.js";
import {bestLength, curvatures, errorsByLength, meanByLength, stepped} from "../maths/steplength.js";
import {inOrder, sweep} from "../maths/sweep.js";
import {sampleTasks} from "../maths/tasks.js";
import {clamp, evenly, numbers, round, within} from "../page/numbers.js";
import {decoded} from "../page/weights.js";

export const MULTIPLES = Array.from(evenly(0, 3, 31));
const FINEST = 0.01, AXIS = 121;

export class Scene {
  constructor({runs, sizes, weights, family, tasks, seed, task: {A, b, x}}) {
    const networks = texts => Object.fromEntries(Object.entries(texts).map(([i, text]) => [i, decoded(text, sizes)]));
    const batch = sampleTasks(new Generator(seed), {tasks, shots: 10, query: 25}, family);
    Object.assign(this, {runs, range: family.x_range, means: {}, tasks: batch.map(inOrder)});
    this.networks = Object.fromEntries(Object.entries(weights).map(([name, texts]) => [name, networks(texts)]));
    this.state = {run: Object.keys(runs)[0], iteration: Infinity, m: 1, A, b, x: [...x]};
    this.use(this.state.run);
  }

  get iterations() { return Object.keys(this.networks[this.state.run]).map(Number); }

  // Another run, at the same moment or the last one before it.
  use(run) {
    this.state.run = run;
    this.state.iteration = Math.max(...this.iterations.filter(i => i <= this.state.iteration), this.iterations[0]);
  }

  truth(x) { return this.state.A * Math.sin(x + this.state.b); }

  // q(m) over the 200 tasks is computed once for each network.
  compute() {
    const {state: {run, iteration, m, x}, networks, means, tasks, runs, range} = this, {alpha} = runs[run];
    const theta = networks[run][iteration], key = `${run} ${iteration}`, axis = evenly(...range, AXIS);
    const q = means[key] ??= meanByLength(theta, tasks, alpha, MULTIPLES), at = value => this.truth(value);
    const support = {x, y: x.map(at)}, {grad} = gradient(theta, support);
    const truth = axis.map(at), own = errorsByLength(theta, grad, {x: axis, y: truth}, alpha, MULTIPLES);
    const fit = multiple => sweep(stepped(theta, grad, alpha, multiple), axis);
    return {alpha, q, own, axis, truth, before: fit(0), after: fit(m), best: bestLength(MULTIPLES, q),
      ownBest: bestLength(MULTIPLES, own), ...curvatures(theta, support, grad, alpha)};
  }

  move(j, x) { this.state.x[j] = round(clamp(x, ...this.range), FINEST); }

  fromAddress({run, iteration, m, A, b, x}) {
    const {state, runs, range} = this, points = numbers(x).slice(0, 10).map(value => clamp(value, ...range));
    if (run in runs) state.run = run;
    Object.assign(state, {iteration: within(iteration, 0, 1e9, state.iteration), m: within(m, 0, 3, state.m),
      A: within(A, 0.1, 5, state.A), b: within(b, 0, 3.14, state.b), x: points.length ? points : state.x});
    this.use(state.run);
  }
}
