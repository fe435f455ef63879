// Formulas as MathML, from one line of text. Variables have the class v-<name>, which gives each its one colour.
//
//   a/(a+b)            a slash in a line of text; a fraction, without these brackets, on a line of its own
//   e^(a-b)  x_j       exponent, subscript; σ(x), ln(p), tanh(x/2): a function of what is in the brackets
//   Σ_(j=1)^C e^(x_j)  limits above and below
//   |x|  √x  [a, b]  "…"   absolute value, root, list, plain words;  a : b  a ratio
//   ;                  between formulas on one line; where it is narrow the line may break there, also before an =
//   {a}                the live number called a: `update({a: -1})` sets it. A negative number gets brackets
//                      where the sign would otherwise meet another one: 3 + (−1), but −1 + 3 and e^−1.
//   e^a@p              the part that stands on the left moves under the name p: see algebra.js

import { html, math } from "./dom.js";
import { shown } from "./numbers.js";

const TOKEN = /\s*(?:(\d+(?:\.\d+)?(?:e[+-]?\d+)?)|\{([^}]+)\}|"([^"]*)"|([\p{L}][\p{L}\p{M}]*′*)|(<=|>=|!=|->|=>|.))/uy;
const SIGNS = { "-": "−", ":": "∶", "*": "·", "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "=>": "⇒" };
const BINARY = {
  ",": 1, "∶": 2, "⇒": 2, "⇔": 2,
  "=": 3, "≤": 3, "≥": 3, "≠": 3, "<": 3, ">": 3, "≈": 3, "→": 3, "∈": 3, "∣": 3, "≫": 3, "≪": 3, "∝": 3, "∉": 3, "↦": 3, "∥": 3,
  "+": 4, "−": 4, "±": 4, "·": 5, "×": 5, "∘": 5, "/": 6, "@": 8, "^": 9, "_": 9,
};
const JUXTAPOSED = 7;
const SIGNED = 5;
const CLOSING = { "(": ")", "[": "]", "|": "|", "⌊": "⌋" };
const TALL = new Set(["Σ", "Π", "max", "min", "lim", "sup", "argmax"]);
const SPACES = { "∶": { lspace: "0.25em", rspace: "0.25em" }, "/": { lspace: "0.05em", rspace: "0.05em" }, "∣": { lspace: "0.2em", rspace: "0.2em" } };
const LETTER_SUMS = { Σ: "∑", Π: "∏" };
const LETTERS = new Set(["∞", "…", "∂", "∇"]); // signs that are no operators

function tokens(source) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.trimEnd().length) {
    const [, number, live, words, name, other] = TOKEN.exec(source);
    if (number !== undefined) found.push({ kind: "number", text: number });
    else if (live !== undefined) found.push({ kind: "live", text: live });
    else if (words !== undefined) found.push({ kind: "words", text: words });
    else if (name !== undefined) found.push({ kind: "name", text: name });
    else found.push({ kind: "sign", text: SIGNS[other] ?? other });
  }
  return found;
}

// Precedence climbing over the tokens.
function parse(source) {
  const rest = tokens(source);
  const is = (text) => rest.length > 0 && rest[0].kind === "sign" && rest[0].text === text;
  const fail = () => { throw new Error(`formula: cannot read ${source}`); };
  let bars = 0;

  function atom(script = false) {
    const token = rest.shift() ?? fail();
    if (token.kind !== "sign") {
      if (token.kind === "name" && is("(") && !script) return { kind: "apply", name: token, of: atom() };
      return token;
    }
    if (token.text in CLOSING) {
      bars += token.text === "|";
      const inside = is(CLOSING[token.text]) ? { kind: "words", text: "" } : expression(0);
      bars -= token.text === "|";
      if (!is(CLOSING[token.text])) fail();
      rest.shift();
      return { kind: "fence", open: token.text, inside };
    }
    if (token.text === "√") return { kind: "root", of: atom() };
    if (token.text === "−" || token.text === "+" || token.text === "±") return { kind: "sign", text: token.text, of: expression(SIGNED) };
    return { kind: "symbol", text: token.text };
  }

  function strength() {
    if (rest.length === 0) return 0;
    const { kind, text } = rest[0];
    if (kind !== "sign") return JUXTAPOSED;
    if (text in BINARY) return BINARY[text];
    if (text === "|") return bars ? 0 : JUXTAPOSED;
    return Object.values(CLOSING).includes(text) ? 0 : JUXTAPOSED;
  }

  function expression(least) {
    let left = atom();
    for (let power = strength(); power > least; power = strength()) {
      const text = rest[0].kind === "sign" && rest[0].text in BINARY ? rest.shift().text : "";
      // A relation at the end, as in "x =", has nothing on its right.
      const nothing = rest.length === 0 && BINARY[text] === 3;
      // A subscript ends where an exponent or a bracket begins: x_j^2, x_j(…).
      const right = nothing ? { kind: "words", text: "" } : text === "_" ? atom(true) : expression(text === "^" ? 8.5 : power);
      left = { kind: "binary", text, left, right };
      if (text === "@") {
        left = { kind: "moving", key: right.text, of: left.left };
        continue;
      }
      // What a subscript is put on can still be a function: x_j(…) and ∑_j^C.
      if (text === "_" && is("(") && left.left.kind === "name") left = { kind: "apply", name: left, of: atom() };
    }
    return left;
  }

  // A relation may come first: what it continues stands in the formula before.
  const first = rest.length > 1 && rest[0].kind === "sign" && BINARY[rest[0].text] === 3 ? rest.shift().text : null;
  const tree = expression(0);
  if (rest.length) fail();
  return first ? { kind: "binary", text: first, left: { kind: "words", text: "" }, right: tree } : tree;
}

const bare = (node) => (node.kind === "fence" && node.open === "(" ? node.inside : node);
const row = (...children) => math("mrow", {}, ...children);
const operator = (text, attributes) => math("mo", attributes ?? {}, text);
const nameOf = (node) => (node.kind === "binary" && node.text === "_" ? nameOf(node.left) + "_" + nameOf(bare(node.right)) : node.text ?? (node.kind === "moving" ? nameOf(node.of) : ""));
const classOf = (name) => `v-${name.replace(/[^\p{L}\p{N}_]/gu, "")}`;

// `tight`: a minus sign in front of this node would meet another sign, so a negative number needs brackets.
// `made.live` collects the live numbers; `made.block` says whether fractions are built.
function build(node, tight, made) {
  switch (node.kind) {
    case "number": return math("mn", {}, node.text.replace("-", "−"));
    case "live": {
      const element = math("mn", { class: `live ${classOf(node.text)}` }, "…");
      made.live.push({ name: node.text, tight, text: element.firstChild });
      return element;
    }
    case "words": return math("mtext", {}, node.text);
    case "symbol": return LETTERS.has(node.text) ? math("mi", {}, node.text) : operator(node.text);
    case "root": return math("msqrt", {}, build(bare(node.of), false, made));
    case "name":
      if (node.text in LETTER_SUMS) return operator(LETTER_SUMS[node.text], { largeop: String(made.block), movablelimits: "false" });
      return math("mi", made.plain ? {} : { class: classOf(node.text) }, node.text);
    case "sign": return row(operator(node.text, { form: "prefix" }), build(node.of, true, made));
    case "fence": return buildFence(node, made);
    case "moving": {
      const element = build(node.of, tight, made);
      element.dataset.move = node.key;
      return element;
    }
    case "apply": return row(build(node.name, false, made), build(node.of, false, made));
    default: return buildBinary(node, tight, made);
  }
}

function buildFence({ open, inside }, made) {
  const content = build(inside, false, made);
  const shape = { stretchy: String(content.querySelector("mfrac, munder, munderover") !== null || content.localName === "mfrac"), lspace: "0", rspace: "0" };
  return row(operator(open, { ...shape, form: "prefix" }), content, operator(CLOSING[open], { ...shape, form: "postfix" }));
}

function buildBinary({ text, left, right }, tight, made) {
  if (text === "/" && made.block) return math("mfrac", {}, build(bare(left), false, made), build(bare(right), false, made));
  if (text === "^" || text === "_") return buildScript(text, left, right, made);
  const sides = [build(left, tight && BINARY[text] !== 3, made), build(right, BINARY[text] >= 4 || text === "", made)];
  const between = text === "" ? gap(left, right) : operator(text, SPACES[text]);
  return row(sides[0], between, sides[1]);
}

// Letters side by side are a product; a word, as in "ln x", is set apart.
function gap(left, right) {
  const apart = nameOf(left).length > 1 || nameOf(right).length > 1 || right.kind === "apply" || left.kind === "words";
  return math("mspace", { width: apart ? "0.17em" : "0.06em" });
}

function buildScript(text, left, right, made) {
  const both = text === "^" && left.kind === "binary" && left.text === "_";
  const base = both ? left.left : left;
  const flat = { ...made, block: false };
  const named = both || text === "_" ? `${nameOf(base)}_${nameOf(bare(both ? left.right : right))}` : "";
  // x_i is one variable with one colour: its letters have none of their own.
  const plain = named && !TALL.has(base.text) ? { ...flat, plain: true } : flat;
  const scripts = both ? [build(bare(left.right), false, plain), build(bare(right), false, flat)] : [build(bare(right), false, plain)];
  // In a line of text the limits stand beside the sign, so that lines keep their distance.
  const tall = TALL.has(base.text) && made.block;
  const tag = both ? (tall ? "munderover" : "msubsup") : text === "^" ? (tall ? "mover" : "msup") : tall ? "munder" : "msub";
  return math(tag, plain.plain ? { class: classOf(named) } : {}, build(base, true, named ? plain : made), ...scripts);
}

// A formula and its `update`. `block` sets it on a line of its own.
export function formula(source, { block = false, digits = 4 } = {}) {
  const live = [];
  const parts = source.split(";").map((part) => math("math", block ? { display: "block" } : {}, build(parse(part), false, { live, block })));
  const element = parts.length === 1 ? parts[0] : html("span", { class: "formulas" }, ...parts);
  for (const part of parts) part.classList.toggle("continued", part.textContent.startsWith("="));
  function update(values) {
    for (const { name, tight, text } of live) {
      if (!(name in values)) continue;
      const number = shown(values[name], digits);
      const written = tight && number.startsWith("−") ? `(${number})` : number;
      if (text.data !== written) text.data = written;
    }
  }
  return { element, update };
}
