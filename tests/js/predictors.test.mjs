import test from "node:test";
import {assertClose, read} from "./fixture.mjs";
import {bayes, solveTwo} from "../../l2l/explorer/js/maths/predictors.js";

const {family, axis, tasks, bayes: means, solver} = read("predictors");

test("the posterior mean, on a grid, is that of the quadrature", () => tasks.forEach((task, i) =>
  assertClose(axis.map(bayes(task, family, 0.1)), means[i], {absolute: 2e-4}, `task ${i}`)));

test("two points determine a sinusoid", () => tasks.forEach(({x, y}, i) =>
  assertClose(axis.map(solveTwo({x: x.slice(0, 2), y: y.slice(0, 2)})), solver[i], {absolute: 1e-8, relative: 1e-9},
    `task ${i}`)));
