// What the pages can do with a script. Without one each view is a plain link or form.

import { startBrush } from "./brush.js";
import { enhance } from "./enhance.js";
import { restoreRows } from "./keys.js";
import { remember, startLive } from "./live.js";
import { startMore } from "./more.js";
import { startUpload } from "./upload.js";

/** Replaces the content of the page by that of another address, and keeps the place. */
export async function show(/** @type {string} */ url, isNew = true) {
  const response = await fetch(url);
  if (!(response.headers.get("content-type") ?? "").startsWith("text/html")) {
    location.href = url;
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const [from, to] = [page.querySelector("main"), document.querySelector("main")];
  if (!from || !to) return;
  if (isNew) history.pushState(null, "", url);
  const focused = document.activeElement?.closest("[id]")?.id;
  document.title = page.title;
  document.body.dataset.events = page.body.dataset.events ?? "";
  to.replaceChildren(...from.childNodes);
  remember(to);
  enhance(to);
  startBrush();
  startUpload();
  restoreRows(focused);
}

document.addEventListener("click", async (event) => {
  if (!(event.target instanceof Element)) return;
  const copy = event.target.closest("button.copy");
  if (copy instanceof HTMLElement) {
    await navigator.clipboard.writeText(copy.dataset.copy ?? "");
    const label = copy.textContent;
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = label), 1200);
    return;
  }
  const link = event.target.closest("a[data-soft], a[data-back]");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (!link || !isPlain) return;
  if (link.hasAttribute("data-back")) {
    // The list as it was left: with its filters and its place.
    const came = sessionStorage.getItem("list");
    if (came) {
      event.preventDefault();
      location.href = came;
    }
    return;
  }
  event.preventDefault();
  await show(link.getAttribute("href") ?? "");
});

addEventListener("popstate", () => show(location.href, false));

// Fields that select a value need no button.
document.addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) event.target.form?.requestSubmit();
});
// Empty fields would fill the address with parameters that ask for nothing.
document.addEventListener("submit", (event) => {
  if (!(event.target instanceof HTMLFormElement) || event.target.method !== "get") return;
  for (const field of event.target.elements) {
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) {
      if (field.value === "") field.disabled = true;
    }
  }
});
// A page that is shown again from the browser's memory has its fields back.
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("input:disabled, select:disabled")) {
    field.removeAttribute("disabled");
  }
});

if (location.pathname === "/") sessionStorage.setItem("list", location.pathname + location.search);
remember(document);
enhance(document);
startLive();
startMore();
startBrush();
startUpload();
restoreRows();
