"""Simulate reports: how often a verdict on an honest model is wrong, and how often intervals hold the truth.

The truth of a made-up model is known: its labels are drawn from softmax(logits / T), T = 1 for an honest one. Accuracy,
losses and calibration error of all its rows come from 50,000 of them, with the true probabilities in place of labels.

    python tools/simulate_verdicts.py                     # 1,000 honest models, 1,000 others, on the terminal
    python tools/simulate_verdicts.py --page docs/numerics/calibration.md     # and the tables of the page
"""

import argparse
import math
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

import sigmax
from sigmax.files.inputs import Inputs
from sigmax.report import study as making
from sigmax.report.study import Choices, study

making._temperature_curve = lambda *_: None  # what no verdict looks at takes a third of the time
making.per_class = lambda *_: None
making.parts = lambda *_: None

ROWS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 20000)
TEMPERATURES = (0.4, 0.7, 1.3, 2.0, 3.0)
POPULATION = 50_000


class Model:
    """Rows of logits and the true probabilities of their labels."""

    def __init__(self, rng, temperature):
        self.classes = int(rng.choice([2, 3, 5, 10, 30]))
        self.spread = float(np.exp(rng.uniform(math.log(0.5), math.log(4))))
        self.prior = rng.normal(size=self.classes) * rng.choice([0.0, 1.0])
        self.temperature = temperature

    def rows(self, rng, count):
        z = rng.normal(size=(count, self.classes)) * self.spread + self.prior
        return z * self.temperature, sigmax.softmax(z)

    def inputs(self, rng, count):
        logits, truth = self.rows(rng, count)
        labels = (
            truth.cumsum(axis=1) > rng.random((count, 1)) * truth.sum(axis=1, keepdims=True)
        ).argmax(axis=1)
        return Inputs(logits, labels, None, tuple(map(str, range(self.classes))), (), (count,))


def report(model, rng, count, method="temperature"):
    return study(model.inputs(rng, count), Choices(method=method, seed=int(rng.integers(2**31))))


# ---------------------------------------------------------------- honest models


def honest_models(runs, seed):
    """Return the verdicts by number of rows, and the changes of those that say better or worse."""
    verdicts, changes = defaultdict(Counter), []
    for run in runs:
        rng = np.random.default_rng([seed, run])
        rows, method = ROWS[run % len(ROWS)], ("temperature", "vector")[run % 10 == 0]
        result = report(Model(rng, 1.0), rng, rows, method)
        key = result["verdict"]["key"]
        verdicts[rows][key] += 1
        if key in ("better", "worse", "mixed"):
            of = {name: result["difference"][name]["value"] for name in ("nll", "ece")}
            changes.append(
                (rows, method, key, of["nll"] / result["before"]["nll"]["value"], of["ece"])
            )
    return verdicts, changes


# ---------------------------------------------------------------- models that are not


def truth_of(logits, true, temperature):
    """Return the numbers of all rows, from their true probabilities."""
    n, p = np.arange(len(logits)), sigmax.softmax(logits, temperature=temperature)
    log_p = sigmax.log_softmax(logits, temperature=temperature)
    return {
        "accuracy": true[n, logits.argmax(axis=1)].mean(),
        "nll": -(true * log_p).sum(axis=1).mean(),
        "brier": ((p**2).sum(axis=1) - 2 * (p * true).sum(axis=1) + 1).mean(),
        "ece": sigmax.calibration_error(logits, true, temperature=temperature),
    }


def other_models(runs, seed):
    """Return for each number of rows and each interval how often it held the truth."""
    held = defaultdict(lambda: defaultdict(list))
    for run in runs:
        rng = np.random.default_rng([seed, 1, run])
        rows = ROWS[run % len(ROWS)]
        model = Model(rng, TEMPERATURES[run // len(ROWS) % len(TEMPERATURES)])
        result = report(model, rng, rows)
        logits, true = model.rows(np.random.default_rng([seed, 2, run]), POPULATION)
        before = truth_of(logits, true, 1.0)
        note(held[rows], result["before"], before, "{}")
        if result["after"] is None:
            continue
        fitted = result["fit"]["temperature"]
        after = truth_of(logits, true, fitted)
        note(held[rows], result["after"], after, "{} after")
        difference = {name: after[name] - before[name] for name in ("nll", "brier", "ece")}
        note(held[rows], result["difference"], difference, "change of {}")
        held[rows]["temperature"].append(holds(result["fit"]["interval"], model.temperature))
    return held


def note(held, numbers, truth, words):
    for name, value in truth.items():
        held[words.format(name)].append(holds(numbers[name]["interval"], value))


def holds(interval, value):
    low, high = (
        math.inf * sign if x is None else x for x, sign in zip(interval, (-1, 1), strict=True)
    )
    return low - 1e-12 <= value <= high + 1e-12


# ---------------------------------------------------------------- tables


def table_of_verdicts(verdicts, changes):
    runs = sum(of.total() for of in verdicts.values())
    keys = sorted({key for of in verdicts.values() for key in of})
    lines = [
        f"{runs:,} honest models (T = 1), 2 to 30 classes; reports by number of rows and verdict:",
        "",
        "| rows | " + " | ".join(f"`{key}`" for key in keys) + " |",
        "|---:|" + "---:|" * len(keys),
    ]
    lines += [
        f"| {rows:,} | " + " | ".join(str(verdicts[rows][key]) for key in keys) + " |"
        for rows in ROWS
    ]
    wrong = len(changes)
    least = min(
        (max(abs(nll) / 0.01, abs(ece) / 0.005) for *_, nll, ece in changes), default=math.nan
    )
    size = f", the least of them {least:.1f} times what is worth having" if wrong else ""
    lines += [
        "",
        f"{wrong} of {runs:,} say that calibration changes something ({wrong / runs:.1%}){size}.",
    ]
    return "\n".join(lines)


def table_of_intervals(held):
    runs = sum(len(of["nll"]) for of in held.values())
    names = [
        "temperature", "accuracy", "nll", "brier", "ece", "nll after", "brier after", "ece after", "change of nll",
        "change of brier", "change of ece",
    ]  # fmt: skip
    lines = [
        f"{runs:,} other models (T = {', '.join(map(str, TEMPERATURES))}); 95 % intervals that hold the truth:",
        "",
        "| rows | " + " | ".join(names) + " |",
        "|---:|" + "---:|" * len(names),
    ]
    for rows in (*ROWS, None):
        of = [
            held[rows][name] if rows else [x for r in ROWS if r >= 100 for x in held[r][name]]
            for name in names
        ]
        shares = [f"{np.mean(x):.1%}" if x else "–" for x in of]
        lines.append(f"| {f'{rows:,}' if rows else '100 and more'} | " + " | ".join(shares) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="put the tables between the marks of this page")
    arguments = parser.parse_args()
    runs = range(arguments.runs)
    text = "\n\n".join(
        [
            table_of_verdicts(*honest_models(runs, arguments.seed)),
            table_of_intervals(other_models(runs, arguments.seed)),
        ]
    )
    print(text)
    if arguments.page:
        page = arguments.page.read_text()
        marks = "<!-- simulate_verdicts -->\n{}<!-- end -->"
        pattern = re.escape(marks).replace(r"\{\}", ".*?")
        arguments.page.write_text(
            re.sub(pattern, lambda _: marks.format(f"\n{text}\n\n"), page, flags=re.DOTALL)
        )


if __name__ == "__main__":
    main()
