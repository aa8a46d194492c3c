import assert from "node:assert/strict";
import { test } from "node:test";

import { greeting } from "../src/greeting.js";

test("a greeting has the name", () => {
  assert.equal(greeting("Ada"), "hello, Ada");
});
