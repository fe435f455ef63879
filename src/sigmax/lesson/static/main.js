// The page around a chapter: contents, glossary, language, light and dark, the way from one chapter to the next.

import { loadLesson } from "./api.js";
import { Page } from "./chapter.js";
import { html } from "./dom.js";
import { address, parameter, readAddress, setParameter } from "./state.js";
import { bind, currentLanguage, entryOf, fillMarked, forget, lookup, marked, setLanguage, useTexts } from "./text.js";

const lesson = await loadLesson();
const main = document.getElementById("main");
const foot = document.getElementById("foot");
const NAMES = { "zh-Hant": "中文", en: "English" };

const words = (key) => lookup(null, key);
const said = (tag, key, attributes = {}) => bind(html(tag, attributes), (element) => fillMarked(element, words(key)));
const number = (chapter) => bind(html("span", { class: "number" }), (element) => { element.textContent = words("chapter").replace("{n}", chapter.number); });
const link = (name, attributes, ...children) => html("a", { href: address(name), ...attributes, onclick: (event) => { event.currentTarget.href = here(name); } }, ...children);
const here = (name) => address(name, parameter("lang") ? { lang: parameter("lang") } : {});

function themeButton() {
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const button = html("button", { type: "button", class: "theme", onclick: () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; } }, html("span", { "aria-hidden": "true" }, "◐"));
  return bind(button, () => button.setAttribute("aria-label", words("theme")));
}

function languageButtons() {
  const group = html("div", { class: "languages", role: "group" }, ...lesson.languages.map((lang) => html("button", {
    type: "button", lang, "data-lang": lang,
    onclick: () => {
      setParameter("lang", lang === lesson.lang ? null : lang);
      setLanguage(lang);
    },
  }, NAMES[lang])));
  return bind(group, () => { for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.lang === currentLanguage())); });
}

function bar() {
  document.getElementById("bar").append(
    link("", { class: "home" }, html("span", { class: "brand" }, "sigmax"), said("span", "lesson", { class: "name" })),
    html("nav", {}, link("glossary", {}, said("span", "glossary")), languageButtons(), themeButton()));
  const skip = bind(document.getElementById("skip"), (element) => { element.textContent = words("skip"); });
  // The address after # is the situation, so the link only moves the focus.
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
}

function cover() {
  main.append(said("h1", "lesson"), said("p", "lead", { class: "lead" }), said("p", "how", { class: "how" }));
  main.append(html("ol", { class: "contents" }, ...lesson.chapters.map((chapter) => html("li", {}, link(chapter.name, {},
    html("span", { class: "number", "aria-hidden": "true" }, String(chapter.number)),
    html("span", {},
      bind(html("span", { class: "title" }), (element) => fillMarked(element, lookup(chapter, "title"))),
      bind(html("span", { class: "summary" }), (element) => fillMarked(element, lookup(chapter, "summary")))))))));
}

function glossary() {
  const names = Object.keys(lesson.glossary).filter((key) => !key.includes("."));
  main.append(said("h1", "glossary"), html("dl", { class: "glossary" }, ...names.map((name) => bind(html("div", { id: name }), (element) => {
    const { word, meaning } = entryOf(name);
    const other = lesson.languages.find((each) => each !== currentLanguage());
    element.replaceChildren(html("dt", {}, word[currentLanguage()], html("span", { lang: other }, word[other])), html("dd", {}, ...marked(meaning[currentLanguage()])));
  }))));
}

function neighbour(chapter, key, cls) {
  if (!chapter) return html("span");
  return link(chapter.name, { class: cls }, said("span", key, { class: "way" }), bind(html("span", { class: "title" }), (element) => fillMarked(element, lookup(chapter, "title"))));
}

async function show(chapter) {
  const { default: write } = await import(`./chapters/${chapter.name}.js`);
  main.append(html("header", { class: "opening" }, number(chapter),
    bind(html("h1"), (element) => fillMarked(element, lookup(chapter, "title"))),
    bind(html("p", { class: "lead" }), (element) => fillMarked(element, lookup(chapter, "summary")))));
  const page = new Page(main, chapter);
  write(page);
  const at = lesson.chapters.indexOf(chapter);
  foot.append(neighbour(lesson.chapters[at - 1], "previous", "previous"), neighbour(lesson.chapters[at + 1], "next", "next"));
  await Promise.all(Object.values(page.figures).map(({ ready }) => ready));
}

let shownPlace = null;

async function route() {
  const name = readAddress();
  setLanguage(lesson.languages.includes(parameter("lang")) ? parameter("lang") : lesson.lang);
  main.replaceChildren();
  foot.replaceChildren();
  forget();
  performance.clearMeasures();
  document.body.dataset.ready = "";
  const chapter = lesson.chapters.find((each) => each.name === name);
  document.body.dataset.place = chapter ? "chapter" : name === "glossary" ? "glossary" : "cover";
  if (chapter) await show(chapter);
  else if (name === "glossary") glossary();
  else cover();
  bind(main.firstElementChild, () => { document.title = `${chapter ? lookup(chapter, "title") : words("lesson")} · sigmax`; });
  if (shownPlace !== null && shownPlace !== name) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  shownPlace = name;
  document.body.dataset.ready = name || "cover";
}

useTexts(lesson, lesson.lang);
bar();
addEventListener("hashchange", route);
await route();
