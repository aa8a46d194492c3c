// Parts of a page as a script can show them better.

/** Shows times in the reader's own time zone, and buttons that need a script. */
export function enhance(/** @type {ParentNode} */ root) {
  for (const time of root.querySelectorAll("time:not([data-local])")) {
    const at = new Date(time.getAttribute("datetime") ?? "");
    if (Number.isNaN(at.valueOf())) continue;
    const pad = (/** @type {number} */ number, digits = 2) => String(number).padStart(digits, "0");
    const date = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
    const clock = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
    if (time.classList.contains("date")) time.textContent = `${date} ${clock}`;
    else if (time.classList.contains("clock")) time.textContent = clock;
    else time.textContent = `${clock}.${pad(at.getMilliseconds(), 3)}`;
    time.setAttribute("data-local", "");
  }
  for (const button of root.querySelectorAll("button.copy[hidden], #pause[hidden]")) button.removeAttribute("hidden");
}
