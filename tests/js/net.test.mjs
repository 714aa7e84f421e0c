import assert from "node:assert/strict";
import test from "node:test";
import {assertClose, assertCloseVector, read} from "./fixture.mjs";
import {gradient, mlp, mse, parameterCount} from "../../l2l/explorer/js/maths/net.js";
import {sweep} from "../../l2l/explorer/js/maths/sweep.js";

const {networks, task, grid} = read("net");

for (const {name, theta, predictions, loss, grad, along, hvp, onGrid} of networks) {
  test(`${name}: predictions, loss, gradient and Hessian-vector product`, () => {
    assert.equal(parameterCount(theta.sizes), theta.values.length);
    assertClose(mlp(theta, task.x), predictions, {absolute: 1e-12, relative: 1e-12}, "predictions");
    assertClose([mse(theta, task)], [loss], {relative: 1e-12}, "mse");
    const alone = gradient(theta, task), both = gradient(theta, task, along);
    for (const found of [alone, both]) {
      assertClose([found.loss], [loss], {relative: 1e-12}, "loss");
      assertCloseVector(found.grad, grad, 1e-12, "gradient");
    }
    assertCloseVector(both.Hv, hvp, 1e-11, "Hessian-vector product");
    assert.equal(alone.Hv, null);
  });

  test(`${name}: the sweep over increasing x is the network`, () => {
    assertClose(mlp(theta, grid), onGrid, {absolute: 1e-12, relative: 1e-12}, "mlp");
    assertClose(sweep(theta, grid), onGrid, {absolute: 1e-12, relative: 1e-12}, "sweep");
  });
}
