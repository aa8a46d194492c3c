// The pages of a long list, loaded as its reader scrolls down. Rows that are far from the
// window leave the document, so that a list of ten thousand scrolls like a short one.

import { enhance } from "./enhance.js";

/** How far around the window rows are kept, and the next page is asked for. */
const AROUND = "1500px 0px";
/** Above this place the list is live again. */
const TOP = 40;

/** The rows of bodies that are far away.
 * @type {Map<Element, Element[]>} */
const away = new Map();
let isAsking = false;
/** The links to other pages, as the first page has them.
 * @type {Node[] | undefined} */
let links;

const pages = () => document.getElementById("pages");
const more = () => document.querySelectorAll("tbody.more");

/** Whether the reader has gone beyond the first page: it stays as it is meanwhile. */
export function isReadingOn() {
  return links !== undefined;
}

function detach(/** @type {Element} */ body) {
  if (away.has(body) || body.children.length === 0) return;
  const height = body.getBoundingClientRect().height;
  if (height === 0) return;
  const rows = [...body.children];
  const spacer = document.createElement("tr");
  spacer.className = "spacer";
  const cell = document.createElement("td");
  cell.colSpan = rows[0]?.children.length ?? 1;
  cell.style.height = `${height}px`;
  spacer.append(cell);
  away.set(body, rows);
  body.replaceChildren(spacer);
}

function attach(/** @type {Element} */ body) {
  const rows = away.get(body);
  if (!rows) return;
  away.delete(body);
  body.replaceChildren(...rows);
}

const rows = new IntersectionObserver((entries) => {
  if (!isReadingOn()) return;
  for (const it of entries) {
    if (it.isIntersecting) attach(it.target);
    else detach(it.target);
  }
}, { rootMargin: AROUND });

const end = new IntersectionObserver((entries) => {
  if (entries.some((it) => it.isIntersecting)) next();
}, { rootMargin: AROUND });

/** Looks at the links anew: they may be in view still, or another page's. */
function watch() {
  const nav = pages();
  if (links && more().length === 0) {
    links = undefined;
    away.clear();
  }
  end.disconnect();
  if (nav?.querySelector("a[rel=next]")) end.observe(nav);
}

async function next() {
  const nav = pages();
  const link = nav?.querySelector("a[rel=next]");
  const first = document.querySelector("#rows[data-paged]");
  if (isAsking || !nav || !first || !(link instanceof HTMLAnchorElement)) return;
  isAsking = true;
  try {
    const url = new URL(link.href);
    url.searchParams.set("plot", "off");
    const response = await fetch(url);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const found = page.getElementById("rows");
    const foundLinks = page.getElementById("pages");
    // The reader may have gone back to the top.
    if (!found || !foundLinks || !nav.contains(link)) return;
    if (!links) {
      links = [...nav.childNodes];
      rows.observe(first);
    }
    const body = document.createElement("tbody");
    body.className = "more";
    body.append(...found.children);
    enhance(body);
    ([...more()].at(-1) ?? first).after(body);
    rows.observe(body);
    nav.replaceChildren(...[...foundLinks.childNodes].filter((it) => it instanceof Element && it.matches("[rel=next]")));
    document.dispatchEvent(new Event("held"));
  } catch {
    // The link is still there.
  } finally {
    isAsking = false;
    watch();
  }
}

/** Back at the top, the list is that of the first page again. */
function reset() {
  const nav = pages();
  if (!links || !nav) return;
  rows.disconnect();
  for (const body of [...away.keys()]) attach(body);
  for (const body of more()) body.remove();
  nav.replaceChildren(...links);
  links = undefined;
  watch();
  document.dispatchEvent(new Event("top"));
}

/** Loads further pages of the list as the reader comes to its end. */
export function startMore() {
  watch();
  document.addEventListener("refreshed", watch);
  addEventListener("scroll", () => scrollY < TOP && reset(), { passive: true });
}
