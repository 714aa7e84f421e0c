// Meta-training: every method in turn takes one outer step on the same batch, from the same first parameters, as
// l2l.train does for one seed.

import {adam, adamInit} from "./adam.js";
import {adaptationPath, batchGradient} from "./methods.js";
import {gradient, initParams, meanSquare} from "./net.js";
import {Generator} from "./random.js";
import {sweep} from "./sweep.js";
import {sampleTasks} from "./tasks.js";

const TEST_STEPS = 10, TEST_QUERY = 100;

// `train`, `heldOut` and `metaTest` are the seeds of these streams.
export function begin(settings) {
  const {sizes, methods, seed, train, heldOut, metaTest, family, tasks, shots, query} = settings;
  const batch = {tasks, shots, query}, start = initParams(sizes, new Generator(seed));
  const learner = () => {
    const theta = {sizes, values: start.values.slice()};
    return {theta, adamState: adamInit(theta), history: {iteration: [], norm: []}, curve: []};
  };
  const test = {tasks: settings.testTasks, shots, query: TEST_QUERY};
  return {
    ...settings, batch, generator: new Generator(train), iteration: 0,
    held: sampleTasks(new Generator(heldOut), {...batch, tasks: settings.heldOutTasks}, family),
    test: sampleTasks(new Generator(metaTest), test, family).map(sorted),
    learners: Object.fromEntries(methods.map(method => [method, learner()])),
  };
}

function sorted({support, query}) {  // for `sweep`
  const order = query.x.map((_, i) => i).sort((i, j) => query.x[i] - query.x[j]);
  return {support, query: {x: order.map(i => query.x[i]), y: order.map(i => query.y[i])}};
}

export function update(training) {
  const {learners, generator, batch, family, alpha, steps, beta} = training;
  const drawn = sampleTasks(generator, batch, family);
  for (const [method, {theta, adamState}] of Object.entries(learners)) {
    adam(theta, batchGradient(method, theta, drawn, alpha, steps).grad, adamState, beta);
  }
  training.iteration += 1;
}

// The mean norm of the first adaptation gradient, and the mean query error after 0, 1, … adaptation steps.
export function measure({learners, held, test, alpha, iteration}) {
  for (const {theta, history, curve} of Object.values(learners)) {
    const norms = held.map(task => Math.hypot(...gradient(theta, task.support).grad));
    history.iteration.push(iteration);
    history.norm.push(norms.reduce((sum, norm) => sum + norm, 0) / held.length);
    curve.splice(0, Infinity, ...Array(TEST_STEPS + 1).fill(0));
    for (const {support, query} of test) adaptationPath(theta, support, alpha, TEST_STEPS).forEach((phi, k) => {
      curve[k] += meanSquare(sweep(phi, query.x), query.y) / test.length;
    });
  }
}
