// Buttons that copy a link, code, or the frame that puts a figure on another page.

import { html } from "./dom.js";
import { bind, lookup } from "./text.js";

export function copyButton(key, content) {
  const words = () => lookup(null, key);
  const button = html("button", { type: "button", class: "quiet copy", "data-copy": key });
  const told = html("span", { class: "unseen", role: "status" });
  button.addEventListener("click", async () => {
    const text = content();
    button.dataset.copied = text;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      prompt(words(), text); // no clipboard here: the learner copies by hand
    }
    button.textContent = told.textContent = lookup(null, "copied");
    setTimeout(() => {
      button.textContent = words();
      told.textContent = "";
    }, 1500);
  });
  bind(button, () => { button.textContent = words(); });
  return html("span", { class: "copier" }, button, told);
}
