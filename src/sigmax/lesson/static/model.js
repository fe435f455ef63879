// What a chapter is made of: controls, figures, predictions, claims with their checks, exercises.
//
//   figure: { controls, presets, prints, compute(state) → numbers, python(state, result) → code, about,
//             draw | panels, height, square, formula, readouts }
//       `prints`: the result that the last line of the Python prints; `about`: how far that may be off, where it is not
//       the library's own result to the last bit.
//   prediction: { low, high, step, answer() }
//   claim: { verdict, figure, preset, check() → [measured(formula, value, relation, bound), …] }
//   exercise: { answer(), within } a number, or { options, answer } one of several texts

export const number = (low, high, step, start) => ({ kind: "number", low, high, step, start });
export const numbers = (low, high, step, start, { shortest = start.length, longest = start.length, sliders = true } = {}) => ({ kind: "numbers", low, high, step, start, shortest, longest, sliders });
export const choice = (options, start) => ({ kind: "choice", options, start });
export const toggle = (start) => ({ kind: "switch", start });
export const DTYPE = choice(["float16", "float32", "float64"], "float64");

// The verdicts, in the order of the legend, and the votes that meet each.
export const VERDICTS = { T: ["true"], "T*": ["if"], F: ["false"], N: ["false", "if"], O: ["false", "if"] };
export const VOTES = ["true", "if", "false"];

const RELATIONS = {
  "=": (value, bound) => Object.is(value, bound) || value === bound,
  "≠": (value, bound) => value !== bound,
  "<": (value, bound) => value < bound,
  "≤": (value, bound) => value <= bound,
  ">": (value, bound) => value > bound,
  "≥": (value, bound) => value >= bound,
};

// One line of a check: what was measured, what it came to, and what it must satisfy. A word in quotation marks in the
// formula is the key of a text of the claim.
export const measured = (of, value, relation, bound) => ({ of, value, relation, bound, holds: RELATIONS[relation](value, bound) });

export const startOf = ({ controls }) => Object.fromEntries(Object.entries(controls).map(([name, { start }]) => [name, start]));

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Computed once for each argument.
export function cached(compute) {
  const kept = new Map();
  return (...given) => {
    const key = JSON.stringify(given);
    if (!kept.has(key)) {
      if (kept.size > 64) kept.clear();
      kept.set(key, compute(...given));
    }
    return kept.get(key);
  };
}

// Results name_1, name_2, … for formulas and read-outs.
export const numbered = (name, values) => Object.fromEntries(values.map((value, i) => [`${name}_${i + 1}`, value]));
