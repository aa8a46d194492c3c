// Keys: j and k move, Enter opens, h and l collapse and expand, n and N go through what a
// search has found, / searches, p pauses, Escape leaves.

/** @type {string | undefined} */
let current;

const rows = () => [...document.querySelectorAll("[data-row]")];

function select(/** @type {Element | undefined} */ row, scroll = true) {
  for (const it of document.querySelectorAll(".current")) it.classList.remove("current");
  if (!row) return;
  current = row.id;
  row.classList.add("current");
  const link = row.matches("a") ? row : row.querySelector("a:not(.toggle)");
  if (link instanceof HTMLElement || link instanceof SVGElement) link.focus({ preventScroll: true });
  if (scroll) row.scrollIntoView({ block: "nearest" });
}

function move(/** @type {number} */ step) {
  const all = rows();
  const at = all.findIndex((it) => it.classList.contains("current"));
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
  select(all[next]);
}

/** Marks the row again that was marked before the page changed. */
export function restoreRows(/** @type {string | undefined} */ focused = undefined) {
  const id = focused ?? location.hash.slice(1);
  if (!id) return;
  const row = document.getElementById(id);
  if (row?.hasAttribute("data-row")) select(row, false);
}

document.addEventListener("keydown", (event) => {
  const field = event.target instanceof Element && event.target.closest("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (field) {
    if (event.key === "Escape") /** @type {HTMLElement} */ (field).blur();
    return;
  }
  const search = document.getElementById("q");
  const toggle = document.querySelector(".current a.toggle");
  switch (event.key) {
    case "j":
      move(1);
      break;
    case "k":
      move(-1);
      break;
    case "h":
    case "l":
      if (!(toggle instanceof HTMLElement)) return;
      toggle.click();
      break;
    case "/":
      search?.focus();
      break;
    case "p":
      document.getElementById("pause")?.click();
      break;
    case "Escape": {
      const back = document.querySelector("a[data-back]");
      if (back instanceof HTMLElement) back.click();
      return;
    }
    case "n":
    case "N": {
      const matches = [...document.querySelectorAll(".match")];
      if (matches.length === 0) return;
      const at = matches.findIndex((it) => it.id === current);
      const step = event.key === "n" ? 1 : -1;
      select(matches[(at + step + matches.length) % matches.length]);
      break;
    }
    default:
      return;
  }
  event.preventDefault();
});
