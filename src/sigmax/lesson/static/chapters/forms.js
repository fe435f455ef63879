import { shown } from "../numbers.js";

const FORMS = { first: "v-a", second: "v-b", tanh: "v-k", library: "v-p" };
const LOWEST = { float16: 1e-5, float32: 1e-9, float64: 1e-17 };

function drawDividing(plot, _, { e_a, e_b, e_x, e_minus, p }) {
  plot.frame({ x: [0, 1], y: [0, 3], yticks: [], grid: false });
  const rows = [["eᵃ", e_a, "eᵇ", e_b], ["eˣ", e_x, "1", 1], ["1", 1, "e⁻ˣ", e_minus]];
  rows.forEach(([left, first, right, second], i) => {
    const y = 2.5 - i;
    plot.rectangle(`left ${i}`, 0, y - 0.3, p, y + 0.3, "bar v-a");
    plot.rectangle(`right ${i}`, p, y - 0.3, 1, y + 0.3, "bar v-b");
    const words = (name, value) => (name === "1" ? "1" : `${name} = ${shown(value, 4)}`);
    plot.text(`left label ${i}`, 0, y, words(left, first), { dx: 12, dy: 5, cls: "on-bar strong" });
    plot.text(`right label ${i}`, 1, y, words(right, second), { dx: -12, dy: 5, anchor: "end", cls: "on-bar strong" });
  });
  plot.line("cut", p, 0, p, 3, "v-p thick");
}

function drawErrors(plot, { x, dtype }, { widest, curves, ...result }, words) {
  const lowest = LOWEST[dtype];
  plot.frame({ x: [-widest, widest], y: [lowest, 30], ylog: true, xlabel: "$x$", ylabel: words("error") });
  const broken = curves.first.findIndex(Number.isNaN);
  plot.rectangle("nan", curves.xs[broken], lowest, widest, 30, "bad");
  plot.text("nan label", widest, 30, "nan", { cls: "bad strong", anchor: "end", dx: -3, dy: 18 });
  // In float64 the library is what the others are measured against.
  for (const [form, cls] of Object.entries(FORMS)) if (form !== "library" || dtype !== "float64") plot.curve(form, curves.xs, curves[form], cls);
  plot.text("tanh label", -0.45 * widest, 1, "tanh", { cls: "v-k", anchor: "middle", dy: -8 });
  plot.marker("here", Math.min(Math.max(x, -widest), widest), lowest, { label: "x", drag: (at) => ({ x: at }), step: [0.5, 0.5], cls: "v-x", words: shown(x) });
}

export default (page) => {
  page.text("start");
  page.formula("e^a/(e^a+e^b) = e^(a-b)/(e^(a-b)+1) ; = e^x/(e^x+1) = 1/(1+e^(-x)) = σ(x)");
  page.text("two_to_one");
  page.figure("dividing", {
    draw: drawDividing,
    height: 240,
    formula: "e^{a}/(e^{a}+e^{b}) = e^{x}/(e^{x}+1) ; = 1/(1+e^(-{x})) = {p}",
    readouts: ["x", "p"],
  });
  page.claims("same_function");

  page.heading("floats");
  page.text("overflow");
  page.predict("breaks_at");
  page.figure("errors", {
    draw: drawErrors,
    height: 380,
    readouts: ["first_at v-a", "second_at v-b", "tanh_at v-k", "library_at v-p"],
  });
  page.claims("interchangeable", "tanh_is_safe", "two_branches");
};
