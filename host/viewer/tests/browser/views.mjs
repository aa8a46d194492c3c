// The views in a real browser: `node views.mjs URL FULL`, over two examples `demo`: one in
// its mode `live`, and one that holds 10,000 traces. Needs playwright-core and axe-core
// beside it or in a folder above, and Chromium (CHROMIUM names it). SCREENSHOTS names the
// folder of the documentation's pictures, ALL_SCREENSHOTS one for a picture of each test
// of a view.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.env.NODE_MODULES ?? process.cwd(), "x"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [base = "http://127.0.0.1:29000", full = "http://127.0.0.1:29001"] = process.argv.slice(2);
const { SCREENSHOTS: pictures, ALL_SCREENSHOTS: screenshots } = process.env;
const success = "5b8efff798038103d269b633813fc60c";
const failure = "7c3e11a798038103d269b633813fc60d";
const thousand = "8d4f22b898038103d269b633813fc60e";
const growing = "af6b44da98038103d269b633813fc610";
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
  page.on("request", (it) => it.url().startsWith(base) || it.url().startsWith(full) || problems.push(`asks ${it.url()}`));
  const visit = (path, of = base) => page.goto(of + path, { waitUntil: "load" });
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

// The metrics page has samples while it is open: it stays so for the pictures.
const metrics = await (await browser.newContext()).newPage();
await metrics.goto(`${base}/ui/metrics`);

/** A picture for the documentation, where they are renewed. */
async function picture(page, visit, name, path, { colorScheme = "light", width = 1280 } = {}) {
  if (!pictures) return;
  await page.setViewportSize({ width, height: 860 });
  await page.emulateMedia({ colorScheme });
  await visit(path);
  await page.waitForFunction(() => document.querySelector(".live-text").textContent === "live");
  const taken = await page.screenshot({ path: join(pictures, `${name}.png`) });
  assert.ok(taken.length < 150_000, `${name}: ${taken.length} bytes`);
}

// First, while the plot of the newest traces reaches back to before the start.
await test("a swap is marked in the plots, with its version", {}, async (page, visit) => {
  await visit("/");
  await page.waitForSelector("svg.scatter .mark text >> text=1.4.2");
  await visit("/ui/metrics");
  await page.waitForSelector(".spark .mark text >> text=1.4.3");
  await picture(page, visit, "traces", views.traces);
  await picture(page, visit, "traces-dark", views.traces, { colorScheme: "dark" });
  await picture(page, visit, "traces-narrow", views.traces, { width: 400 });
});

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

await test("an open trace follows the spans and log records that come late", {}, async (page, visit) => {
  await visit(`/ui/trace/${growing}`);
  await page.getByRole("link", { name: "subscribe", exact: true }).click();
  await page.waitForSelector(".details >> text=subscribe");
  const resource = page.locator("details.resource");
  await resource.locator("summary").click();
  const count = () => page.locator("#waterfall .line").count();
  const before = await count();
  await page.waitForFunction((least) => document.querySelectorAll("#waterfall .line").length > least + 1, before);
  // What its reader has opened and marked stays so.
  assert.equal(await page.locator(".details h2").textContent(), "subscribe");
  assert.equal(await resource.getAttribute("open"), "");
  assert.equal(await page.locator(".line.current").count(), 1);
  const spans = Number(await page.locator("#trace-head dd").nth(1).textContent());
  assert.ok(spans > before, `${spans} spans`);
  for (const [view, rows] of [["flame", "#flame a"], ["logs", "#trace-logs .log"]]) {
    await visit(`/ui/trace/${growing}?view=${view}`);
    const shown = await page.locator(rows).count();
    await page.waitForFunction(([rows, least]) => document.querySelectorAll(rows).length > least, [rows, shown]);
  }
  // A trace that does not grow is not rendered again.
  await visit(`/ui/trace/${success}`);
  const answers = [];
  page.on("response", (it) => it.url().includes(success) && answers.push(it.status()));
  while (answers.length < 3) await page.waitForTimeout(200);
  assert.deepEqual(answers.slice(0, 3), [200, 304, 304]);
});

await test("a trace that is still to come appears on the page that waits for it", {}, async (page, visit) => {
  const id = "00000000000000000000000000000abc";
  const real = await page.request.get(`${base}/ui/trace/${success}`);
  await visit(`/ui/trace/${id}`);
  await page.waitForSelector("#nothing");
  await page.route(`**/ui/trace/${id}`, (route) => route.fulfill({ response: real }));
  await page.waitForSelector("#waterfall .line");
}, [/404/]);

await test("a bucket of the latency histogram leads to its traces", {}, async (page, visit) => {
  await visit("/ui/metrics");
  await page.getByRole("link", { name: "≤ 25.0 ms" }).click();
  await page.waitForURL(/min=10ms&max=25ms/);
  const durations = await page.locator("#rows .duration").allTextContents();
  assert.ok(durations.length > 0);
  for (const it of durations) assert.match(it, /^(1\d\.\d|2[0-5]\.\d) ms$/);
});

await test("ten thousand traces scroll to the last one without a long task", {}, async (page, visit) => {
  let longest = Infinity;
  // The time that the page's thread computes: one that waits for a processor, because the
  // machine is busy with other things, makes no task of the page's longer.
  for (let pass = 0; pass < 3 && longest > 50; pass += 1) {
    await visit("/", full);
    assert.equal((await page.locator("#total").textContent()).replace(/\D/g, ""), "10000");
    await browser.startTracing(page, { categories: ["toplevel"] });
    const seen = await page.evaluate(async () => {
      const seen = new Set();
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      const began = performance.now();
      let [still, most] = [0, 0];
      while (still < 200 && performance.now() - began < 120_000) {
        const before = scrollY;
        scrollBy(0, 600);
        await frame();
        const rows = document.querySelectorAll("tr[data-row]");
        most = Math.max(most, rows.length);
        for (const row of rows) seen.add(row.id);
        still = scrollY === before ? still + 1 : 0;
      }
      return { rows: seen.size, most };
    });
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
    assert.equal(seen.rows, 10_000);
    assert.ok(seen.most < 1000, `${seen.most} rows in the document at one time`);
    const thread = (it) => `${it.pid} ${it.tid}`;
    const names = traceEvents.filter((it) => it.name === "thread_name" && it.args.name === "CrRendererMain");
    const threads = new Set(names.map(thread));
    const tasks = traceEvents.filter((it) => it.name.endsWith("RunTask") && it.tdur && threads.has(thread(it)));
    assert.ok(tasks.length > 100, `${tasks.length} tasks`);
    longest = Math.min(longest, Math.max(...tasks.map((it) => it.tdur)) / 1000);
  }
  assert.ok(longest <= 50, `a task of ${longest} ms`);
  assert.equal(await page.locator(".live-text").textContent(), "held");
  await page.evaluate(() => scrollTo(0, 0));
  await page.waitForFunction(() => document.querySelector(".live-text").textContent === "live");
  assert.equal(await page.locator("#rows tr").count(), 100);
  assert.equal(await page.locator("tbody.more").count(), 0);
});

await test("pictures of the other views", {}, async (page, visit) => {
  await metrics.waitForFunction(() => document.querySelectorAll(".spark .mark text").length > 0);
  for (const name of ["exception", "flame", "compare", "metrics", "logs", "component"]) {
    await picture(page, visit, name, views[name]);
  }
  await picture(page, visit, "trace", views.span);
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
