import test from "node:test";
import {assertClose, kernel, read} from "./fixture.mjs";
import {begin, measure, update} from "../../l2l/explorer/js/maths/training.js";

const {settings, expected} = read("training");

// The library trains in single precision, whose rounding training amplifies: initial parameters moved by a relative
// 1e-7 change the numbers by up to one per cent after 300 iterations.
const TOLERANCE = {100: 5e-3, 300: 3e-2};

for (const method of new Set(expected.map(one => one.method))) for (const engine of [null, kernel])
  test(`${method}, ${engine ? "by the kernel" : "in plain JavaScript"}: meta-training goes as in the library`, () => {
    const training = begin({...settings, method}, engine);
    for (const {moment, norm, curve} of expected.filter(one => one.method === method)) {
      while (training.iteration < moment) update(training);
      measure(training);
      const near = {relative: TOLERANCE[moment]};
      assertClose([training.history.norm.at(-1)], [norm], near, `initial gradient norm after ${moment}`);
      assertClose(training.curve, curve, near, `query error after ${moment}`);
    }
  });
