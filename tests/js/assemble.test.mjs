import assert from "node:assert/strict";
import test from "node:test";
import {assertCloseVector, read} from "./fixture.mjs";
import {PIECES} from "../../l2l/explorer/js/assemble/pieces.js";
import {judge, run} from "../../l2l/explorer/js/assemble/state.js";

const problem = read("assemble"), right = ["start", "inner", "query", "back", "mean"];

test("the right lines give the exact meta-gradient", () => {
  assertCloseVector(run(right, problem), problem.maml, 1e-12);
  assert.deepEqual(judge(right, problem).words, ["That is line 10: the exact meta-gradient."]);
});

for (const [name, {group, wrong}] of Object.entries(PIECES)) if (wrong)
  test(`in place of the right line: ${PIECES[name].text}`, () => {
    const program = right.map(other => other !== "start" && PIECES[other].group === group ? name : other);
    const found = judge(program, problem);
    assert.ok(found.deviation > 1e-4, `deviates by ${found.deviation}`);
    assert.deepEqual(found.words.slice(0, 1), [wrong]);
  });

test("without the second-order term, or where it comes too late, it is named first-order", () => {
  for (const program of [["start", "inner", "query", "mean"], ["start", "inner", "query", "mean", "back"]]) {
    assertCloseVector(run(program, problem), problem.fomaml, 1e-12);
    assert.match(judge(program, problem).words.at(-1), /^This is the first-order gradient/);
  }
});

test("a line that uses what is not there is named, and nothing runs", () => {
  const told = program => judge(program, problem).error;
  assert.equal(told(["inner"]), "Line 1 uses φ, which no line before it has set.");
  assert.equal(told(["start", "inner", "mean"]), "Line 3 uses v, which no line before it has set.");
  assert.equal(told(["start", "query", "inner", "back", "mean"]),
    "Line 2 uses φ[K] before an inner loop has computed it.");
  assert.equal(told(["start", "atStart", "back", "inner", "mean"]),
    "Line 3 uses φ[k] before an inner loop has computed it.");
});

test("no order of the right lines makes trouble that isn't named", () => {
  const orders = rest => rest.length ? rest.flatMap(one => orders(rest.filter(x => x !== one)).map(o => [one, ...o])) : [[]];
  for (const program of orders(right)) {
    const {right: good, words, deviation} = judge(program, problem);
    assert.equal(good, program.join() === right.join(), program.join());
    assert.ok(good || deviation === null || words[0].startsWith("This is the first-order gradient"), program.join());
  }
});
