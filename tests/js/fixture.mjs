// What torch computed, in the folder L2L_FIXTURES: tests/test_js.py writes it there.

import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {loadKernel} from "../../l2l/explorer/js/maths/kernel.js";

const folder = process.env.L2L_FIXTURES;
if (!folder) throw new Error("L2L_FIXTURES must name a folder of fixtures: pytest tests/test_js.py writes one");

export const read = name => JSON.parse(readFileSync(`${folder}/${name}.json`, "utf8"));

const wasm = new URL("../../l2l/explorer/kernel/kernel.wasm", import.meta.url);
export const kernel = loadKernel(readFileSync(wasm).toString("base64"));

// All numbers of two arrays, nested alike, differ by at most `absolute`, or by `relative` of the expected.
export function assertClose(found, expected, {absolute = 0, relative = 0}, what = "") {
  assert.equal(found.length, expected.length, `${what}: length`);
  found = Array.from(found);
  if (Array.isArray(expected[0])) {
    found.forEach((part, i) => assertClose(part, expected[i], {absolute, relative}, `${what}[${i}]`));
  } else found.forEach((value, i) => {
    const most = absolute + relative * Math.abs(expected[i]);
    assert.ok(Math.abs(value - expected[i]) <= most, `${what}[${i}]: found ${value}, torch has ${expected[i]}`);
  });
}

// Two vectors differ, in length, by at most `relative` of the expected one's.
export function assertCloseVector(found, expected, relative, what = "") {
  assert.equal(found.length, expected.length, `${what}: length`);
  const length = Math.hypot(...expected), apart = Math.hypot(...expected.map((value, i) => found[i] - value));
  assert.ok(apart <= relative * length, `${what}: apart by ${apart}, of ${length}`);
}
