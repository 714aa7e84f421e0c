import test from "node:test";
import {assertClose, assertCloseVector, read} from "./fixture.mjs";
import {adaptationPath, batchGradient} from "../../l2l/explorer/js/maths/methods.js";
import {mlp} from "../../l2l/explorer/js/maths/net.js";

const {paths, gradients} = read("methods");

for (const {name, theta, alpha, tasks} of paths) {
  test(`${name}: predictions after every step of adaptation`, () => tasks.forEach(task => {
    const {support, x, predictions, losses} = task;
    const path = adaptationPath(theta, support, alpha, predictions.length - 1);
    assertClose(path.map(phi => mlp(phi, x)), predictions, {absolute: 1e-4}, "predictions");
    assertClose(path.slice(0, -1).map(phi => phi.loss), losses, {absolute: 1e-6, relative: 1e-4}, "support loss");
  }));
}

for (const {name, method, theta, batch, alpha, steps, grad, loss} of gradients) {
  test(`${name}, ${method}, ${steps} inner steps: meta-gradient and loss`, () => {
    const found = batchGradient(method, theta, batch, alpha, steps);
    assertCloseVector(found.grad, grad, 1e-8, "meta-gradient");
    assertClose([found.loss], [loss], {relative: 1e-10}, "loss");
  });
}
