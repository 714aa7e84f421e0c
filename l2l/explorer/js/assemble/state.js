// Runs a program of pieces, task by task, and says how far its g is from the exact meta-gradient, and why.

import {batchGradient, uniformRates} from "../maths/methods.js";
import {gradient} from "../maths/net.js";
import {PIECES} from "./pieces.js";

// The first line that reads what no line before it has set, in a sentence; null if there is none.
function unset(program) {
  const known = new Set();
  for (const [i, name] of program.entries()) {
    const {needs = [], sets = []} = PIECES[name], missing = needs.find(what => !known.has(what));
    if (missing) return `Line ${i + 1} uses ${missing}${missing.includes("[") ? " before an inner loop has computed it."
      : ", which no line before it has set."}`;
    sets.forEach(what => known.add(what));
  }
  return null;
}

export function run(program, {theta, batch, alpha, steps}) {
  const {sizes} = theta, at = values => ({sizes, values});
  let g = theta.values.map(() => 0);
  for (const task of batch) {
    const tools = {theta: theta.values, alpha, steps, tasks: batch.length,
      slope: (part, phi) => Array.from(gradient(at(phi), task[part]).grad),
      hvp: (phi, v) => Array.from(gradient(at(phi), task.support, v).Hv)};
    const memory = {g};
    for (const name of program) PIECES[name].run(memory, tools);
    ({g} = memory);
  }
  return g;
}

const distance = (g, other) => Math.hypot(...g.map((value, i) => value - other[i])) / Math.hypot(...other);

// What came out, in a sentence, and by how much it deviates.
export function judge(program, problem) {
  const error = unset(program);
  if (error) return {error, deviation: null, right: false, words: [error]};
  const {theta, batch, alpha, steps} = problem, rates = uniformRates(theta.sizes, alpha);
  const exact = batchGradient("maml", theta, batch, rates, steps).grad;
  const first = batchGradient("fomaml", theta, batch, rates, steps).grad;
  const g = run(program, problem), deviation = distance(g, exact), right = deviation < 1e-9;
  const extra = program.length > 5 ? " One of your lines has no effect." : "";
  if (right) return {g, deviation, right, words: [`That is line 10: the exact meta-gradient.${extra}`]};
  const words = program.map(name => PIECES[name].wrong).filter(Boolean);
  const missing = ["inner loop", "query gradient", "second-order term", "over tasks"]
    .filter(group => !program.some(name => PIECES[name].group === group));
  const parts = program.filter(name => name !== "start");
  const twice = parts.filter((name, i) => parts.findIndex(other => PIECES[other].group === PIECES[name].group) < i);
  if (missing.includes("over tasks")) words.push("Nothing is written into g.");
  if (distance(g, first) < 1e-9) words.push(missing.includes("second-order term")
    ? "This is the first-order gradient: the second-order term is missing."
    : "This is the first-order gradient: g was computed from v before the second-order term was applied to v.");
  else if (missing.includes("second-order term")) words.push("The second-order term is missing.");
  else if (twice.length) words.push("An earlier line does this part already: "
    + twice.map(name => PIECES[name].text).join("; "));
  return {g, deviation, right, words: words.length ? words : ["The lines are right, but their order is not."]};
}
