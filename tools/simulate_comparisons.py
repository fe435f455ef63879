"""Simulate comparisons: how often the intervals of `sigmax.compare` hold the truth, of rows and of documents.

A made-up model is compared with itself plus noise, whose size differs from row to row, or from document to document.
The truth is that of 2,000,000 rows.

    python tools/simulate_comparisons.py --runs 1000
    python tools/simulate_comparisons.py --runs 1000 --page docs/reference/comparison.md     # and the table of the page
"""

import argparse
import functools
import re
from pathlib import Path

import numpy as np

import sigmax

ROWS = (
    (200, None),
    (1000, None),
    (5000, None),
    (600, 30),
    (2000, 100),
    (6000, 300),
)  # rows, documents
NUMBERS = {
    "KL": lambda c: c.kl.mean,
    "reversed": lambda c: c.reverse_kl.mean,
    "same winner": lambda c: c.agreement,
    "perplexity ratio": lambda c: c.perplexity["ratio"],
    "broken": lambda c: c.broken,
    "accuracy change": lambda c: c.difference["accuracy"],
    "Brier change": lambda c: c.difference["brier"],
}
POPULATION = 2_000_000


def sample(rng, rows, documents):
    """Return logits of both, labels and documents."""
    groups = np.arange(rows) if documents is None else np.arange(rows) // (rows // documents)
    size = np.exp(0.4 * rng.normal(size=(groups[-1] + 1, 1)))[groups]
    shift = 0.3 * rng.normal(size=(groups[-1] + 1, 5))[groups]
    base = 2 * rng.normal(size=(rows, 5)) + shift
    other = base + 0.5 * size * rng.normal(size=base.shape) + 0.3 * shift
    labels = (base + rng.gumbel(size=base.shape)).argmax(axis=1)
    return base, other, labels, groups


@functools.cache
def truth(per, seed):
    """Return the numbers of very many rows, so many to a document."""
    documents = None if per == 1 else POPULATION // per
    base, other, labels, _ = sample(np.random.default_rng(seed), POPULATION, documents)
    whole = sigmax.compare(base, other, labels, resamples=1)
    return {name: float(of(whole)) for name, of in NUMBERS.items()}


def coverage(rows, documents, runs, seed):
    """Return how often each interval holds the truth."""
    whole = truth(1 if documents is None else rows // documents, seed)
    held = dict.fromkeys(NUMBERS, 0)
    for run in range(runs):
        rng = np.random.default_rng([seed, rows, documents or 0, run])
        base, other, labels, groups = sample(rng, rows, documents)
        result = sigmax.compare(
            base, other, labels, groups=None if documents is None else groups, seed=run
        )
        for name, of in NUMBERS.items():
            low, high = of(result).interval
            held[name] += low <= whole[name] <= high
    return {name: count / runs for name, count in held.items()}


def table(runs, seed):
    lines = [f"| rows | {' | '.join(NUMBERS)} |", f"|{'---|' * (len(NUMBERS) + 1)}"]
    for rows, documents in ROWS:
        what = f"{rows:,}" + (f" of {documents} documents" if documents else "")
        shares = coverage(rows, documents, runs, seed).values()
        lines.append(f"| {what} | {' | '.join(f'{100 * x:.1f} %' for x in shares)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    text = table(arguments.runs, arguments.seed)
    if arguments.page:
        page = arguments.page.read_text()
        found = re.compile(r"(<!-- coverage -->\n).*?(\n<!-- end -->)", re.DOTALL)
        arguments.page.write_text(found.sub(lambda m: m[1] + text + m[2], page))


if __name__ == "__main__":
    main()
