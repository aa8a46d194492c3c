// Live updates: an event says that something is new, and the page asks for its parts.

import { enhance } from "./enhance.js";
import { isReadingOn } from "./more.js";

let isPaused = false;
let isAsking = false;
let isStale = false;

/** What the host sent of each part and row: a script has changed them since.
 * @type {WeakMap<Element, string>} */
const sources = new WeakMap();

/** The page that was received last, and the host's tag for its content. */
let received = { url: "", tag: "" };

/** Keeps what the host sent, before a script changes it. */
export function remember(/** @type {ParentNode} */ root) {
  for (const part of root.querySelectorAll("[data-live]")) {
    if (!part.hasAttribute("data-rows")) sources.set(part, part.innerHTML);
    else for (const row of part.children) sources.set(row, row.outerHTML);
  }
}

/** What finds an element again in another version of its part. */
function selector(/** @type {Element | null} */ element) {
  if (!element) return undefined;
  if (element.id) return `#${CSS.escape(element.id)}`;
  const href = element.getAttribute("href");
  return href ? `[href="${CSS.escape(href)}"]` : undefined;
}

/** Notes the focus, the marked row and what is unfolded; what is returned restores them. */
function place(/** @type {Element} */ old) {
  const active = old.contains(document.activeElement) ? selector(document.activeElement) : undefined;
  const isCurrent = old.matches(".current");
  const current = selector(old.querySelector(".current"));
  const open = [...old.querySelectorAll("details")].map((it) => it.open);
  return (/** @type {Element} */ fresh) => {
    const focused = active ? fresh.querySelector(active) : null;
    if (focused instanceof HTMLElement || focused instanceof SVGElement) focused.focus({ preventScroll: true });
    if (isCurrent) fresh.classList.add("current");
    if (current) fresh.querySelector(current)?.classList.add("current");
    const details = [...fresh.querySelectorAll("details")];
    if (details.length === open.length) details.forEach((it, at) => (it.open = open[at] ?? it.open));
  };
}

/** Replaces rows whose content has changed; the others stay, with focus and selection. */
function replaceRows(/** @type {Element} */ old, /** @type {Element} */ fresh) {
  const known = new Map([...old.children].filter((it) => it.id).map((it) => [it.id, it]));
  const wasEmpty = known.size === 0;
  /** @type {(() => void)[]} */
  const restore = [];
  const rows = [...fresh.children].map((row) => {
    const same = known.get(row.id);
    // A component may use an id twice.
    known.delete(row.id);
    const source = row.outerHTML;
    if (same && sources.get(same) === source) return same;
    sources.set(row, source);
    if (same) {
      const into = place(same);
      restore.push(() => into(row));
    } else if (!wasEmpty) {
      row.classList.add("new");
    }
    return row;
  });
  old.replaceChildren(...rows);
  for (const it of restore) it();
}

function replacePart(/** @type {Element} */ old, /** @type {Element} */ fresh) {
  const source = fresh.innerHTML;
  if (old.matches(".brushing") || sources.get(old) === source) return;
  const restore = place(old);
  old.replaceChildren(...fresh.childNodes);
  sources.set(old, source);
  restore(old);
}

/** Replaces the parts of this page by those of another version of it. */
function replace(/** @type {Document} */ page) {
  const parts = document.querySelectorAll("[data-live]");
  // A page that had nothing to show, or has nothing any more, has other parts.
  const isOther = [...parts].some((it) => !page.getElementById(it.id));
  if (isOther) {
    const [from, to] = [page.querySelector("main"), document.querySelector("main")];
    if (!from || !to) return;
    document.title = page.title;
    document.body.dataset.events = page.body.dataset.events ?? "";
    to.replaceChildren(...from.childNodes);
    remember(to);
  } else {
    for (const old of parts) {
      const fresh = page.getElementById(old.id);
      // A list stays as it is while its reader is further down.
      if (!fresh || (isReadingOn() && old.hasAttribute("data-paged"))) continue;
      if (old.hasAttribute("data-rows")) replaceRows(old, fresh);
      else replacePart(old, fresh);
    }
  }
  enhance(document);
  document.dispatchEvent(new Event("refreshed"));
}

async function refresh() {
  if (isPaused || document.hidden) {
    isStale = true;
    return;
  }
  if (isAsking) {
    isStale = true;
    return;
  }
  isAsking = true;
  isStale = false;
  const asked = location.href;
  try {
    /** @type {Record<string, string>} */
    const headers = received.url === asked && received.tag ? { "if-none-match": received.tag } : {};
    const response = await fetch(asked, { headers });
    if (response.status === 304) return;
    // A trace that has made room for newer ones stays on the page that shows it.
    if (!response.ok && !document.getElementById("nothing")) {
      if (response.status === 404) state("no longer in memory");
      return;
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (asked !== location.href || isPaused) return;
    received = { url: asked, tag: response.headers.get("etag") ?? "" };
    replace(page);
  } catch {
    isStale = true;
  } finally {
    isAsking = false;
    if (isStale && !isPaused && !document.hidden) setTimeout(refresh, 300);
  }
}

function state(/** @type {string} */ text) {
  const live = document.getElementById("live");
  if (!live) return;
  live.dataset.state = text;
  const label = live.querySelector(".live-text");
  if (label) label.textContent = text;
}

/** Follows what the page is about. The browser connects anew by itself, with the id of
 * the last event. */
export function startLive() {
  const source = new EventSource("/events");
  const isOpen = () => state(isPaused ? "paused" : "live");
  source.addEventListener("open", isOpen);
  source.addEventListener("error", () => state("offline"));
  for (const kind of ["traces", "logs", "component", "cleared"]) {
    source.addEventListener(kind, () => {
      if ((document.body.dataset.events ?? "").split(" ").includes(kind)) refresh();
    });
  }
  source.addEventListener("missed", refresh);
  document.addEventListener("held", () => state(isPaused ? "paused" : "held"));
  document.addEventListener("top", () => {
    isOpen();
    refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && isStale) refresh();
  });
  const every = document.querySelector("[data-every]");
  if (every instanceof HTMLElement) setInterval(refresh, Number(every.dataset.every));

  document.addEventListener("click", (event) => {
    const pause = event.target instanceof Element && event.target.closest("#pause");
    if (!pause) return;
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Resume" : "Pause";
    state(isPaused ? "paused" : "live");
    if (!isPaused) refresh();
  });
}
