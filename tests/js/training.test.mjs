import test from "node:test";
import {assertClose, read} from "./fixture.mjs";
import {begin, measure, update} from "../../l2l/explorer/js/maths/training.js";

const {settings, iterations, expected} = read("training");

// The library trains in single precision, which sets the tolerance.
test("meta-training goes as in the library", () => {
  const training = begin(settings);
  while (training.iteration < iterations) update(training);
  measure(training);
  for (const [method, {norm, curve}] of Object.entries(expected)) {
    const {history, curve: errors} = training.learners[method];
    assertClose(history.iteration, [iterations], {}, `${method}: iteration`);
    assertClose(history.norm, [norm], {relative: 5e-3}, `${method}: initial gradient norm`);
    assertClose(errors, curve, {relative: 5e-3}, `${method}: query error after adaptation`);
  }
});
