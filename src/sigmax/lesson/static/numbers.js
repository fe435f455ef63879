// Numbers as they travel (nan and inf are strings) and as they are read.

const SPECIAL = { nan: NaN, inf: Infinity, "-inf": -Infinity };

// From JSON: every "nan", "inf" and "-inf" becomes the number.
export const received = (text) => JSON.parse(text, (_, value) => (typeof value === "string" && Object.hasOwn(SPECIAL, value) ? SPECIAL[value] : value));

// To JSON, and to Python: the words that float() reads.
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

function exponential(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${trimmed(mantissa)}e${exponent.replace("+", "")}`;
}

const trimmed = (text) => (text.includes("e") ? String(Number(text)) : text.includes(".") ? text.replace(/\.?0+$/, "") : text);
