import { shown } from "../numbers.js";

const ROOM = 44; // pixels: a part is labelled only where the label has room

function drawWritten(plot, _, { p_a, p_b }, words) {
  plot.frame({ x: [0, 2], y: [0, 2], yticks: [], xticks: [0, 0.5, 1, 1.5, 2], grid: false });
  plot.line("one", 1, 0, 1, 2, "ink dashed");
  const rows = [["row_written", p_a, p_a], ["row_mended", p_a, p_b]];
  rows.forEach(([row, first, second], i) => {
    const y = 1.38 - i;
    plot.text(row, 0, y + 0.3, words(row), { cls: "muted", dy: -8 });
    plot.rectangle(`a ${i}`, 0, y - 0.3, first, y + 0.3, "bar v-a");
    plot.rectangle(`b ${i}`, first, y - 0.3, first + second, y + 0.3, "bar v-b");
    const wide = (part) => plot.px(part) - plot.px(0) > ROOM;
    if (wide(first)) plot.text(`first ${i}`, first / 2, y, shown(first, 3), { dy: 5, anchor: "middle", cls: "on-bar strong" });
    if (wide(second)) plot.text(`second ${i}`, first + second / 2, y, shown(second, 3), { dy: 5, anchor: "middle", cls: "on-bar strong" });
  });
}

function drawFed(plot, { fed, a, b }, { x, difference, p_a, xs, ps }) {
  plot.frame({ x: [-10, 10], y: [0, 1], xlabel: "$x$", ylabel: "$p$" });
  plot.region("a", xs, xs.map(() => 0), ps, "v-a");
  plot.region("b", xs, ps, xs.map(() => 1), "v-b");
  plot.curve("cut", xs, ps, "ink thin");
  plot.text("a label", 6.5, 0.5, "σ(x)", { cls: "v-a strong", anchor: "middle", dy: 5 });
  plot.text("b label", -6.5, 0.5, "σ(−x)", { cls: "v-b strong", anchor: "middle", dy: 5 });
  plot.line("difference", difference, 0, difference, 1, "ink dashed");
  plot.line("slice a", x, 0, x, p_a, "v-a thick");
  plot.line("slice b", x, p_a, x, 1, "v-b thick");
  const taken = fed === "difference" ? b : 0;
  plot.marker("here", a - taken, p_a, { label: "x", drag: (at) => ({ a: at + taken }), step: [0.1, 0], cls: "v-x", words: `x = ${shown(x)}, ${shown(p_a)}` });
}

function drawLosses(plot, _, { steps, losses_two, losses_one }, words) {
  plot.frame({ x: [0, steps.length - 1], y: [0.35, 0.8], xlabel: words("step"), ylabel: words("loss") });
  plot.curve("two", steps, losses_two, "v-a thick");
  plot.points("one", steps.filter((i) => i % 2 === 0), losses_one.filter((_loss, i) => i % 2 === 0), "v-b hollow", 3);
}

function drawPaths(plot, _, { path_two, path_one }) {
  plot.frame({ x: [0, 2], y: [-2.7, 0.2], xlabel: "$w₁$", ylabel: "$w₂$" });
  plot.curve("two", path_two[0], path_two[1], "v-a thin");
  plot.points("two step", path_two[0], path_two[1], "v-a", 4);
  plot.points("one step", path_one[0], path_one[1], "v-b hollow", 3);
}

function drawConstant(plot, { c }, { worse, least, cs, firsts, seconds }, words) {
  plot.frame({ x: [-9, 1], y: [0, 1], xlabel: "$c$", ylabel: words("miss") });
  plot.region("worse", cs, cs.map(() => 0), cs.map((_, i) => Math.max(firsts[i], seconds[i])), "muted");
  plot.curve("first", cs, firsts, "v-a");
  plot.curve("second", cs, seconds, "v-b");
  plot.line("least", -9, least, 1, least, "muted thin dashed");
  plot.marker("here", c, worse, { label: words("c"), drag: { x: "c" }, cls: "v-c", words: `c = ${shown(c)}, ${shown(worse)}` });
}

const HIGHEST = 1.5;

function drawValley(plot, { c }, { loss, least, best, cs, losses }, words) {
  plot.frame({ x: [-6, 6], y: [0, HIGHEST], xticks: [-6, -3, 0, 3, 6], xlabel: "$c$", ylabel: words("loss") });
  plot.curve("loss", cs, losses, "ink");
  plot.line("best", best, 0, best, least, "good thick");
  plot.text("best label", best, least, shown(best, 3), { cls: "good strong", anchor: "middle", dy: -18 });
  plot.marker("here", c, Math.min(loss, HIGHEST), { label: words("c"), drag: { x: "c" }, cls: "v-c", words: `c = ${shown(c)}, ${shown(loss)}` });
}

function drawWalk(plot, _, { least, steps, walk }, words) {
  plot.frame({ x: [0, steps.length - 1], y: [0, HIGHEST], xlabel: words("step"), ylabel: words("loss") });
  plot.line("least", 0, least, steps.length - 1, least, "good dashed");
  plot.curve("walk", steps, walk, "v-c");
}

export default (page) => {
  page.text("start");
  page.formula("p_a = 1/(1+e^(-(a-b))) ; p_b = 1/(1+e^(-(a-b)))");
  page.predict("total_of_both");
  page.figure("written", {
    draw: drawWritten,
    height: 250,
    formula: "σ({a}-{b}) + σ({a}-{b}) = {total_written} ; σ({a}-{b}) + σ({b}-{a}) = {total}",
    readouts: ["p_a", "p_b", "total_written", "total"],
  });
  page.claims("for_both");

  page.heading("one_enough");
  page.text("one_enough_text");
  page.figure("fed", {
    draw: drawFed,
    formula: "softmax([{x}, 0]) = [σ({x}), σ(-{x})] ; = [{p_a}, {p_b}]",
    readouts: ["x", "p_a", "p_b", "total", "wanted v-a"],
  });
  page.claims("feed_difference");

  page.heading("learn");
  page.text("learn_text");
  page.formula("a-b = (w_a-w_b)·h + (c_a-c_b)");
  page.text("learn_more");
  page.predict("faster");
  page.figure("training", {
    panels: [{ height: 320, draw: drawLosses }, { height: 320, draw: drawPaths }],
    readouts: ["loss_two v-a", "loss_one v-b", "gap"],
  });
  page.claims("learns_normalisation");

  page.heading("bias_heading");
  page.text("bias_text");
  page.figure("constant", {
    draw: drawConstant,
    formula: "|σ(2+{c}) − σ(2-2)| = {first} ; |σ(4+{c}) − σ(4-{b})| = {second}",
    readouts: ["first v-a", "second v-b", "worse", "least"],
  });
  page.claims("bias_minus_b");
  page.text("prior_text");
  page.predict("best_bias");
  page.figure("first_loss", {
    panels: [{ height: 320, draw: drawValley }, { height: 320, draw: drawWalk }],
    formula: "p = σ({c}) ; logit({prior}) = {best}",
    readouts: ["loss", "least", "best good"],
  });
  page.claims("bias_of_prior");
  page.text("onwards");
};
