"""Simulate how often the intervals of rankings, decisions, sets, fits and slices hold the truth.

The truth of a number is that of 200,000 other rows of the same made-up model.

    python tools/simulate_intervals.py                    # 400 samples of each size, on the terminal
    python tools/simulate_intervals.py --page docs/numerics/calibration.md    # and the table of the page
"""

import argparse
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

import sigmax

ROWS = (100, 300, 1000)
POPULATION = 200_000
SCALE, BIAS = 0.6, -0.5


def questions(rng, count):
    x = rng.normal(size=count) * 2 - 0.5
    return x, (rng.random(count) < sigmax.sigmoid(SCALE * x + BIAS)).astype(int)


def classes(rng, count):
    x = rng.normal(size=(count, 5)) * 2
    return x, (0.7 * x + rng.gumbel(size=x.shape)).argmax(axis=1)


def binary_numbers(x, y):
    e = sigmax.evaluate_binary(x, y)
    names = (
        "roc_auc", "average_precision", "base_rate", "accuracy", "precision", "recall", "f1", "ece"
    )  # fmt: skip
    return {name: getattr(e, name) for name in names}


def decisions(x, y):
    curve = sigmax.risk_coverage(x, y)
    return {
        "AURC": curve.aurc,
        "area of right and wrong": curve.auroc,
        "accuracy at 50 %": curve.accuracy_at(0.5),
        "coverage at 60 %": curve.coverage_at(0.6),
    }


def slices(x, y):
    (whole,) = sigmax.evaluate_by(x, y, np.zeros(len(y), int))
    return {"gap of a slice": whole.gap, "NLL of a slice": whole.nll}


def platt(x, y):
    fit = sigmax.fit_platt(x, y)
    return {"Platt's scale": fit.scale_interval, "Platt's bias": fit.bias_interval}


def chosen(rng, count):
    """Return a threshold, and the interval of its cost on rows that did not choose it."""
    found = sigmax.choose_threshold(*questions(rng, count), goal="cost", costs=(1, 3))
    return found.threshold, found.scores["cost"].interval


def simulate(runs, seed):
    held = defaultdict(lambda: defaultdict(list))
    makers = ((questions, binary_numbers), (classes, decisions), (classes, slices))
    for data, numbers in makers:
        truth = numbers(*data(np.random.default_rng([seed, 0]), POPULATION))
        for rows in ROWS:
            for run in range(runs):
                rng = np.random.default_rng([seed, 1, rows, run])
                for name, estimate in numbers(*data(rng, rows)).items():
                    low, high = estimate.interval
                    held[name][rows].append(low <= truth[name] <= high)
    of_fit = {"Platt's scale": SCALE, "Platt's bias": BIAS}
    x, y = questions(np.random.default_rng([seed, 2]), POPULATION)
    p = sigmax.sigmoid(x)
    for rows in ROWS:
        for run in range(runs):
            rng = np.random.default_rng([seed, 3, rows, run])
            for name, (low, high) in platt(*questions(rng, rows)).items():
                held[name][rows].append(low <= of_fit[name] <= high)
            threshold, (low, high) = chosen(rng, rows)
            yes = p >= threshold
            cost = (yes & (y == 0)).mean() + 3 * (~yes & (y == 1)).mean()
            held["cost of a threshold"][rows].append(low <= cost <= high)
            sets = sigmax.conformal_sets(*classes(rng, rows))
            new = sets.measure(*classes(rng, rows))
            again = sets.measure(*classes(rng, 20_000))
            for name in ("coverage", "size"):
                low, high = getattr(new, name).interval
                held[f"{name} of sets"][rows].append(low <= getattr(again, name) <= high)
    return held


def table(held, runs):
    lines = [
        f"{runs} samples of each size; shares of the 95 % intervals that hold the truth:",
        "",
        "| number | " + " | ".join(f"{rows:,} rows" for rows in ROWS) + " | all |",
        "|---|" + "---:|" * (len(ROWS) + 1),
    ]
    for name, by_rows in held.items():
        shares = [np.mean(by_rows[rows]) for rows in ROWS]
        cells = [f"{share:.1%}" for share in (*shares, np.mean(shares))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="put the table between the marks of this page")
    arguments = parser.parse_args()
    text = table(simulate(arguments.runs, arguments.seed), arguments.runs)
    print(text)
    if arguments.page:
        page = arguments.page.read_text()
        marks = "<!-- simulate_intervals -->\n{}<!-- end -->"
        pattern = re.escape(marks).replace(r"\{\}", ".*?")
        arguments.page.write_text(
            re.sub(pattern, lambda _: marks.format(f"\n{text}\n\n"), page, flags=re.DOTALL)
        )


if __name__ == "__main__":
    main()
