// What the tests ask of a page of the lesson: `run(page, "name", argument)` in lesson_pages.py calls these.

const module = (name) => import(document.querySelector("script[type=module]").src.replace("main.js", name));
const chapterOf = async (name) => (await module(`chapters/${name}.js`)).default;

// Only what JSON can hold: figures, predictions, claims and exercises without their functions.
async function describe(names) {
  const found = {};
  for (const name of names) {
    const chapter = await chapterOf(name);
    const claims = Object.entries(chapter.claims).map(([key, { verdict, figure, preset, check }]) => {
      const formulas = check().map(({ of }) => of).join();
      return [key, { verdict, figure, preset, words: [...formulas.matchAll(/"([^"]+)"/g)].map(([, word]) => word) }];
    });
    found[name] = JSON.parse(JSON.stringify({ ...chapter, claims: Object.fromEntries(claims) }));
  }
  return found;
}

// Sets the controls of figures as a hand would, and returns what they then show.
async function show([chapter, wanted]) {
  const { figures } = await chapterOf(chapter);
  const special = (_, value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value);
  return wanted.map(([name, preset, changes]) => {
    const figure = document.getElementById(name);
    const controls = (control) => [...figure.querySelectorAll(`[data-control="${control}"], [data-control^="${control}."]`)];
    figure.querySelector(preset ? `[data-preset="${preset}"]` : ".reset").click();
    for (const [control, value] of Object.entries(changes)) {
      [value].flat().forEach((each, i) => {
        const input = controls(control).find((one, at) => (one.type === "radio" ? one.value === each : at === i));
        if (input?.type === "range") {
          input.value = each;
          input.dispatchEvent(new InputEvent("input"));
        } else if (input && input.checked !== (each !== false)) input.click();
      });
    }
    const { controls: described, presets, prints, compute, about } = figures[name];
    const state = Object.fromEntries(Object.entries(described).map(([control, { kind, start }]) => {
      const inputs = controls(control);
      if (!inputs.length) return [control, presets[preset]?.[control] ?? start];
      if (kind === "choice") return [control, inputs.find((input) => input.checked).value];
      if (kind === "switch") return [control, inputs[0].checked];
      return [control, kind === "numbers" ? inputs.map((input) => Number(input.value)) : Number(inputs[0].value)];
    }));
    const result = compute(state);
    const readouts = [...figure.querySelectorAll("[data-readout]")].map(({ dataset, textContent }) => [dataset.readout, dataset.value, textContent, result[dataset.readout]]);
    const python = figure.querySelector("pre").textContent;
    return JSON.stringify({ name, state, printed: [result[prints]].flat(), about: about ?? 0, readouts, python }, special);
  });
}

// The lines of every check, and whether they hold.
async function checks(names) {
  const found = {};
  for (const name of names) {
    for (const [key, { check }] of Object.entries((await chapterOf(name)).claims)) {
      try {
        found[`${name}.${key}`] = check().map(({ of, value, relation, bound, holds }) => [of, String(value), relation, String(bound), holds]);
      } catch (error) {
        found[`${name}.${key}`] = [[String(error), "", "", "", false]];
      }
    }
  }
  return found;
}

// Texts of plots that lie on each other, or stick out.
function overlaps() {
  const found = [];
  for (const plot of document.querySelectorAll(".figure svg.plot")) {
    const outer = plot.getBoundingClientRect();
    const texts = [...plot.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([words, box], i) => {
      const beside = box.left < outer.left - 2 || box.right > outer.right + 14;
      if (beside || box.top < outer.top - 2 || box.bottom > outer.bottom + 2) found.push(`outside: ${words}`);
      for (const [other, second] of texts.slice(i + 1)) {
        const across = Math.min(box.right, second.right) - Math.max(box.left, second.left);
        const down = Math.min(box.bottom, second.bottom) - Math.max(box.top, second.top);
        if (across > 1 && down > 3) found.push(`${words} on ${other} (${plot.closest("figure").id})`);
      }
    });
  }
  return found;
}

// The keys of the ids that stand twice.
const idsTwice = () => [...document.querySelectorAll("[id]")].map(({ id }) => id).filter((id, i, all) => all.indexOf(id) !== i);

// How wide the page is, and how wide the screen.
const widths = () => [document.documentElement.scrollWidth, document.documentElement.clientWidth];

// Names and counts of road.js.
const road = async () => (await module("road.js")).ROAD.map(({ name, claims }) => [name, claims]);

// A formula as MathML: its text, or its markup on a line of its own.
async function formula([source, values, block]) {
  const made = (await module("formula.js")).formula(source, { block });
  made.update(values);
  return block ? made.element.innerHTML : made.element.textContent;
}

// The four results of chapter 9 for each list of logits.
async function cells(rows) {
  const { compute } = (await chapterOf("frameworks")).figures.switches;
  return rows.map((x) => compute({ softmax: true, from_logits: false, x }).cells);
}

// How many of the elements of a selector can be seen.
const visible = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility()).length;

// Where the focus is among the elements of a selector.
const focused = (selector) => [...document.querySelectorAll(selector)].indexOf(document.activeElement);

// How many files are kept for when there is no network.
async function kept() {
  const caches_ = await Promise.all((await caches.keys()).map((key) => caches.open(key)));
  return (await Promise.all(caches_.map((cache) => cache.keys()))).flat().length;
}
