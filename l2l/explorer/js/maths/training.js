// Meta-training of one method: each outer step on the next batch, from the first parameters of its seed, as l2l.train
// does it. Where there is a kernel it computes, in single precision as the library does; else plain JavaScript.

import {KernelLearner} from "./kernel.js";
import {Learner} from "./learner.js";
import {initParams} from "./net.js";
import {Generator} from "./random.js";
import {inOrder} from "./sweep.js";
import {sampleTasks} from "./tasks.js";

const testSteps = 10, testQuery = 100;

// `train`, `heldOut` and `metaTest` are the seeds of these streams.
export function begin(settings, kernel = null) {
  const {sizes, seed, train, heldOut, metaTest, family, tasks, shots, query} = settings;
  const batch = {tasks, shots, query}, start = initParams(sizes, new Generator(seed));
  const test = {tasks: settings.testTasks, shots, query: testQuery};
  return {
    ...settings, batch, generator: new Generator(train), iteration: 0, history: {iteration: [], norm: []}, curve: [],
    held: sampleTasks(new Generator(heldOut), {...batch, tasks: settings.heldOutTasks}, family),
    test: sampleTasks(new Generator(metaTest), test, family).map(inOrder),
    precision: kernel ? "single" : "double",
    learner: kernel ? new KernelLearner(kernel, {...settings, testSteps, testQuery}, start)
      : new Learner(settings, start),
  };
}

export function update(training) {
  const {learner, generator, batch, family} = training;
  learner.update(sampleTasks(generator, batch, family));
  training.iteration += 1;
}

// The mean norm of the first adaptation gradient, and the mean query error after 0, 1, … adaptation steps.
export function measure({learner, held, test, iteration, history, curve}) {
  history.iteration.push(iteration);
  history.norm.push(held.reduce((sum, task) => sum + learner.norm(task.support) / held.length, 0));
  curve.splice(0, Infinity, ...Array(testSteps + 1).fill(0));
  for (const task of test) learner.errors(task, testSteps).forEach((error, k) => { curve[k] += error / test.length; });
}
