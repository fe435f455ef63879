import { shown } from "../numbers.js";

const SYMBOLS = { raw: ["{left}", "{right}"], square: ["{left}^2", "{right}^2"], softplus: ["softplus({left})", "softplus({right})"], power: ["2^{left}", "2^{right}"], exp: ["e^{left}", "e^{right}"] };

function drawShifted(plot, { shift }, { shifts, shares, R, unmoved }, words) {
  plot.frame({ x: [-8, 8], y: [-0.6, 1.6], xlabel: words("shift"), ylabel: "$R$" });
  plot.rectangle("legal", -8, 0, 8, 1, "good");
  plot.line("unmoved", -8, unmoved, 8, unmoved, "muted thin dashed");
  // A pole is a jump across the whole figure: lift the pen there.
  plot.curve("share", shifts, shares.map((share, i) => (i && Math.abs(share - shares[i - 1]) > 1 ? NaN : share)), "v-R");
  plot.marker("here", shift, R, { label: words("shift"), drag: { x: "shift" }, cls: "v-R" });
}

function drawLopsided(plot, { a, b }, { curve_a, curve_b }, words) {
  plot.frame({ x: [0, 3], y: [0, 3], xlabel: "$a$", ylabel: "$b$" });
  plot.polygon("less", [0, 0, ...curve_a, 4], [0, 4, ...curve_b, 0], "muted");
  plot.curve("border", curve_a, curve_b, "ink");
  plot.line("equal", 0, 0, 3, 3, "muted thin dashed");
  plot.text("more", 2.2, 2.6, words("more"), { anchor: "middle" });
  plot.text("less label", 0.55, 0.22, words("less"), { anchor: "middle" });
  plot.line("down", a, 0, a, b, "v-a thin dashed");
  plot.line("across", 0, b, a, b, "v-b thin dashed");
  plot.marker("pair", a, b, { label: "a, b", drag: { x: "a", y: "b" }, cls: "v-R" });
}

function drawExponential(plot, { x_i, x_j }, { xs, exps, e_i, e_j }) {
  plot.frame({ x: [-5, 3.5], y: [0, 35], xlabel: "$x$", ylabel: "$eˣ$" });
  plot.curve("exp", xs, exps, "ink");
  for (const [name, x, e] of [["i", x_i, e_i], ["j", x_j, e_j]]) {
    plot.line(`up ${name}`, x, 0, x, e, `v-x_${name} thin`);
    plot.line(`across ${name}`, -5, e, x, e, `v-x_${name} thin`);
  }
  plot.marker("i", x_i, 0, { label: "xᵢ", drag: { x: "x_i" }, cls: "v-x_i" });
  plot.marker("j", x_j, 0, { label: "xⱼ", drag: { x: "x_j" }, cls: "v-x_j" });
}

function drawDifferences(plot, _, { before, between, after }, words) {
  const heights = [before, between, after];
  const names = ["before", "between", "after"].map((name, i) => ({ value: i, words: words(`bar_${name}`) }));
  const highest = Math.max(1.2, ...heights) * 1.15;
  plot.frame({ x: [-0.6, 2.6], y: [0, highest], xticks: names, grid: false });
  plot.bars("difference", [0, 1, 2], heights, { cls: ["v-x", "v-g", "v-p"] });
  heights.forEach((height, i) => plot.text(`value ${i}`, i, height, shown(height, 3), { anchor: "middle", dy: -8 }));
}

export default (page) => {
  page.text("start");
  page.formula("R = a/(a+b)");
  page.text("ratio");
  page.claims("ratio_and_share", "any_two_numbers");

  page.heading("why");
  page.text("positive");
  page.formula("R = g(a)/(g(a)+g(b))");
  page.predict("after_shift");
  page.figure("shifted", {
    draw: drawShifted,
    formula: ({ g }) => { const [a, b] = SYMBOLS[g]; return `R = ${a}/(${a} + ${b}) = {R}`; },
    readouts: ["R", "unmoved"],
  });
  page.text("proof");
  page.claims("only_exp");

  page.heading("myths");
  page.text("myth_ratio");
  page.predict("after_exp");
  page.figure("lopsided", {
    draw: drawLopsided,
    height: 400,
    formula: "{a}/{b} = {ratio} ; e^{a}/e^{b} = {ratio_exp}",
    readouts: ["ratio", "ratio_exp", "mean"],
  });
  page.claims("more_lopsided");
  page.text("myth_difference");
  page.figure("widening", {
    panels: [{ height: 320, draw: drawExponential }, { height: 320, draw: drawDifferences }],
    formula: "p_i/p_j = e^({x_i} − {x_j}) = {ratio}",
    readouts: ["before", "between", "after", "ratio"],
  });
  page.claims("widens", "differences_into_ratios");
};
