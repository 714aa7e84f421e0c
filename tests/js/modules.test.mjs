import assert from "node:assert/strict";
import test from "node:test";
import {load, read} from "./fixture.mjs";

const {modules} = read("modules");

for (const path of modules) test(`${path} finds all that it imports`, () => load(path));

test("each explorer has its builder", async () => {
  for (const kind of ["adapt", "line10", "metatrain"]) {
    const builder = `build${kind[0].toUpperCase()}${kind.slice(1)}`;
    assert.equal(typeof (await load(`${kind}/main.js`))[builder], "function", builder);
  }
});
