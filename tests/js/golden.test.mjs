// A port to another language, here the pages' own network, reads the golden vectors and is verified by them.

import assert from "node:assert/strict";
import test from "node:test";
import {assertCloseVector, read} from "./fixture.mjs";
import {batchGradient, uniformRates} from "../../l2l/explorer/js/maths/methods.js";

const golden = read("golden");
const flat = theta => Object.values(theta).flat(Infinity);
const points = (batch, part, i) => ({x: batch[`x_${part}`][i].flat(), y: batch[`y_${part}`][i].flat()});
const sizesOf = theta => [theta.W1.length, ...Object.keys(theta).filter(n => n[0] === "b").map(n => theta[n].length)];
const given = ({theta, batch, alpha, steps}) => [
  {sizes: sizesOf(theta), values: Float64Array.from(flat(theta))},
  batch.x_support.map((_, i) => ({support: points(batch, "support", i), query: points(batch, "query", i)})),
  uniformRates(sizesOf(theta), alpha), steps];

for (const name of ["relu", "line"]) golden.problems[name].cases.forEach((stored, i) => {
  test(`${name}, case ${i}: the meta-gradient`, () => {
    assertCloseVector(batchGradient("maml", ...given(stored)).grad, flat(stored.gradient), 1e-12, "meta-gradient");
  });
  test(`${name}, case ${i}: a first-order gradient is recognised by its sentence`, () => {
    const {grad} = batchGradient("fomaml", ...given(stored)), exact = flat(stored.gradient);
    const apart = other => Math.hypot(...grad.map((g, j) => g - other[j])) / Math.hypot(...other);
    assert.ok(apart(exact) > 1e-3);
    const named = Object.keys(stored.mistakes).filter(sentence => apart(stored.mistakes[sentence]) < 1e-6);
    assert.ok(named.some(sentence => sentence.startsWith("It is the first-order gradient")), named.join("; "));
  });
});
