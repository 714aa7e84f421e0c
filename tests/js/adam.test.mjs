import test from "node:test";
import {assertClose, read} from "./fixture.mjs";
import {adam, adamInit} from "../../l2l/explorer/js/maths/adam.js";

const {start, grads, rate, after} = read("adam");

test("every update is torch.optim.Adam's", () => {
  const theta = {values: Float64Array.from(start)}, state = adamInit(theta);
  grads.forEach((grad, t) => {
    adam(theta, grad, state, rate);
    assertClose(theta.values, after[t], {absolute: 1e-13, relative: 1e-12}, `update ${t + 1}`);
  });
});
