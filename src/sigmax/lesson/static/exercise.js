// An exercise with a checked answer: a number to write, or one of several answers to choose.

import { html } from "./dom.js";
import { remember, remembered } from "./memory.js";
import { numberOf } from "./numbers.js";
import { bind, lookup, plain, said } from "./text.js";

export function exercise(chapter, name) {
  const definition = chapter.exercises[name];
  const key = `${chapter.name}.${name}`;
  const words = (text) => lookup(chapter, text);
  const told = html("p", { class: "told", role: "status" });
  const solution = said("p", `${name}.solution`, { class: "solution", hidden: true }, chapter);
  const give = definition.options ? choices() : entry();
  const element = html("section", { class: "exercise", id: name }, said("p", `${name}.question`, { class: "question" }, chapter), give, told, solution);
  let right = remembered("answers", key);
  bind(element, show);

  function choices() {
    return html("div", { class: "answers" }, ...definition.options.map((option) => {
      const button = html("button", { type: "button", "data-option": option, onclick: () => judge(option === definition.answer) }, said("span", `${name}.${option}`, {}, chapter));
      return bind(button, () => button.setAttribute("aria-label", plain(words(`${name}.${option}`))));
    }));
  }

  function entry() {
    const field = html("input", { type: "text", inputmode: "decimal", autocomplete: "off", class: "number", id: `${name}-answer` });
    bind(field, () => field.setAttribute("aria-label", words("your_answer")));
    const form = html("form", { class: "answers" }, field, html("button", { type: "submit" }, said("span", "check_answer")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      judge(Math.abs(numberOf(field.value) - definition.answer()) <= definition.within);
    });
    return form;
  }

  function judge(found) {
    right = found;
    remember("answers", key, found);
    show();
  }

  function show() {
    element.dataset.right = right ?? "";
    told.textContent = right === undefined ? "" : words(right ? "answer.right" : "answer.wrong");
    told.className = `told ${right ? "good" : "bad"}`;
    solution.hidden = !right;
  }

  return element;
}
