// Small helpers for the page itself. Text is only ever set as text.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function toast(text, kind = "bad") {
  const close = make("button", { type: "button", className: "quiet icon-only", textContent: "×" });
  close.setAttribute("aria-label", "Dismiss");
  const box = make("div", { className: "toast" }, make("p", { textContent: text }), close);
  box.dataset.kind = kind;
  close.addEventListener("click", () => box.remove());
  $("toasts").append(box);
  setTimeout(() => box.remove(), kind === "good" ? 4000 : 12000);
}

export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Asks in the page's own dialog: the text typed ("" where none was asked for), or null. */
export function question({ title, text = "", input = null, ok = "OK", danger = false }) {
  const dialog = $("ask-dialog");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-text").hidden = !text;
  $("ask-field").hidden = input === null;
  $("ask-input").value = input ?? "";
  $("ask-input").required = input !== null;
  $("ask-ok").textContent = ok;
  dialog.dataset.danger = danger;
  dialog.returnValue = "";
  dialog.showModal();
  if (input !== null) $("ask-input").select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? $("ask-input").value : null), { once: true });
  });
}

export const slug = (text) =>
  text.toLowerCase().normalize("NFKD").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "speech";
