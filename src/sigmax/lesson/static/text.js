// Texts by key in the language of the page. Elements made here change when the language does.

import { html } from "./dom.js";
import { formula } from "./formula.js";
import { LANGUAGES } from "./languages.js";

let pageTexts = {};
let glossary = {};
let language = "";
let bound = [];

export function useTexts(page, terms) {
  pageTexts = page;
  glossary = terms;
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
    const entry = chapter?.texts[key] ?? pageTexts[key];
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

// An element with the text of a key of the page's own table, or of a chapter's.
export const said = (tag, key, attributes = {}, chapter = null) => bind(html(tag, attributes), (element) => fillMarked(element, lookup(chapter, key)));

// Forget what belongs to the place that was left.
export const forget = () => { bound = bound.filter(({ element }) => element.isConnected); };

// **strong**, `code`, $formula$, [words](glossary entry).
const MARKUP = /\*\*(.+?)\*\*|`(.+?)`|\$(.+?)\$|\[(.+?)\]\((.+?)\)/gu;
// No line starts with what closes a clause after a formula, and none ends with what opens one before it.
const CLOSING = /^[,.;:?!)”，。、；：？！）」』]*/u;
const OPENING = /[（「『(“]$/u;

// What a screen reader or a title says.
export const plain = (text) => text.replace(MARKUP, (_, strong, code, source, words) => strong ?? code ?? source?.replaceAll(/[_"]/gu, "") ?? words);

// Long code may break after what separates its parts.
const LONG = 18;
const parted = (word) => (word.length > LONG ? word.split(/(?<=[(._=])|(?<=[a-z])(?=[A-Z])/u).flatMap((part) => [part, html("wbr")]) : [word]);
export const breakable = (code) => html("code", {}, ...code.split(/(?<= )/u).flatMap(parted));

export function marked(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(MARKUP)) {
    let before = text.slice(end, match.index);
    const [whole, strong, code, source, words, entry] = match;
    const [open = ""] = source || entry ? OPENING.exec(before) ?? [] : [];
    before = before.slice(0, before.length - open.length);
    parts.push(before);
    if (strong) parts.push(html("strong", {}, ...marked(strong)));
    else if (code) parts.push(breakable(code));
    end = match.index + whole.length;
    if (source || entry) {
      const element = source ? formula(source).element : term(words, entry);
      const [stop] = CLOSING.exec(text.slice(end));
      parts.push(stop || open ? html("span", { class: "unbroken" }, open, element, stop) : element);
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

export const terms = () => Object.keys(glossary).filter((key) => !key.includes("."));

export function entryOf(name) {
  const [word, meaning] = [glossary[name], glossary[`${name}.meaning`]];
  if (!word || !meaning) throw new Error(`no glossary entry ${name}`);
  return { word, meaning };
}

export const otherLanguages = () => Object.keys(LANGUAGES).filter((each) => each !== language);

function explain(button, name) {
  document.getElementById("explanation")?.remove();
  const { word, meaning } = entryOf(name);
  const box = html("div", { id: "explanation", popover: "auto", role: "dialog", "aria-label": word[language] },
    html("p", { class: "word" }, word[language], ...otherLanguages().map((lang) => html("span", { lang }, ` ${word[lang]}`))),
    html("p", {}, ...marked(meaning[language])));
  button.after(box);
  const place = button.getBoundingClientRect();
  box.showPopover();
  const wide = document.documentElement.clientWidth;
  box.style.left = `${Math.max(12, Math.min(place.left, wide - box.offsetWidth - 12))}px`;
  box.style.top = `${place.bottom + box.offsetHeight + 12 > window.innerHeight ? place.top - box.offsetHeight - 8 : place.bottom + 8}px`;
}
