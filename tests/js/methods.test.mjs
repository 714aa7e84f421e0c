import test from "node:test";
import {assertClose, assertCloseVector, kernel, read} from "./fixture.mjs";
import {KernelLearner} from "../../l2l/explorer/js/maths/kernel.js";
import {adaptationPath, batchGradient, innerRates, uniformRates} from "../../l2l/explorer/js/maths/methods.js";
import {mlp} from "../../l2l/explorer/js/maths/net.js";

const {paths, gradients} = read("methods");

for (const {name, theta, alpha, tasks} of paths) {
  test(`${name}: predictions after every step of adaptation`, () => tasks.forEach(task => {
    const {support, x, predictions, losses} = task;
    const path = adaptationPath(theta, support, uniformRates(theta.sizes, alpha), predictions.length - 1);
    assertClose(path.map(phi => mlp(phi, x)), predictions, {absolute: 1e-4}, "predictions");
    assertClose(path.slice(0, -1).map(phi => phi.loss), losses, {absolute: 1e-6, relative: 1e-4}, "support loss");
  }));
}

for (const {name, method, theta, batch, alpha, steps, grad, loss, rates, byRates} of gradients) {
  const what = `${name}, ${method}, ${steps} inner steps`, a = rates ?? innerRates(method, theta.sizes, alpha);
  test(`${what}: meta-gradient and loss`, () => {
    const found = batchGradient(method, theta, batch, a, steps);
    assertCloseVector(found.grad, grad, 1e-8, "meta-gradient");
    if (byRates) assertCloseVector(found.byRates, byRates, 1e-8, "derivative by the rates");
    assertClose([found.loss], [loss], {relative: 1e-10}, "loss");
  });
  test(`${what}: the same by the kernel, in single precision`, () => {
    const {support: {x: {length: shots}}, query: {x: {length: query}}} = batch[0];
    const sizesOfBatch = {tasks: batch.length, shots, query, testSteps: 0, testQuery: 0};
    const learner = new KernelLearner(kernel, {method, sizes: theta.sizes, alpha, steps, ...sizesOfBatch}, theta);
    learner.put(learner.a, a);
    const found = learner.gradient(batch);
    assertCloseVector(learner.taken(learner.initial.grad), grad, 1e-4, "meta-gradient");
    if (byRates) assertCloseVector(learner.taken(learner.log.grad), byRates, 1e-4, "derivative by the rates");
    assertClose([found], [loss], {relative: 1e-5}, "loss");
  });
}
