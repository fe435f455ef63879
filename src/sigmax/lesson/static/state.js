// Where we are: a place (a chapter, "glossary", or "" for the cover), a language, and the parameters after the #.
//
// Each place is a page of its own in each language, en/share.html#shifted.a=3; in a page that holds everything the place
// and the language stand after the # too, #share?lang=en&shifted.a=3. Only what differs from the start is written.

import { LANGUAGES } from "./languages.js";

const root = document.documentElement;
export const paged = root.dataset.place !== undefined;
const base = new URL("./", import.meta.url);
export const embedded = new URLSearchParams(location.search).get("embed");

let place = "";
let language = "";
let parameters = new URLSearchParams();
let timer = 0;

export function readAddress() {
  const [first, rest = ""] = paged ? [root.dataset.place, location.hash.slice(1)] : location.hash.slice(1).split("?");
  place = first;
  parameters = new URLSearchParams(rest);
  const asked = paged ? root.dataset.language : parameters.get("lang");
  language = asked in LANGUAGES ? asked : globalThis.LESSON_LANGUAGE ?? Object.keys(LANGUAGES)[0];
  return { place, language };
}

export const parameter = (name) => parameters.get(name);

// Browsers limit how often the address may change, so it waits until the hand rests.
export function setParameter(name, value) {
  if (value === null) parameters.delete(name);
  else parameters.set(name, value);
  clearTimeout(timer);
  timer = setTimeout(writeAddress, 150);
}

// The address of a place in the language of the page, or, with `given`, in a situation.
export function address(name, given = {}) {
  const query = String(new URLSearchParams(paged ? given : { lang: language, ...given }));
  if (!paged) return `${location.href.split("#")[0]}#${name}?${query}`;
  return `${base}${language}/${name || "index"}.html${query ? `#${query}` : ""}`;
}

// That of this page with all its situations, or of those of one figure, seen at `at`.
export const hereAt = (at, figure = at) => address(place, Object.fromEntries([["at", at], ...[...parameters].filter(([name]) => name.startsWith(`${figure}.`))]));

// The same page with nothing but one figure.
export function embedding(chapter, figure) {
  const url = new URL(hereAt(figure));
  url.searchParams.set("embed", paged ? figure : `${chapter}.${figure}`);
  return `<iframe src="${url.href.replace(`at=${figure}&`, "").replace(`at=${figure}`, "")}" width="100%" height="640" style="border: 0" loading="lazy" title="sigmax"></iframe>`;
}

export function writeLanguage(lang) {
  language = lang;
  root.dataset.language = lang;
  if (!paged) parameters.set("lang", lang);
  writeAddress();
}

function writeAddress() {
  const query = String(parameters);
  const url = paged ? `${address(place)}${query ? `#${query}` : ""}` : `#${place}?${query}`;
  history.replaceState(null, "", url);
}
