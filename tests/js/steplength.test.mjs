import assert from "node:assert/strict";
import test from "node:test";
import {assertClose, read} from "./fixture.mjs";
import {gradient} from "../../l2l/explorer/js/maths/net.js";
import {bestLength, curvatures, meanByLength} from "../../l2l/explorer/js/maths/steplength.js";
import {inOrder} from "../../l2l/explorer/js/maths/sweep.js";

const {theta, alpha, batch, multiples, q, sharpness, along} = read("steplength");

test("the mean query error at every length of the step", () => {
  assertClose(meanByLength(theta, batch.map(inOrder), alpha, multiples), q, {relative: 1e-9}, "q");
});

test("the curvatures of a task are those of its whole Hessian", () => {
  const {support} = batch[0], found = curvatures(theta, support, gradient(theta, support).grad, alpha, 200);
  assertClose([found.sharpness, found.along], [sharpness, along], {relative: 1e-6}, "curvatures");
});

test("the best length of a parabola is its minimum, and at an end that end", () => {
  assertClose([bestLength(multiples, multiples.map(m => (m - 1.234) ** 2))], [1.234], {absolute: 1e-9});
  assert.equal(bestLength(multiples, multiples.map(m => -Math.sqrt(m))), 3);
});
