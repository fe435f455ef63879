// The texts of a chapter, read once.

import { text } from "./resource.js";
import { texts } from "./toml.js";

const read = new Map();

export function chapterTexts(name) {
  if (!read.has(name)) read.set(name, text(`texts/${name}.toml`).then(texts));
  return read.get(name);
}
