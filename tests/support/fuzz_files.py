"""Mutate files of logits and labels, and calibrations, and read them: each is read, or refused in a sentence.

No other exception, no crash, no hang, no exit code but 0 and 1. A failure prints the seed that makes it again.

    python tests/support/fuzz_files.py --mutations 100000 --seed 0
"""

import argparse
import faulthandler
import io
import json
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from typer.testing import CliRunner

from sigmax.cli import calibration_file
from sigmax.cli.commands import app
from sigmax.files.errors import DataError
from sigmax.files.find import Options
from sigmax.files.inputs import read_inputs
from sigmax.files.opening import table_of

SECONDS = 20  # that one file may take
COMMANDS = 200  # of so many files one goes through the command line too
TEXTS = [
    b"", b",", b";", b"\t", b"|", b"\n", b"\r\n", b'"', b'""', b" ", b"nan", b"inf", b"-inf", b"1e999", b"-1", b"1_000",
    b"0", b"99999999999999999999", b"true", b"False", b"label", b"0.5", b"1,5", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xc3", "é".encode(), b"None", b"[1, 2]", b"{}", b"[" * 3000, b"a" * 5000, b"NaN", b"null", b"1.0", b"-0.0",
    b"'descr'", b"'<f8'", b"'|O'", b"'V2'", b"(3,)", b"(1000000000000, 3)", b"(-1, 3)", b"True", b"'U9'", b"'<f2'",
    b"cos\nsystem\n", b"I-1\n", b"tR", b'{"a":1}', b"BF16",
]  # fmt: skip


def originals():
    """Return the bytes of good files by suffix."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(30, 3)) * 3, rng.integers(0, 3, 30)
    names = np.array(["cat", "dog", "eel"])
    files = {}
    for dtype in ("f8", "f4", "f2", "i4", ">f8"):
        file = io.BytesIO()
        np.save(file, logits.astype(dtype))
        files.setdefault(".npy", []).append(file.getvalue())
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, logits=logits, labels=labels)
        files.setdefault(".npz", []).append(file.getvalue())
    columns = {name: logits[:, k] for k, name in enumerate(names)}
    for label in (labels, names[labels]):
        rows = [[*map(repr, map(float, row)), str(y)] for row, y in zip(logits, label, strict=True)]
        for mark in (",", ";", "\t"):
            lines = [mark.join([*names, "label"]), *(mark.join(row) for row in rows)]
            files.setdefault(".csv", []).append("\n".join(lines).encode())
        file = io.BytesIO()
        pa.parquet.write_table(pa.table({**columns, "label": label}), file, row_group_size=11)
        files.setdefault(".parquet", []).append(file.getvalue())
    file = io.BytesIO()
    pa.parquet.write_table(pa.table({"logits": list(map(list, logits)), "label": labels}), file)
    files[".parquet"].append(file.getvalue())
    files[".arrow"] = arrow_files({**columns, "label": names[labels]})
    files[".safetensors"] = [safetensors_file(logits, labels)]
    files[".pt"] = [
        torch_file(logits, labels, kind) for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    ]
    files[".jsonl"] = jsonl_files(logits, names, labels)
    common = {"classes": ["a", "b", "c"], "input": "logits", "normalize": False}
    files[".json"] = [
        json.dumps({**common, "method": "temperature", "temperature": 1.5}).encode(),
        json.dumps(
            {**common, "method": "vector", "scale": [1, 2, 3], "bias": [0, 0.5, 1]}
        ).encode(),
    ]
    return files


def arrow_files(columns):
    table, files = pa.table(columns), []
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        sink = pa.BufferOutputStream()
        with new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=11)
        files.append(sink.getvalue().to_pybytes())
    return files


def safetensors_file(logits, labels):
    entries = {
        "logits": {"dtype": "F64", "shape": [30, 3], "data_offsets": [0, 720]},
        "labels": {"dtype": "I64", "shape": [30], "data_offsets": [720, 960]},
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    return len(header).to_bytes(8, "little") + header + logits.tobytes() + labels.tobytes()


def torch_file(logits, labels, compression):
    """What torch.save writes of a dictionary of two tensors, with the description as text."""

    def tensor(key, of_type, shape, strides):
        count = "".join(f"I{n}\n" for n in shape), "".join(f"I{n}\n" for n in strides)
        storage = f"(S'storage'\nctorch\n{of_type}\nS'{key}'\nS'cpu'\nI{np.prod(shape)}\ntQ"
        ordered = "ccollections\nOrderedDict\n(tR"
        return f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I0\n({count[0]}t({count[1]}tI00\n{ordered}tR"

    text = f"}}S'logits'\n{tensor(0, 'DoubleStorage', (30, 3), (3, 1))}sS'labels'\n"
    text += f"{tensor(1, 'LongStorage', (30,), (1,))}s."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        members = {
            "data.pkl": text,
            "byteorder": "little",
            "data/0": logits.tobytes(),
            "data/1": labels.tobytes(),
        }
        for name, data in members.items():
            archive.writestr(f"x/{name}", data)
    return file.getvalue()


def jsonl_files(logits, names, labels):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    forms = [
        [{"logits": x, "label": int(y)} for x, y in zip(logits.tolist(), labels, strict=True)],
        [
            {
                "id": "q",
                "answer": {"probabilities": dict(zip(names, x, strict=True))},
                "gold": names[y],
            }
            for x, y in zip(p.tolist(), labels, strict=True)
        ],
        [
            {"option_keys": list(names), "probs": x, "ground_truth": names[y], "error": None}
            for x, y in zip(p.tolist(), labels, strict=True)
        ],
        [{"p": x, "y": int(y > 0)} for x, y in zip(p[:, 0].tolist(), labels, strict=True)],
    ]
    return ["\n".join(map(json.dumps, rows)).encode() for rows in forms]


def mutated(data, rng):
    """Return bytes with a few changes."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(0, len(data) + 1))
        # The beginning and the end are where the structure of most formats is.
        if rng.random() < 0.5:
            place = (
                min(place, int(rng.integers(0, 200)))
                if rng.random() < 0.5
                else max(0, len(data) - place % 300)
            )
        length = (
            int(rng.integers(0, 9)) if rng.random() < 0.8 else int(rng.integers(0, len(data) + 1))
        )
        match int(rng.integers(0, 7)):
            case 0:
                if place < len(data):
                    data[place] ^= 1 << int(rng.integers(0, 8))
            case 1:
                data[place : place + length] = rng.bytes(length)
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                data[place:place] = TEXTS[int(rng.integers(0, len(TEXTS)))]
            case 5:
                text = TEXTS[int(rng.integers(0, len(TEXTS)))]
                data[place : place + len(text)] = text
            case 6:
                del data[place:]
    return bytes(data)


def read(path, labels):
    """Read a file in every way there is; DataErrors are as it should be."""
    if path.suffix == ".json":
        return calibration_file.load(path).classes
    inputs = read_inputs(path, labels if path.suffix == ".npy" else None, Options(), settled=False)
    assert np.isfinite(np.asarray(inputs.logits).max(axis=1)).all()
    if path.suffix in (".csv", ".parquet", ".arrow", ".jsonl"):
        table_of(path).profile()
    return inputs.classes


def commands(path, labels, logits):
    if path.suffix == ".json":
        return [["apply", str(logits), str(path), "-o", str(path.parent / "out.npy")]]
    two = [str(path), *([str(labels)] if path.suffix == ".npy" else [])]
    report = ["report", *two, "--resamples", "20", "-o", str(path.parent / "out.html")]
    return [["info", str(path)], ["softmax", str(path), "-o", str(path.parent / "p.npy")], report]


def fuzz(mutations, seed, *, commands_of=COMMANDS, said=None):
    """Return how many were read and how many refused; raise an AssertionError with the seed of what was neither."""
    files = [(suffix, data) for suffix, of in originals().items() for data in of]
    outcome = Counter()
    with tempfile.TemporaryDirectory() as directory:
        labels, logits = Path(directory) / "labels.npy", Path(directory) / "logits.npy"
        np.save(labels, np.random.default_rng(0).integers(0, 3, 30))
        np.save(logits, np.random.default_rng(0).normal(size=(30, 3)))
        signal.signal(signal.SIGALRM, _late)
        for k in range(mutations):
            rng = np.random.default_rng([seed, k])
            suffix, data = files[int(rng.integers(0, len(files)))]
            path = Path(directory) / f"x{suffix}"
            path.write_bytes(mutated(data, rng))
            signal.alarm(SECONDS)
            try:
                outcome[suffix, _outcome(path, labels)] += 1
                if k % commands_of == 0:
                    _run(path, labels, logits)
            except BaseException as error:
                keep = Path(tempfile.gettempdir()) / f"fuzz-{seed}-{k}{suffix}"
                keep.write_bytes(path.read_bytes())
                raise AssertionError(
                    f"mutation {k} of seed {seed}, kept as {keep}: {error!r}"
                ) from error
            finally:
                signal.alarm(0)
            if said and k % 5000 == 4999:
                said(k + 1, outcome)
    return outcome


def _outcome(path, labels):
    try:
        read(path, labels)
    except DataError as error:
        return "refused" if str(error).strip() else "refused without a word"
    return "read"


def _run(path, labels, logits):
    for words in commands(path, labels, logits):
        result = CliRunner().invoke(app, words, prog_name="sigmax")
        if result.exit_code not in (0, 1) or not isinstance(result.exception, SystemExit | None):
            raise AssertionError(f"{words}: exit code {result.exit_code}") from result.exception


def _late(*_):
    raise TimeoutError(f"more than {SECONDS} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("error")
    began = time.monotonic()

    def said(count, outcome):
        print(
            f"{count:,} in {time.monotonic() - began:.0f} s: {dict(outcome)}",
            file=sys.stderr,
            flush=True,
        )

    outcome = fuzz(arguments.mutations, arguments.seed, said=said)
    print(f"{sum(outcome.values()):,} mutations, seed {arguments.seed}: {dict(outcome)}")


if __name__ == "__main__":
    main()
