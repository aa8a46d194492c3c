// A new component by drag and drop, and the way back, over the admin port's own routes.

async function send(/** @type {string} */ method, /** @type {string} */ path, /** @type {Blob | null} */ body) {
  const response = await fetch(path, { method, body, headers: body ? { "content-type": "application/wasm" } : {} });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) {
    const { version, generation } = answer.current ?? {};
    return { text: `Served: ${version ?? "the component"} #${generation ?? "?"} (${answer.outcome ?? "done"})`, ok: true };
  }
  return { text: [answer.title ?? `Status ${response.status}`, answer.detail].filter(Boolean).join(": "), ok: false };
}

/** Takes a component from the reader. */
export function startUpload() {
  const area = document.querySelector("[data-upload]");
  const result = document.getElementById("upload-result");
  if (!(area instanceof HTMLElement) || !result || area.dataset.ready) return;
  area.dataset.ready = "yes";
  area.querySelector(".upload")?.removeAttribute("hidden");

  const offer = async (/** @type {string} */ method, /** @type {string} */ path, /** @type {File | null} */ file) => {
    const most = Number(area.dataset.max);
    if (file && most > 0 && file.size > most) {
      result.textContent = `${file.name} is too large.`;
      result.className = "bad";
      return;
    }
    result.className = "";
    result.textContent = file ? `${file.name} is sent and compiled …` : "…";
    try {
      const { text, ok } = await send(method, path, file);
      result.textContent = text;
      result.className = ok ? "good" : "bad";
    } catch {
      result.textContent = "The host does not answer.";
      result.className = "bad";
    }
  };

  const field = area.querySelector("#file");
  if (field instanceof HTMLInputElement) {
    field.addEventListener("change", () => {
      const file = field.files?.[0];
      if (file) offer("PUT", "/component", file);
      field.value = "";
    });
  }
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    const file = event.dataTransfer?.files?.[0];
    if (file) offer("PUT", "/component", file);
  });
  // The form comes and goes with the component before.
  area.addEventListener("submit", (event) => {
    event.preventDefault();
    offer("POST", "/component/rollback", null);
  });
}
