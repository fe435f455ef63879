// The page around a place: bar, contents, glossary, language, light and dark, the way from one chapter to the next.

import { Page } from "./chapter.js";
import { cover } from "./cover.js";
import { html } from "./dom.js";
import { LANGUAGES } from "./languages.js";
import { remember, remembered } from "./memory.js";
import { chapterTexts } from "./contents.js";
import { text } from "./resource.js";
import { ROAD } from "./road.js";
import { score } from "./score.js";
import { address, embedded, paged, parameter, readAddress, writeLanguage } from "./state.js";
import { bind, currentLanguage, entryOf, fillMarked, forget, lookup, marked, otherLanguages, plain, said, setLanguage, terms, useTexts } from "./text.js";
import { texts } from "./toml.js";

const main = document.getElementById("main");
const foot = document.getElementById("foot");
const root = document.documentElement;
const words = (key) => lookup(null, key);
const link = (name, attributes, ...children) => bind(html("a", attributes, ...children), (element) => { element.href = address(name); });

// ---------------------------------------------------------------- the bar

function themeButton() {
  const chosen = remembered("page", "theme");
  if (chosen) root.dataset.theme = chosen;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const button = html("button", { type: "button", class: "theme", onclick: () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember("page", "theme", root.dataset.theme);
  } }, html("span", { "aria-hidden": "true" }, "◐"));
  return bind(button, () => button.setAttribute("aria-label", words("theme")));
}

function languageButtons() {
  const group = html("div", { class: "languages", role: "group" }, ...Object.entries(LANGUAGES).map(([lang, name]) => html("button", {
    type: "button", lang, "data-lang": lang,
    onclick: () => {
      writeLanguage(lang);
      setLanguage(lang);
    },
  }, name)));
  return bind(group, () => {
    group.setAttribute("aria-label", words("languages"));
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.lang === currentLanguage()));
  });
}

function bar() {
  document.getElementById("bar").replaceChildren(
    link("", { class: "home" }, html("span", { class: "brand" }, "sigmax"), said("span", "lesson", { class: "name" })),
    bind(html("nav", {}, score(), link("glossary", {}, said("span", "glossary")), languageButtons(), themeButton()), (element) => element.setAttribute("aria-label", words("contents"))));
  const skip = bind(document.getElementById("skip"), (element) => { element.textContent = words("skip"); });
  // The address after # is the situation, so the link only moves the focus.
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
}

// ---------------------------------------------------------------- places

function glossary() {
  const list = bind(html("dl", { class: "glossary" }), (element) => {
    const here = currentLanguage();
    const sorted = terms().sort((a, b) => entryOf(a).word[here].localeCompare(entryOf(b).word[here], here));
    element.replaceChildren(...sorted.map((name) => {
      const { word, meaning } = entryOf(name);
      return html("div", { id: name }, html("dt", {}, word[here], ...otherLanguages().map((lang) => html("span", { lang }, word[lang]))), html("dd", {}, ...marked(meaning[here])));
    }));
  });
  main.append(said("h1", "glossary"), list);
}

function neighbour(at, key) {
  if (!ROAD[at]) return html("span");
  return link(ROAD[at].name, { class: key }, said("span", key, { class: "way" }), said("span", `${ROAD[at].name}.title`, { class: "title" }));
}

async function chapterOf(at) {
  const [{ default: chapter }, table] = await Promise.all([ROAD[at].load(), chapterTexts(ROAD[at].name)]);
  return { ...chapter, name: ROAD[at].name, texts: table };
}

async function show(chapter, at) {
  if (embedded) {
    await frame(chapter);
    return;
  }
  main.append(html("header", { class: "opening" },
    bind(html("p", { class: "number" }), (element) => { element.textContent = words("chapter").replace("{n}", at + 1); }),
    said("h1", `${chapter.name}.title`), said("p", `${chapter.name}.summary`, { class: "lead" })));
  const page = new Page(main, chapter);
  chapter.page(page);
  page.end();
  foot.append(neighbour(at - 1, "previous"), neighbour(at + 1, "next"));
  await page.begin();
  const target = parameter("at") && document.getElementById(parameter("at"));
  if (target) page.goTo(target, "start");
}

// One figure and nothing else, for another page's <iframe>.
async function frame(chapter) {
  root.classList.add("embedded");
  const page = new Page(main, chapter);
  page.figure(embedded.split(".").at(-1));
  const whole = link(chapter.name, { target: "_blank", rel: "noopener" }, said("span", "whole_lesson"));
  foot.replaceChildren(whole);
  await page.begin();
}

async function route() {
  let { place, language } = readAddress();
  if (embedded?.includes(".")) [place] = embedded.split(".");
  document.body.dataset.ready = "";
  const at = ROAD.findIndex(({ name }) => name === place);
  // What a page without a script shows stays until there is more.
  const chapter = at >= 0 ? await chapterOf(at) : null;
  main.replaceChildren();
  foot.replaceChildren();
  setLanguage(language);
  forget();
  bar();
  document.body.dataset.place = at >= 0 ? "chapter" : place === "glossary" ? "glossary" : "cover";
  if (chapter) await show(chapter, at);
  else if (place === "glossary") glossary();
  else cover(main);
  bind(main.firstElementChild, () => { document.title = `${at >= 0 ? plain(words(`${place}.title`)) : words(place === "glossary" ? "glossary" : "lesson")} · sigmax`; });
  document.body.dataset.ready = at >= 0 || place === "glossary" ? place : "cover";
}

const [page, entries] = await Promise.all([text("texts/page.toml"), text("texts/glossary.toml")]);
useTexts(texts(page), texts(entries));
if (!paged) addEventListener("hashchange", async () => {
  await route();
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("details")) each.open = true; });
await route();
if (root.dataset.offline !== undefined) navigator.serviceWorker?.register(new URL("offline.js", import.meta.url));
