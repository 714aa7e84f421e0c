import assert from "node:assert/strict";
import test from "node:test";
import {assertClose, read} from "./fixture.mjs";
import {direction, innerPath, outerStep, restingPoint, WAYS} from "../../l2l/explorer/js/maths/directions.js";
import {contour, curvatureAt, radius, taskGradient, taskHvp, taskLoss} from "../../l2l/explorer/js/maths/quartics.js";

const {scenes} = read("line10");
const near = {absolute: 1e-11, relative: 1e-9};

scenes.forEach(({state, along, tasks, directions, rest}, n) => {
  const {theta, alpha, steps, bend} = state;
  test(`scene ${n}: losses, gradients, Hessians and inner paths`, () => state.tasks.forEach((task, i) => {
    const {loss, grad, hvp, path} = tasks[i];
    assertClose([taskLoss(task, theta, bend)], [loss], near, `loss of task ${i}`);
    assertClose(taskGradient(task, theta, bend), grad, near, `gradient of task ${i}`);
    assertClose(taskHvp(task, theta, along, bend), hvp, near, `Hessian-vector product of task ${i}`);
    assertClose(innerPath(task, theta, alpha, steps, bend), path, near, `inner path of task ${i}`);
  }));

  test(`scene ${n}: the four directions`, () => {
    assert.deepEqual([...WAYS].sort(), Object.keys(directions).sort());
    for (const way of WAYS) assertClose(direction(way, state.tasks, theta, state), directions[way], near, way);
  });

  if (bend === 0) test(`scene ${n}: where descents come to rest`, () => WAYS.forEach(way => {
    const found = restingPoint(way, state.tasks, state);
    if (rest[way] === null) assert.equal(found, null, way);
    else assertClose(found, rest[way], near, way);
  }));

  test(`scene ${n}: a descent ends where its direction vanishes, or runs away`, () => WAYS.forEach(way => {
    let place = theta, next;
    for (let step = 0; step < 4000 && (next = outerStep(way, state.tasks, place, state)); step++) place = next;
    assert.equal(next, null, `${way} moves on`);
    if (bend === 0 && rest[way]) assertClose(place, rest[way], {absolute: 1e-4}, way);
    else if (bend === 0) assert.ok(!(Math.hypot(...place) < 40), `${way} is at ${place}`);
  }));

  test(`scene ${n}: handles and contours are at their level`, () => state.tasks.forEach(task => {
    for (const level of [0.15, 0.6]) {
      for (const h of task.h) {
        const r = radius(h, bend, level);
        assertClose([taskLoss({c: [0], h: [h]}, [r], bend), curvatureAt(r, bend, level)], [level, h], near);
      }
      if (theta.length === 2) for (const place of contour(task, bend, level))
        assertClose([taskLoss(task, place, bend)], [level], near, "contour");
    }
  }));
});
