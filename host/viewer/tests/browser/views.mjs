// The views in a real browser: `node views.mjs URL [DIRECTORY FOR SCREENSHOTS]`, over the
// example `demo` in its mode `live`. Needs playwright-core and axe-core beside it or in a
// folder above, and Chromium (CHROMIUM names it).

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.env.NODE_MODULES ?? process.cwd(), "x"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [base = "http://127.0.0.1:29000", screenshots] = process.argv.slice(2);
const success = "5b8efff798038103d269b633813fc60c";
const failure = "7c3e11a798038103d269b633813fc60d";
const thousand = "8d4f22b898038103d269b633813fc60e";
const hostile = "9e5a33c998038103d269b633813fc60f";
const span = (number) => `${number.toString(16).padStart(8, "0")}abcd0123`;

const views = {
  traces: "/",
  filtered: "/?route=orders&status=ok&min=5&sort=slowest",
  trace: `/ui/trace/${success}`,
  span: `/ui/trace/${success}?span=${span(6)}`,
  exception: `/ui/trace/${failure}?span=${span(4)}`,
  search: `/ui/trace/${success}?q=order`,
  flame: `/ui/trace/${success}?view=flame&span=${span(4)}`,
  "trace-logs": `/ui/trace/${failure}?view=logs`,
  large: `/ui/trace/${thousand}`,
  hostile: `/ui/trace/${hostile}?span=${span(2)}`,
  compare: `/ui/compare?a=${success}&b=${failure}`,
  logs: "/ui/logs",
  metrics: "/ui/metrics",
  component: "/ui/component",
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
let failed = 0;

/** Runs a test; `expected` are messages of the console that belong to it. */
async function test(name, options, body, expected = []) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (it) => ["error", "warning"].includes(it.type()) && problems.push(it.text()));
  page.on("pageerror", (it) => problems.push(it.message));
  page.on("dialog", (it) => problems.push(`a dialog: ${it.message()}`) && it.dismiss());
  page.on("request", (it) => it.url().startsWith(base) || problems.push(`asks ${it.url()}`));
  const visit = (path) => page.goto(base + path, { waitUntil: "load" });
  try {
    await body(page, visit, context);
    const isExpected = (problem) => expected.some((it) => it.test(problem));
    assert.deepEqual(problems.filter((it) => !isExpected(it)), []);
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.message}`);
  }
  await context.close();
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 400]) {
    await test(`each view, ${width} px, ${colorScheme}: accessible, no wider than the window`, {
      colorScheme,
      viewport: { width, height: 860 },
      bypassCSP: true,
    }, async (page, visit) => {
      const found = [];
      for (const [name, path] of Object.entries(views)) {
        await visit(path);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (over > 0) found.push(`${name} is ${over} px too wide`);
        if (screenshots) await page.screenshot({ path: join(screenshots, `${name}-${width}-${colorScheme}.png`) });
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        for (const it of violations) {
          found.push(`${name}: ${it.id}: ${it.nodes.slice(0, 2).map((node) => `${node.html} ${node.failureSummary}`).join(" | ")}`);
        }
      }
      assert.deepEqual(found, []);
    });
  }
}

await test("new traces appear at the top, and the list can be paused", {}, async (page, visit) => {
  await visit("/");
  const first = () => page.locator("#rows tr").first().getAttribute("id");
  const before = await first();
  await page.waitForFunction((id) => document.querySelector("#rows tr").id !== id, before);
  assert.equal(await page.locator(".live-text").textContent(), "live");
  await page.keyboard.press("p");
  assert.equal(await page.locator(".live-text").textContent(), "paused");
  const paused = await first();
  await page.waitForTimeout(2500);
  assert.equal(await first(), paused);
  await page.locator("#pause").click();
  await page.waitForFunction((id) => document.querySelector("#rows tr").id !== id, paused);
});

await test("the list is used with keys alone", {}, async (page, visit) => {
  await visit("/?status=error");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await page.keyboard.press("j");
  const row = await page.locator("tr.current").getAttribute("id");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/ui\/trace\//);
  assert.ok(page.url().includes(row.slice(2)));
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".details");
  assert.match(page.url(), /span=/);
  await page.keyboard.press("/");
  await page.keyboard.type("handle");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=handle/);
  assert.ok((await page.locator(".match").count()) > 0);
  await page.keyboard.press("Escape");
  await page.waitForURL((it) => it.pathname === "/");
  assert.match(page.url(), /status=error/);
});

await test("back and forward show the spans that were shown", {}, async (page, visit) => {
  await visit(`/ui/trace/${success}`);
  await page.getByRole("link", { name: "load order", exact: true }).click();
  await page.waitForSelector(".details >> text=load order");
  await page.getByRole("link", { name: "render json", exact: true }).click();
  await page.waitForSelector(".details >> text=render json");
  await page.goBack();
  await page.waitForSelector(".details >> text=load order");
  await page.goForward();
  await page.waitForSelector(".details >> text=render json");
});

await test("a part of the plot becomes filters", {}, async (page, visit) => {
  await visit("/");
  await page.keyboard.press("p");
  const box = await page.locator("svg.scatter").boundingBox();
  await page.mouse.move(box.x + box.width * 0.55, box.y + 4);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.7, box.y + 50, { steps: 4 });
  await page.mouse.move(box.x + box.width * 0.95, box.y + 110, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/from=/);
  assert.match(page.url(), /min=.*ms/);
  assert.ok((await page.locator("#rows tr").count()) > 0);
});

await test("a component is swapped by drag and drop, and a refusal says why", {}, async (page, visit) => {
  const sent = [];
  await page.route("**/component", async (route) => {
    const request = route.request();
    if (request.method() !== "PUT") return route.fallback();
    sent.push(request.postDataBuffer()?.length);
    if (sent.length === 1) {
      return route.fulfill({ json: { outcome: "swapped", current: { version: "2.0.0", generation: 4 } } });
    }
    return route.fulfill({
      status: 422,
      json: { title: "The component cannot be served", detail: "it imports <b>x</b>" },
    });
  });
  await visit("/ui/component");
  const drop = () =>
    page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(1000)], "new.wasm"));
      document.querySelector("[data-upload]").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    });
  await drop();
  await page.waitForSelector("#upload-result >> text=2.0.0 #4");
  await drop();
  await page.waitForSelector("#upload-result.bad");
  assert.equal(
    await page.locator("#upload-result").textContent(),
    "The component cannot be served: it imports <b>x</b>",
  );
  assert.deepEqual(sent, [1000, 1000]);
}, [/422/]);

await test("each view works without a script", { javaScriptEnabled: false }, async (page, visit) => {
  for (const path of Object.values(views)) {
    const response = await visit(path);
    assert.equal(response.status(), 200);
  }
  await visit("/");
  await page.fill("#q", "charge card");
  await page.click("form.search button");
  assert.match(page.url(), /q=charge/);
  await page.locator("#rows a").first().click();
  assert.match(page.url(), /\/ui\/trace\//);
});

await test("markup of a component is text, under the pages' policy", {}, async (page, visit) => {
  for (const path of ["/", views.hostile, `${views.hostile}&view=flame`, `/ui/trace/${hostile}?view=logs`, "/ui/logs"]) {
    await visit(path);
    assert.equal(await page.locator("main img, main script").count(), 0);
  }
});

await test("a long list scrolls without a long task", {}, async (page, visit) => {
  await visit("/?limit=500");
  await page.evaluate(() => {
    globalThis.tasks = [];
    new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map((it) => it.duration)))
      .observe({ entryTypes: ["longtask"] });
  });
  for (let at = 0; at < 30; at += 1) {
    await page.mouse.wheel(0, 400);
    await page.waitForTimeout(30);
  }
  const tasks = await page.evaluate(() => globalThis.tasks);
  // A machine that is busy with other things makes some a little longer than 50 ms.
  assert.deepEqual(tasks.filter((it) => it > 150), []);
});

// Last, for it forgets what the other tests look at.
await test("the first trace appears on the page that waits for it", {}, async (page, visit) => {
  await visit("/");
  await page.getByRole("button", { name: "Clear" }).click();
  await page.waitForSelector("#nothing");
  assert.match(await page.locator("main").textContent(), /curl -i http/);
  await page.waitForSelector("#rows tr");
  assert.equal(await page.locator("#nothing").count(), 0);
  await page.locator("#pause").click();
  assert.equal(await page.locator(".live-text").textContent(), "paused");
});

await browser.close();
process.exit(failed ? 1 : 0);
