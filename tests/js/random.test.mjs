import assert from "node:assert/strict";
import test from "node:test";
import {assertClose, read} from "./fixture.mjs";
import {Generator} from "../../l2l/explorer/js/maths/random.js";
import {initParams} from "../../l2l/explorer/js/maths/net.js";
import {sampleTasks} from "../../l2l/explorer/js/maths/tasks.js";

const {streams, starts, samples} = read("random");

for (const {seed, bits, single, double, normal} of streams) {
  test(`seed ${seed}: bits, floats and normal numbers`, () => {
    const drawn = (count, draw) => {
      const generator = new Generator(seed);
      return Array.from({length: count}, () => draw(generator));
    };
    assert.deepEqual(drawn(bits.length, generator => generator.random32()), bits);
    assert.deepEqual(drawn(single.length, generator => generator.single()), single);
    assert.deepEqual(drawn(double.length, generator => generator.double()), double);
    assertClose(drawn(normal.length, generator => generator.normal()), normal, {absolute: 1e-13, relative: 1e-12});
  });
}

for (const {seed, sizes, values} of starts) {
  test(`seed ${seed}, widths ${sizes}: first parameters`, () => {
    assert.deepEqual(Array.from(initParams(sizes, new Generator(seed)).values), values);
  });
}

for (const {seed, size, family, tasks} of samples) {
  test(`seed ${seed}: tasks`, () => {
    const found = sampleTasks(new Generator(seed), size, family);
    assert.equal(found.length, tasks.length);
    found.forEach((task, i) => ["support", "query"].forEach(part => {
      assert.deepEqual(task[part].x, tasks[i][part].x);
      assertClose(task[part].y, tasks[i][part].y, {absolute: 1e-14}, `y of ${part} of task ${i}`);
    }));
  });
}
