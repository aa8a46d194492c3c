// Live updates: an event says that something is new, and the page asks for its parts.

import { enhance } from "./main.js";

let isPaused = false;
let isAsking = false;
let isStale = false;

/** Replaces rows whose content has changed; the others stay, with focus and selection. */
function replaceRows(/** @type {Element} */ old, /** @type {Element} */ fresh) {
  const known = new Map([...old.children].filter((it) => it.id).map((it) => [it.id, it]));
  const wasEmpty = known.size === 0;
  const rows = [...fresh.children].map((row) => {
    const same = known.get(row.id);
    if (same && same.getAttribute("data-source") === row.outerHTML) return same;
    const source = row.outerHTML;
    if (same?.classList.contains("current")) row.classList.add("current");
    row.setAttribute("data-source", source);
    if (!same && !wasEmpty) row.classList.add("new");
    if (same?.contains(document.activeElement)) {
      queueMicrotask(() => row.querySelector("a")?.focus({ preventScroll: true }));
    }
    return row;
  });
  old.replaceChildren(...rows);
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
    const response = await fetch(asked);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (asked !== location.href || isPaused) return;
    const parts = document.querySelectorAll("[data-live]");
    // A page that had nothing to show, or has nothing any more, has other parts.
    const isOther = [...parts].some((it) => !page.getElementById(it.id));
    if (isOther) {
      const main = page.querySelector("main");
      if (main) document.querySelector("main")?.replaceChildren(...main.childNodes);
    } else {
      for (const old of parts) {
        const fresh = page.getElementById(old.id);
        if (!fresh) continue;
        if (old.hasAttribute("data-rows")) replaceRows(old, fresh);
        else if (!old.matches(".brushing") && old.innerHTML !== fresh.innerHTML) {
          old.replaceChildren(...fresh.childNodes);
        }
      }
    }
    enhance(document);
    document.dispatchEvent(new Event("refreshed"));
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
