// Texts by key in the language of the page. Elements made here change when the language does.

import { html } from "./dom.js";
import { formula } from "./formula.js";

let lesson;
let language;
let bound = [];

export function useTexts(description, lang) {
  lesson = description;
  setLanguage(lang);
}

export const currentLanguage = () => language;

export function setLanguage(lang) {
  language = lang;
  document.documentElement.lang = lang;
  bound = bound.filter(({ element }) => element.isConnected);
  for (const { element, fill } of bound) fill(element);
}

// The text of the first key that exists, from the chapter's table first and then from the page's own.
export function lookup(chapter, ...keys) {
  for (const key of keys) {
    const entry = chapter?.texts[key] ?? lesson.texts[key];
    if (entry) return entry[language];
  }
  throw new Error(`no text for ${chapter?.name ?? "page"}: ${keys.join(", ")}`);
}

// Keeps an element true to its texts: `fill` runs now and after every change of language.
export function bind(element, fill) {
  bound.push({ element, fill });
  fill(element);
  return element;
}

// Forget what belongs to the chapter that was left.
export const forget = () => { bound = bound.filter(({ element }) => element.isConnected); };

// **strong**, `code`, $formula$, [words](glossary entry).
const MARKUP = /\*\*(.+?)\*\*|`(.+?)`|\$(.+?)\$|\[(.+?)\]\((.+?)\)/gu;
// No line starts with what closes a clause after a formula.
const CLOSING = /^[,.;:?!)”，。、；：？！）」』]*/u;

export function marked(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(MARKUP)) {
    parts.push(text.slice(end, match.index));
    const [whole, strong, code, source, words, entry] = match;
    if (strong) parts.push(html("strong", {}, ...marked(strong)));
    else if (code) parts.push(html("code", {}, code));
    else if (!source) parts.push(term(words, entry));
    end = match.index + whole.length;
    if (source) {
      const { element } = formula(source);
      const [stop] = CLOSING.exec(text.slice(end));
      parts.push(stop ? html("span", { class: "unbroken" }, element, stop) : element);
      end += stop.length;
    }
  }
  parts.push(text.slice(end));
  return parts;
}

export const fillMarked = (element, text) => element.replaceChildren(...marked(text));

function term(words, entry) {
  return html("button", { type: "button", class: "term", "aria-haspopup": "dialog", onclick: (event) => explain(event.currentTarget, entry) }, words);
}

export function entryOf(name) {
  const [word, meaning] = [lesson.glossary[name], lesson.glossary[`${name}.meaning`]];
  if (!word || !meaning) throw new Error(`no glossary entry ${name}`);
  return { word, meaning };
}

function explain(button, name) {
  document.getElementById("explanation")?.remove();
  const { word, meaning } = entryOf(name);
  const other = lesson.languages.find((each) => each !== language);
  const box = html("div", { id: "explanation", popover: "auto", role: "dialog", "aria-label": word[language] },
    html("p", { class: "word" }, word[language], " ", html("span", { lang: other }, word[other])),
    html("p", {}, ...marked(meaning[language])));
  button.after(box);
  const place = button.getBoundingClientRect();
  box.showPopover();
  const wide = document.documentElement.clientWidth;
  box.style.left = `${Math.max(12, Math.min(place.left, wide - box.offsetWidth - 12))}px`;
  box.style.top = `${place.bottom + box.offsetHeight + 12 > window.innerHeight ? place.top - box.offsetHeight - 8 : place.bottom + 8}px`;
}
