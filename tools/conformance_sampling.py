"""Write docs/results/conformance_sampling.json: what llama.cpp, Transformers and vLLM keep, row by row beside ours.

    python tools/conformance_sampling.py [--rows 100000]

Transformers is also asked itself, if it is installed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import results
import sigmax

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
import decoders  # noqa: E402

COUNTED = ("rows", "kept alike", "differ: float32 rounds", "differ: ties", "differ: anything else")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    table = {
        "title": "",
        "columns": {"program": ""} | dict.fromkeys(COUNTED, ",d"),
        "rows": [[name, *count(decoder, rows)] for decoder, name in NAMES.items()],
    }
    found = transformers_itself(rows)
    note = "Transformers itself was not installed."
    if found:
        version, total, same, written = found
        note = (
            f"Transformers {version} itself, through its own classes: {same:,} of {total:,} rows are kept as here, "
            f"{written:,} as its arithmetic is written down in the tests; the others differ by the order of its "
            "sort and of its sums."
        )
    content = results.provenance() | {"note": note, "tables": [table]}
    print(results.page(content))
    results.write(ROOT / "docs/results/conformance_sampling.json", content)


if __name__ == "__main__":
    main()
