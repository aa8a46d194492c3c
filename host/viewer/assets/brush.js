// A part of the plot, chosen with the pointer, becomes filters of time and duration.

const LEAST = 6;

/** Lets the reader choose a part of the plot. */
export function startBrush() {
  const plot = document.querySelector("svg.scatter");
  if (!(plot instanceof SVGSVGElement) || plot.dataset.ready) return;
  plot.dataset.ready = "yes";
  const brush = plot.querySelector(".brush");
  const part = plot.closest("[data-live]");
  if (!brush) return;
  /** @type {{x: number, y: number} | undefined} */
  let from;
  const place = (/** @type {PointerEvent} */ event) => {
    const box = plot.getBoundingClientRect();
    return {
      x: Math.min(Math.max(event.clientX - box.left, 0), box.width),
      y: Math.min(Math.max(event.clientY - box.top, 0), box.height),
    };
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    from = place(event);
  });
  plot.addEventListener("dragstart", (event) => event.preventDefault());
  plot.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = place(event);
    if (Math.abs(to.x - from.x) < LEAST) return;
    // From here on it is no click on a circle.
    plot.setPointerCapture(event.pointerId);
    part?.classList.add("brushing");
    brush.setAttribute("x", String(Math.min(from.x, to.x)));
    brush.setAttribute("width", String(Math.abs(to.x - from.x)));
    brush.setAttribute("y", String(Math.min(from.y, to.y)));
    brush.setAttribute("height", String(Math.abs(to.y - from.y)));
  });
  plot.addEventListener("pointerup", (event) => {
    const began = from;
    from = undefined;
    part?.classList.remove("brushing");
    if (!began || !plot.hasPointerCapture(event.pointerId)) return;
    const to = place(event);
    location.href = filtered(plot, began, to);
  });
  plot.addEventListener("pointercancel", () => {
    from = undefined;
    part?.classList.remove("brushing");
    brush.setAttribute("width", "0");
  });
}

/** The address of the list with what is between two corners of the plot. */
function filtered(
  /** @type {SVGSVGElement} */ plot,
  /** @type {{x: number, y: number}} */ one,
  /** @type {{x: number, y: number}} */ other,
) {
  const box = plot.getBoundingClientRect();
  const data = plot.dataset;
  const [first, last] = [BigInt(data.from ?? 0), BigInt(data.to ?? 0)];
  const moment = (/** @type {number} */ x) => {
    const share = Math.min(Math.max((x / box.width - 0.01) / 0.98, 0), 1);
    return first + BigInt(Math.round(share * Number(last - first)));
  };
  const [low, high] = [Number(data.low), Number(data.high)];
  const [top, bottom] = [Number(data.top), Number(data.bottom)];
  const duration = (/** @type {number} */ y) => {
    const share = 1 - (y - top) / (box.height - top - bottom);
    return 10 ** (low + share * (high - low)) / 1e6;
  };
  const text = (/** @type {bigint} */ nanos) => {
    const seconds = nanos / 1_000_000_000n;
    const fraction = String(nanos % 1_000_000_000n).padStart(9, "0");
    return new Date(Number(seconds) * 1000).toISOString().replace(/\.\d+Z$/, `.${fraction}Z`);
  };
  const url = new URL(data.link ?? "/", location.href);
  url.searchParams.set("from", text(moment(Math.min(one.x, other.x))));
  url.searchParams.set("to", text(moment(Math.max(one.x, other.x))));
  // A stroke along the axis of time chooses all durations.
  if (Math.abs(one.y - other.y) >= 3 * LEAST) {
    url.searchParams.set("min", `${duration(Math.max(one.y, other.y)).toPrecision(4)}ms`);
    url.searchParams.set("max", `${duration(Math.min(one.y, other.y)).toPrecision(4)}ms`);
  }
  return url.href;
}

document.addEventListener("refreshed", startBrush);
