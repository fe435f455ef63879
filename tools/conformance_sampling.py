"""Write docs/conformance_sampling.md: what llama.cpp, Transformers and vLLM keep, row by row beside ours.

    python tools/conformance_sampling.py [--rows 100000]

Transformers is also asked itself, if it is installed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import sigmax

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
import decoders  # noqa: E402

NAMES = {"llama.cpp": "llama.cpp", "transformers": "Transformers", "vllm": "vLLM"}


def ours(x: Any, options: dict[str, float], decoder: str) -> Any:
    return (
        sigmax.filter_probabilities(x.astype(np.float64), preset=decoder, **options).probabilities
        > 0
    )


def count(decoder: str, rows: int) -> list[int]:
    """Rows, those kept alike, those that differ by float32's rounding, by ties, and by anything else."""
    total = same = rounding = ties = other = 0
    for x, options in decoders.batches(decoder, rows):
        mine = ours(x, options, decoder)
        theirs, wide, together = (
            decoders.kept(decoder, x, options, dtype, joined)
            for dtype, joined in ((np.float32, False), (np.float64, False), (np.float64, True))
        )
        differs = (theirs != mine).any(axis=1)
        by_ties = differs & (wide != together).any(axis=1)
        unexplained = (together != mine).any(axis=1)
        total += len(x)
        same += int((~differs).sum())
        ties += int(by_ties.sum())
        rounding += int((differs & ~by_ties & ~unexplained).sum())
        other += int(unexplained.sum())
    return [total, same, rounding, ties, other]


def transformers_itself(rows: int) -> list[Any] | None:
    """The same rows through the package's own classes."""
    try:
        import torch
        import transformers
        from transformers.generation import logits_process as classes
    except ImportError:
        return None
    warpers = {
        "temperature": classes.TemperatureLogitsWarper,
        "top_k": classes.TopKLogitsWarper,
        "top_p": classes.TopPLogitsWarper,
        "min_p": classes.MinPLogitsWarper,
        "typical_p": classes.TypicalLogitsWarper,
        "epsilon": classes.EpsilonLogitsWarper,
    }
    same = as_written = total = 0
    for x, options in decoders.batches("transformers", rows):
        scores = torch.from_numpy(x)
        for name in decoders.DECODERS["transformers"]:
            if name in options:
                value = options[name]
                scores = warpers[name](int(value) if name == "top_k" else float(value))(
                    None, scores
                )
        kept = (scores > -torch.inf).numpy()
        total += len(x)
        same += int((kept == ours(x, options, "transformers")).all(axis=1).sum())
        written = decoders.kept("transformers", x, options, np.float32, False)
        as_written += int((kept == written).all(axis=1).sum())
    return [transformers.__version__, total, same, as_written]


PAGE = """# Conformance of truncation

What llama.cpp, Transformers and vLLM keep, beside `filter_probabilities(…, preset=…)`, on random rows of {classes} float32
logits with random options, half of the rows rounded so that many logits are equal. Their arithmetic is written down
independently in `tests/support/decoders.py`, step by step as they document it. Written by `python tools/conformance_sampling.py`.

| program | rows | kept alike | differ: float32 rounds | differ: ties | differ: anything else |
|---|---:|---:|---:|---:|---:|
{table}

{itself}

## Where sigmax differs

| case | here | there | why |
|---|---|---|---|
| equal logits at the end of `top_k` (llama.cpp), `top_p` and `typical_p` | stay together | the sort decides which of them stay, in vLLM and Transformers in `top_p` too | the set would depend on positions, and on the batch where the sort does |
| a sum of probabilities within float32's rounding of p (none of these rows; more in wide ones) | exact arithmetic on the given logits | cumulative sums of rounded probabilities, of logits rounded after the division by T | the set would depend on the order of additions |
| `typical_p` where the mass is reached exactly | stops there | llama.cpp goes on until it is exceeded | it happens with equal logits only; Transformers stops |
| `top_k=0`, −1 | `ValueError` | no truncation | leave it out; per row: k ≥ C |
| temperature 0 | `ValueError` | the winner | `top_k=1`, or the winner itself |
| `min_keep`, `min_tokens_to_keep` | none | at least so many are kept | the winner is kept always |
| xtc, dry, penalties, mirostat, top-h, eta | none | | they need history or random bits of their own: a mask (`where`) serves |

llama.cpp's default chain has the temperature last, Transformers and vLLM have it first: with the same numbers they keep
different sets ([example](reference/sampling.md#what-happens-in-which-order)).
"""  # noqa: E501


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    lines = []
    for decoder, name in NAMES.items():
        numbers = count(decoder, rows)
        lines.append(f"| {name} | " + " | ".join(f"{n:,}" for n in numbers) + " |")
        print(lines[-1], flush=True)
    found = transformers_itself(rows)
    itself = "Transformers itself was not installed."
    if found:
        version, total, same, written = found
        itself = (
            f"Transformers {version} itself, through its own classes: {same:,} of {total:,} rows are kept as here,\n"
            f"{written:,} as its arithmetic is written down in the tests; the others differ by the order of its\n"
            "sort and of its sums."
        )
    page = PAGE.format(classes=decoders.CLASSES, table="\n".join(lines), itself=itself)
    (ROOT / "docs" / "conformance_sampling.md").write_text(page)


if __name__ == "__main__":
    main()
