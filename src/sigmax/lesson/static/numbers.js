// Numbers as they are read.

// The words that Python's float() reads; JavaScript's Number() reads them after `numberOf`.
export function word(value) {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return String(value);
}

// For people: at most `digits` significant digits, a true minus sign, e-notation for the very small and large.
export function shown(value, digits = 6) {
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return word(value).replace("-", "−");
  const size = Math.abs(value);
  const short = size !== 0 && (size < 1e-4 || size >= 1e7) ? exponential(value, digits) : trimmed(value.toPrecision(digits));
  return short.replaceAll("-", "−");
}

// Two numbers with as many digits as tell them apart: never "36.04 > 36.04".
export function shownApart(value, bound, digits = 4) {
  for (let more = digits; more < 17; more++) {
    const both = [shown(value, more), shown(bound, more)];
    if (both[0] !== both[1]) return both;
  }
  return [shown(value, digits), shown(bound, digits)];
}

// What a learner writes: a true minus, a comma for the point, a fraction, a percentage.
export function numberOf(words) {
  const text = words.trim().replaceAll("−", "-").replace(",", ".");
  const [, above, below] = /^(-?[\d.]+)\s*\/\s*([\d.]+)$/u.exec(text) ?? [];
  if (above) return Number(above) / Number(below);
  const [, part] = /^(-?[\d.]+)\s*%$/u.exec(text) ?? [];
  if (part) return Number(part) / 100;
  if (/^-?(inf|∞)$/u.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return text === "" ? NaN : Number(text);
}

function exponential(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${trimmed(mantissa)}e${exponent.replace("+", "")}`;
}

const trimmed = (text) => (text.includes("e") ? String(Number(text)) : text.includes(".") ? text.replace(/\.?0+$/, "") : text);
