"""Files: every format gives the same numbers, is read in blocks, and is refused with file, row and what is legal."""

import gzip
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from plain import softmax
from safetensors_format import write_safetensors

from sigmax.files import blocks, jsonl
from sigmax.files.blocks import row_blocks, spill
from sigmax.files.errors import DataError
from sigmax.files.find import Options
from sigmax.files.inputs import read_inputs, read_logits
from sigmax.files.opening import arrays, open_file
from sigmax.files.outputs import replacing, write_rows

NAMES = ["cat", "dog", "eel"]


@pytest.fixture
def logits(rng):
    return rng.normal(size=(50, 3)) * 3


@pytest.fixture
def labels(rng):
    return rng.integers(0, 3, 50)


def table(logits, **more):
    return pa.table({**{n: logits[:, k] for k, n in enumerate(NAMES)}, **more})


def write_csv(path, columns, header=True):
    options = pa.csv.WriteOptions(include_header=header)
    pa.csv.write_csv(columns, path, options)


# ---------------------------------------------------------------- every format


def written(kind: str, tmp: Path, logits, labels) -> tuple[Path, Path | None, Options]:
    """Write logits and labels in one of many ways."""
    one, two = tmp / "logits", tmp / "labels"
    texts = np.array(NAMES)[labels]
    match kind:
        case "npy":
            np.save(f"{one}.npy", logits)
            np.save(f"{two}.npy", labels)
            return Path(f"{one}.npy"), Path(f"{two}.npy"), Options()
        case "npy in Fortran order, labels as floats":
            np.save(f"{one}.npy", np.asfortranarray(logits))
            np.save(f"{two}.npy", labels.astype(float))
            return Path(f"{one}.npy"), Path(f"{two}.npy"), Options()
        case "npy, labels as text":
            np.save(f"{one}.npy", logits)
            np.save(f"{two}.npy", texts)
            return Path(f"{one}.npy"), Path(f"{two}.npy"), Options(classes="cat, dog, eel")
        case "npz":
            np.savez(f"{one}.npz", logits=logits, labels=labels, other=1)
            return Path(f"{one}.npz"), None, Options()
        case "compressed npz with keys":
            np.savez_compressed(f"{one}.npz", a=logits, b=labels)
            return Path(f"{one}.npz"), None, Options(logits_key="a", labels_key="b")
        case "two npz with one array each":
            np.savez(f"{one}.npz", a=logits)
            np.savez(f"{two}.npz", b=labels)
            return Path(f"{one}.npz"), Path(f"{two}.npz"), Options()
        case "csv":
            write_csv(f"{one}.csv", table(logits, label=labels))
            return Path(f"{one}.csv"), None, Options()
        case "csv, labels as text":
            write_csv(f"{one}.csv", table(logits, label=texts))
            return Path(f"{one}.csv"), None, Options()
        case "csv without header":
            write_csv(f"{one}.csv", table(logits, label=labels), header=False)
            return Path(f"{one}.csv"), None, Options(labels_key="3")
        case "two csv, spaces after commas":
            rows = "\n".join(", ".join(map(repr, map(float, row))) for row in logits)
            Path(f"{one}.csv").write_text("cat,dog,eel\n" + rows)
            Path(f"{two}.csv").write_text("name\n" + "\n".join(texts))
            return Path(f"{one}.csv"), Path(f"{two}.csv"), Options()
        case "parquet columns":
            names = pa.array(texts).dictionary_encode()
            pa.parquet.write_table(table(logits, label=names), f"{one}.parquet", row_group_size=7)
            return Path(f"{one}.parquet"), None, Options()
        case "parquet columns by name":
            pa.parquet.write_table(table(logits, junk=texts, y=texts), f"{one}.parquet")
            return Path(f"{one}.parquet"), None, Options("cat,dog,eel", "y")
        case "parquet list column":
            lists = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), 3)
            columns = pa.table({"logits": lists, "label": labels})
            pa.parquet.write_table(columns, f"{one}.parquet", row_group_size=7)
            return Path(f"{one}.parquet"), None, Options()
        case "parquet variable list column, npy labels":
            columns = pa.table({"scores": pa.array(list(map(list, logits)))})
            pa.parquet.write_table(columns, f"{one}.parquet")
            np.save(f"{two}.npy", labels)
            return Path(f"{one}.parquet"), Path(f"{two}.npy"), Options()
        case "safetensors":
            write_safetensors(Path(f"{one}.safetensors"), logits=logits, labels=labels)
            return Path(f"{one}.safetensors"), None, Options()
        case "two safetensors with one array each":
            write_safetensors(Path(f"{one}.safetensors"), a=logits)
            write_safetensors(Path(f"{two}.safetensors"), b=labels)
            return Path(f"{one}.safetensors"), Path(f"{two}.safetensors"), Options()
        case "pt":
            write_torch(Path(f"{one}.pt"), logits=logits, labels=labels)
            return Path(f"{one}.pt"), None, Options()
        case "pt, logits by columns, compressed":
            write_torch(Path(f"{one}.pth"), a=np.asfortranarray(logits), b=labels, compressed=True)
            return Path(f"{one}.pth"), None, Options("a", "b")
        case "arrow":
            write_arrow(Path(f"{one}.arrow"), table(logits, label=texts))
            return Path(f"{one}.arrow"), None, Options()
        case "feather with lists":
            columns = pa.table({"logits": list(map(list, logits)), "label": labels})
            pa.feather.write_feather(columns, f"{one}.feather", compression="lz4")
            return Path(f"{one}.feather"), None, Options()
        case "stream of arrow":
            write_arrow(Path(f"{one}.arrow"), table(logits, label=labels), stream=True)
            return Path(f"{one}.arrow"), None, Options()
        case "jsonl of lists":
            rows = [
                {"logits": x, "label": y}
                for x, y in zip(logits.tolist(), labels.tolist(), strict=True)
            ]
            write_jsonl(Path(f"{one}.jsonl"), rows)
            return Path(f"{one}.jsonl"), None, Options()
        case "jsonl by name":
            rows = [
                {"id": k, "gold": y, "logits": dict(zip(NAMES, x, strict=True))}
                for k, (x, y) in enumerate(zip(logits.tolist(), texts.tolist(), strict=True))
            ]
            write_jsonl(Path(f"{one}.ndjson"), rows)
            return Path(f"{one}.ndjson"), None, Options()
        case "jsonl of numbers, packed":
            rows = [
                {**dict(zip(NAMES, x, strict=True)), "label": y}
                for x, y in zip(logits.tolist(), labels.tolist(), strict=True)
            ]
            with gzip.open(f"{one}.jsonl.gz", "wt") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
            return Path(f"{one}.jsonl.gz"), None, Options("cat,dog,eel")
    raise AssertionError(kind)


def write_torch(path: Path, *, compressed=False, **arrays) -> None:
    torch = pytest.importorskip("torch")
    torch.save({**{name: torch.from_numpy(a) for name, a in arrays.items()}, "epoch": 3}, path)
    if compressed:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)


def write_arrow(path: Path, columns, stream=False) -> None:
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(str(path), columns.schema) as writer:
        writer.write_table(columns, max_chunksize=7)


def write_jsonl(path: Path, rows) -> None:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")


KINDS = [
    "npy",
    "npy in Fortran order, labels as floats",
    "npy, labels as text",
    "npz",
    "compressed npz with keys",
    "two npz with one array each",
    "csv",
    "csv, labels as text",
    "csv without header",
    "two csv, spaces after commas",
    "parquet columns",
    "parquet columns by name",
    "parquet list column",
    "parquet variable list column, npy labels",
    "safetensors",
    "two safetensors with one array each",
    "pt",
    "pt, logits by columns, compressed",
    "arrow",
    "feather with lists",
    "stream of arrow",
    "jsonl of lists",
    "jsonl by name",
    "jsonl of numbers, packed",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [2**20, 8])
def test_every_format_gives_the_same_numbers(kind, block, tmp_path, logits, labels, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    path, labels_path, options = written(kind, tmp_path, logits, labels)
    inputs = read_inputs(path, labels_path, options)
    np.testing.assert_array_equal(inputs.logits, logits)
    np.testing.assert_array_equal(inputs.labels, labels)
    assert inputs.labels.dtype.kind == "i"
    assert inputs.logits.dtype == np.float64


@pytest.mark.parametrize(
    "kind", ["csv", "parquet columns", "two csv, spaces after commas", "arrow", "jsonl by name"]
)
def test_names_of_the_columns_are_those_of_the_classes(kind, tmp_path, logits, labels):
    assert read_inputs(*written(kind, tmp_path, logits, labels)).classes == tuple(NAMES)


def test_classes_from_a_file(tmp_path, logits):
    np.save(tmp_path / "x.npy", logits)
    (tmp_path / "names.txt").write_text("a, b\nb\nc\n")
    options = Options(classes=str(tmp_path / "names.txt"))
    assert read_logits(tmp_path / "x.npy", options).classes == ("a, b", "b", "c")


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "i1", "u2", "?"])
def test_types_are_kept(dtype, tmp_path, logits):
    np.save(tmp_path / "x.npy", logits.astype(dtype))
    options = Options(probabilities=False)  # booleans look like probabilities
    assert read_logits(tmp_path / "x.npy", options).logits.dtype == np.dtype(dtype)


def test_float32_parquet_stays_float32(tmp_path, logits):
    pa.parquet.write_table(table(logits.astype(np.float32)), tmp_path / "x.parquet")
    assert read_logits(tmp_path / "x.parquet", Options()).logits.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_probabilities_become_logits(dtype, tmp_path, logits):
    p = softmax(logits).astype(dtype)
    np.save(tmp_path / "p.npy", p)
    inputs = read_logits(tmp_path / "p.npy", Options(probabilities=True))
    np.testing.assert_allclose(np.exp(inputs.logits), p.astype(float), rtol=1e-14)


@pytest.mark.parametrize("shape", [(50,), (50, 1)])
def test_one_column_is_the_second_of_two_classes(shape, tmp_path, rng):
    x = rng.normal(size=shape)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "p.npy", 1 / (1 + np.exp(-x)))
    logits = read_logits(tmp_path / "x.npy", Options()).logits
    np.testing.assert_array_equal(logits, np.stack([np.zeros(50), x.ravel()], axis=1))
    of_p = read_logits(tmp_path / "p.npy", Options(probabilities=True)).logits
    np.testing.assert_allclose(of_p[:, 1] - of_p[:, 0], x.ravel(), rtol=1e-12, atol=1e-14)


def test_soft_labels(tmp_path, logits, rng):
    q = rng.dirichlet(np.ones(3), 50)
    np.savez(tmp_path / "x.npz", logits=logits, labels=q)
    write_csv(tmp_path / "q.csv", table(q.round(4)))
    inputs = read_inputs(tmp_path / "x.npz", None, Options())
    np.testing.assert_allclose(inputs.labels, q, rtol=1e-15)
    rounded = read_inputs(tmp_path / "x.npz", tmp_path / "q.csv", Options()).labels
    np.testing.assert_allclose(rounded, q, atol=2e-4)
    np.testing.assert_allclose(rounded.sum(axis=1), 1, rtol=1e-15)


def test_soft_labels_of_two_classes(tmp_path, rng):
    q = rng.random(20)
    np.savez(tmp_path / "x.npz", logits=rng.normal(size=20), labels=q)
    inputs = read_inputs(tmp_path / "x.npz", None, Options())
    np.testing.assert_allclose(inputs.labels, np.stack([1 - q, q], axis=1))


@pytest.mark.parametrize("shape", [(4, 5), (4,)])
def test_rows_of_several_dimensions_and_groups_of_the_first(shape, tmp_path, rng):
    x, y, g = rng.normal(size=(4, 5, 3)), rng.integers(0, 3, (4, 5)), rng.integers(5, 9, shape)
    np.savez(tmp_path / "x.npz", logits=x, labels=y, g=g)
    inputs = read_inputs(tmp_path / "x.npz", None, Options(groups="g"))
    np.testing.assert_array_equal(inputs.logits, x.reshape(20, 3))
    np.testing.assert_array_equal(inputs.labels, y.ravel())
    expected = np.repeat(g, 20 // g.size).ravel()
    assert [sorted(np.flatnonzero(inputs.groups == k)) for k in np.unique(inputs.groups)] == [
        sorted(np.flatnonzero(expected == k)) for k in np.unique(expected)
    ]


@pytest.mark.parametrize("own_file", [True, False])
def test_groups_are_text_too(own_file, tmp_path, logits, labels):
    names = np.array([f"patient {k % 7}" for k in range(50)])
    write_csv(tmp_path / "x.csv", table(logits, label=labels, who=names))
    write_csv(tmp_path / "g.csv", pa.table({"who": names}))
    groups = str(tmp_path / "g.csv") if own_file else "who"
    options = Options(groups=groups, logits_key="cat,dog,eel")
    inputs = read_inputs(tmp_path / "x.csv", None, options)
    np.testing.assert_array_equal(inputs.groups[:-7], inputs.groups[7:])
    assert len(set(inputs.groups)) == 7


# ---------------------------------------------------------------- blocks


def test_a_memory_map_larger_than_a_block_is_not_copied(tmp_path, rng):
    x = rng.normal(size=(300_000, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    logits = read_logits(tmp_path / "x.npy", Options()).logits
    assert isinstance(logits, np.memmap)
    assert len(list(row_blocks(logits))) > 1
    np.testing.assert_array_equal(logits, x)


@pytest.mark.parametrize("shape", [(10, 3), (3,), (0, 4), (7, 2, 5)])
@pytest.mark.parametrize("block", [2**20, 7, 1])
def test_blocks_cover_all_rows_once(shape, block, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    x = np.zeros(shape)
    seen = [i for part in row_blocks(x) for i in range(part.start, part.stop)]
    assert seen == list(range(len(x)))
    most = max((part.stop - part.start for part in row_blocks(x)), default=0)
    assert most <= max(1, block // max(1, x[:1].size))


def test_what_is_spilled_is_mapped_and_leaves_no_file(tmp_path, monkeypatch, rng):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    blocks = [rng.normal(size=(n, 4)) for n in (3, 0, 5)]
    spilled = spill(iter(blocks))
    np.testing.assert_array_equal(spilled, np.concatenate(blocks))
    assert isinstance(spilled, np.memmap)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- errors


def refused(path, labels_path=None, options=Options(), *words):  # noqa: B008
    with pytest.raises(DataError) as error:
        read_inputs(path, labels_path, options)
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_no_number(value, tmp_path, logits, labels):
    logits[17, 2] = value
    np.savez(tmp_path / "x.npz", logits=logits, labels=labels)
    refused(tmp_path / "x.npz", None, Options(), "x.npz", "row 17, class 2", f"got {value}", "-inf")


def test_a_row_that_is_masked_throughout(tmp_path, logits, labels):
    logits[4] = -np.inf
    np.savez(tmp_path / "x.npz", logits=logits, labels=labels)
    refused(tmp_path / "x.npz", None, Options(), "row 4", "must not all be -inf")


def test_a_label_of_a_masked_class(tmp_path, logits, labels):
    logits[4, 1], labels[4] = -np.inf, 1
    np.savez(tmp_path / "x.npz", logits=logits, labels=labels)
    refused(tmp_path / "x.npz", None, Options(), "row 4", "masked class")
    labels[4] = -100
    np.savez(tmp_path / "x.npz", logits=logits, labels=labels)
    assert read_inputs(tmp_path / "x.npz", None, Options(ignore_index=-100)).hard


def test_rows_of_several_dimensions_are_named_by_index(tmp_path, rng):
    x = rng.normal(size=(4, 5, 3))
    x[2, 3, 1] = np.nan
    np.savez(tmp_path / "x.npz", logits=x, labels=np.zeros((4, 5), int))
    refused(tmp_path / "x.npz", None, Options(), "row (2, 3), class 1")


@pytest.mark.parametrize(
    ("row", "rule"),
    [([0.5, 0.6, -0.1], "in [0, 1], got -0.1"), ([0.5, 0.3, 0.1], "sum to 1, got 0.9")],
)
def test_what_is_no_probability(row, rule, tmp_path, labels, logits):
    p = softmax(logits)
    p[30] = row
    np.savez(tmp_path / "x.npz", probabilities=p, labels=labels)
    refused(tmp_path / "x.npz", None, Options(probabilities=True), "row 30", rule)


@pytest.mark.parametrize(
    ("label", "options", "words"),
    [
        (3, {}, "must be in [0, 3), got 3"),
        (-1, {}, "must be in [0, 3), got -1"),
        (-1, {"ignore_index": -100}, "or -100, which is ignored, got -1"),
        (1.5, {}, "whole numbers in [0, 3), got 1.5"),
        (np.nan, {}, "whole numbers in [0, 3), got nan"),
    ],
)
def test_a_label_out_of_range(label, options, words, tmp_path, logits, labels):
    labels = labels.astype(type(label))
    labels[12] = label
    np.savez(tmp_path / "x.npz", logits=logits, labels=labels)
    refused(tmp_path / "x.npz", None, Options(**options), "row 12", words)


def test_a_label_that_is_no_class(tmp_path, logits, labels):
    texts = np.array(NAMES)[labels].astype("U9")
    texts[9] = "emu"
    np.savez(tmp_path / "x.npz", logits=logits, labels=texts)
    refused(tmp_path / "x.npz", None, Options(), "row 0", "no class", "are 0, 1, 2", "--classes")
    options = Options(classes="cat,dog,eel")
    refused(tmp_path / "x.npz", None, options, "row 9", "'emu'", "cat, dog, eel")


@pytest.mark.parametrize("classes", ["a,b", "a,b,b"])
def test_classes_that_do_not_fit(classes, tmp_path, logits, labels):
    np.savez(tmp_path / "x.npz", logits=logits, labels=labels)
    refused(tmp_path / "x.npz", None, Options(classes=classes), "3 different names")


def test_soft_labels_that_do_not_sum_to_1(tmp_path, logits):
    q = np.full((50, 3), 1 / 3)
    q[8] = 0.3
    np.savez(tmp_path / "x.npz", logits=logits, labels=q)
    refused(tmp_path / "x.npz", None, Options(), "row 8", "sum to 1", "sum 0.9")


@pytest.mark.parametrize("count", [49, 51, 100])
def test_another_number_of_labels(count, tmp_path, logits):
    np.savez(tmp_path / "x.npz", logits=logits, labels=np.zeros(count, int))
    refused(tmp_path / "x.npz", None, Options(), "must have 50 labels", f"({count},)")


def test_text_among_the_numbers_of_a_csv(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,label\n1,2,0\n3,oops,1\n")
    refused(tmp_path / "x.csv", None, Options(), "row 1 (line 3)", "column 'b'", "number", "'oops'")


def test_a_csv_with_a_short_row(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,label\n1,2,0\n3,1\n")
    refused(tmp_path / "x.csv", None, Options(), "x.csv", "Expected 3 columns, got 2")


def test_csv_that_cannot_be(tmp_path):
    (tmp_path / "x.csv").write_text("")
    refused(tmp_path / "x.csv", None, Options(), "is empty")
    (tmp_path / "x.csv").write_text("a,a,label\n1,2,0\n")
    refused(tmp_path / "x.csv", None, Options(), "same name")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    refused(tmp_path / "x.csv", None, Options(), "not a .csv file")


def test_missing_values_of_a_parquet_file(tmp_path):
    columns = {"a": [1.0, 2.0, None], "b": [1.0, 2.0, 3.0], "label": [0, 1, 0]}
    pa.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", None, Options(), "row 2", "column 'a'", "missing")
    lists = pa.table({"logits": [[1.0, 2.0], [3.0], [1.0, 2.0]], "label": [0, 1, 0]})
    pa.parquet.write_table(lists, tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", None, Options(), "row 1", "got 1 numbers after 2")
    lists = pa.table({"logits": [[1.0, 2.0], [3.0, None]], "label": [0, 1]})
    pa.parquet.write_table(lists, tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", None, Options(), "row 1", "missing")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet"])
def test_files_that_are_not_what_they_say(name, tmp_path, labels):
    (tmp_path / name).write_bytes(b"nonsense, and more of it")
    np.save(tmp_path / "y.npy", labels)
    refused(tmp_path / name, tmp_path / "y.npy", Options(logits_key=None), name, "not a")


def test_a_file_that_is_cut_short(tmp_path, logits, labels):
    np.save(tmp_path / "x.npy", logits)
    np.save(tmp_path / "y.npy", labels)
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-100])
    refused(tmp_path / "x.npy", tmp_path / "y.npy", Options(), "cut short")


def test_python_objects_are_not_read(tmp_path, labels):
    np.save(tmp_path / "x.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save(tmp_path / "y.npy", labels)
    refused(tmp_path / "x.npy", tmp_path / "y.npy", Options(), "Python objects")


def test_other_suffixes_and_types(tmp_path, labels):
    np.save(tmp_path / "y.npy", labels)
    refused(
        Path("x.txt"), None, Options(), "x.txt", ".npy, .npz, .safetensors, .pt, .csv", "got .txt"
    )
    np.save(tmp_path / "x.npy", np.zeros((50, 3), complex))
    refused(tmp_path / "x.npy", tmp_path / "y.npy", Options(), "complex128")
    np.save(tmp_path / "x.npy", np.array(1.0))
    refused(tmp_path / "x.npy", tmp_path / "y.npy", Options(), "shape ()")
    np.save(tmp_path / "x.npy", np.zeros((0, 3)))
    refused(tmp_path / "x.npy", tmp_path / "y.npy", Options(), "no rows")


def test_which_array_is_meant(tmp_path, logits, labels):
    np.savez(tmp_path / "x.npz", a=logits, b=labels)
    refused(tmp_path / "x.npz", None, Options(), "labels", "--labels-key", "a, b")
    refused(tmp_path / "x.npz", None, Options(labels_key="c"), "no array 'c'", "'a', 'b'")
    refused(tmp_path / "x.npz", None, Options("a", "c"), "no array 'c'", "'a', 'b'")
    np.save(tmp_path / "x.npy", logits)
    refused(tmp_path / "x.npy", None, Options(), "name the file of the labels")
    refused(tmp_path / "x.npy", tmp_path / "x.npz", Options("a", "b"), "without names")
    write_csv(tmp_path / "x.csv", table(logits, label=labels))
    refused(tmp_path / "x.csv", None, Options("cat,fox"), "no column 'fox'", "'cat', 'dog'")
    refused(tmp_path / "x.csv", None, Options(groups="who"), "--groups", "'cat'")
    assert arrays(tmp_path / "x.csv") == [*NAMES, "label"]


# ---------------------------------------------------------------- output


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_is_read_again(suffix, dtype, tmp_path, logits):
    path = tmp_path / f"x{suffix}"
    x = logits.astype(dtype)
    write_rows(path, iter([x[:20], x[20:]]), x.shape, x.dtype, NAMES)
    opened = open_file(path, None)
    np.testing.assert_array_equal(opened.array.astype(dtype), x)
    assert opened.names == (None if suffix == ".npy" else NAMES)


def test_a_failure_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="does not exist"), replacing(tmp_path / "no" / "x.txt"):
        pass


# ---------------------------------------------------------------- .safetensors and .pt


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_bfloat16_and_other_types_of_tensors(suffix, tmp_path, logits):
    torch = pytest.importorskip("torch")
    path = tmp_path / f"x{suffix}"
    tensor = torch.from_numpy(logits)
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.int8):
        x = (tensor * 9).to(dtype)
        if suffix == ".pt":
            torch.save(x, path)
        else:
            pytest.importorskip("safetensors.torch").save_file({"x": x.contiguous()}, path)
        opened = open_file(path, arrays(path))
        np.testing.assert_array_equal(opened.array, x.to(torch.float64).numpy())
        assert opened.remarks == ()


def test_tensors_of_models_views_and_lists(tmp_path):
    torch = pytest.importorskip("torch")
    path, x = tmp_path / "x.pt", torch.arange(24.0).reshape(4, 6)
    layer = torch.nn.Linear(3, 2)
    torch.save(
        {"a": [x.T, x[:, ::2]], "b": layer.state_dict(), "c": {"d": torch.nn.Parameter(x)}, "n": 1},
        path,
    )
    assert arrays(path) == ["a.0", "a.1", "b.weight", "b.bias", "c.d"]
    for name, tensor in (("a.0", x.T), ("a.1", x[:, ::2]), ("b.weight", layer.weight), ("c.d", x)):
        found = open_file(path, [name]).array
        np.testing.assert_array_equal(found, tensor.detach().numpy())
    torch.save(torch.sin(x), path)
    np.testing.assert_array_equal(read_logits(path, Options()).logits, torch.sin(x).numpy())


class _Evil:
    """What runs when a pickle is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def pickled(path, data):
    """Write a .pt file whose description is this pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", data)
        archive.writestr("x/data/0", bytes(800))


def test_a_pt_file_runs_nothing(tmp_path):
    path, made = tmp_path / "x.pt", tmp_path / "made"
    for value in (_Evil(made), {"logits": [_Evil(made)]}):
        pickled(path, pickle.dumps(value, protocol=2))
        with pytest.raises(
            DataError, match=r"it holds posix\.mkdir, which is not read as it could run code"
        ):
            arrays(path)
    assert not made.exists()
    pickle.loads(pickle.dumps(_Evil(made)))
    assert made.exists()  # which it does elsewhere


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}S'__code__'\nI1\nsb.", "not to be read as a .pt file"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(I1\nI0\n(I3\nt(I1\nttR.", "not to be read as a .pt file"),
        (b"]" + b"0" * 9, "not to be read as a .pt file"),
        (b"N.", "has no tensors"),
        (b"(lp0\n" + b"(g0\ng0\nlp0\n" * 60 + b".", "more than 1,000,000 parts"),
    ],
)  # fmt: skip
def test_a_pt_file_that_is_broken_or_malicious(data, message, tmp_path):
    pickled(tmp_path / "x.pt", data)
    with pytest.raises(DataError, match=message):
        arrays(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "legal"),
    [("I4\nI25\n", "I25\nI1\n", "I0\n", True), ("I4\nI25\n", "I25\nI1\n", "I1\n", False),
     ("I4\nI26\n", "I25\nI1\n", "I0\n", False), ("I99\nI99\n", "I0\nI0\n", "I0\n", False),
     ("I4\nI25\n", "I-25\nI1\n", "I75\n", False), ("I4\nI25\n", "I1\n", "I0\n", False)],
)  # fmt: skip
def test_tensors_stay_inside_their_numbers(shape, strides, offset, legal, tmp_path):
    storage = "((S'storage'\nctorch\nDoubleStorage\nS'0'\nS'cpu'\nI100\nttQ".replace("((", "(")
    storage = "(S'storage'\nctorch\nDoubleStorage\nS'0'\nS'cpu'\nI100\ntQ"
    text = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}{offset}({shape}t({strides}ttR."
    pickled(tmp_path / "x.pt", text.encode())
    if legal:
        assert open_file(tmp_path / "x.pt", ["tensor"]).array.shape == (4, 25)
        return
    with pytest.raises(DataError):
        open_file(tmp_path / "x.pt", ["tensor"])


def test_a_pt_file_of_old(tmp_path):
    (tmp_path / "x.pt").write_bytes(pickle.dumps(1))
    with pytest.raises(DataError, match=r"as torch\.save writes them since PyTorch 1\.6"):
        arrays(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F8_E4M3"}, "'x' has the type F8_E4M3; legal are F64"),
        ({"shape": [51, 3]}, r"'x' has 1200 bytes, which \(51, 3\) of F64 does not take"),
        ({"shape": [50.0, 3]}, "a shape is not of whole numbers"),
        ({"data_offsets": [0, 99999]}, "is no safetensors file"),
        ({"shape": [-50, -3]}, "is no safetensors file"),
    ],
)
def test_a_safetensors_file_that_is_broken(entry, message, tmp_path, logits):
    path = tmp_path / "x.safetensors"
    header = {"x": {"dtype": "F64", "shape": [50, 3], "data_offsets": [0, 1200], **entry}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + logits.tobytes())
    with pytest.raises(DataError, match=message):
        read_logits(path, Options())


def test_names_of_tensors(tmp_path, logits, labels):
    write_safetensors(tmp_path / "x.safetensors", a=logits, b=logits, y=labels)
    with pytest.raises(
        DataError, match="which are the labels\\? Name them with --labels-key: a, b, y"
    ):
        read_inputs(tmp_path / "x.safetensors", None, Options())
    with pytest.raises(
        DataError, match="which are the logits\\? Name them with --logits-key: a, b, y"
    ):
        read_inputs(tmp_path / "x.safetensors", None, Options(labels_key="y"))
    with pytest.raises(DataError, match="--logits-key: no array 'c'"):
        read_inputs(tmp_path / "x.safetensors", None, Options("c", "y"))
    found = read_inputs(tmp_path / "x.safetensors", None, Options("b", "y"))
    np.testing.assert_array_equal(found.logits, logits)
    assert isinstance(found.logits, np.memmap)  # not copied


def test_arrow_of_old_and_what_is_none(tmp_path):
    (tmp_path / "x.feather").write_bytes(b"FEA1" + bytes(90))
    with pytest.raises(DataError, match="Feather of version 1 is not read"):
        arrays(tmp_path / "x.feather")
    (tmp_path / "x.arrow").write_bytes(b"ARROW1" + bytes(90))
    with pytest.raises(DataError, match="not a file of Arrow"):
        arrays(tmp_path / "x.arrow")


# ---------------------------------------------------------------- .jsonl: forms of evaluations of language models


def answers(rng, rows=60):
    """Probabilities of three queues, the right ones, and probabilities of a yes."""
    p = rng.dirichlet(np.ones(3), rows)
    labels = np.array([rng.choice(3, p=x) for x in p])
    return p, labels, rng.random(rows)


QUEUES = ["billing", "sales, old", "technical"]


def of_jev_eval(p, labels, yes):
    """The cache of jev-eval 1.2: a line per row and question."""
    for k, (x, y, q) in enumerate(zip(p.tolist(), labels, yes.tolist(), strict=True)):
        common = {
            "model": "m",
            "row": k,
            "state_hash": "a",
            "question_hash": "b",
            "meta": {},
            "input_tokens": 9,
        }
        choice = {"type": "choice", "choice": QUEUES[np.argmax(x)], "confidence": max(x)}
        choice["probabilities"] = dict(zip(QUEUES, x, strict=True))
        question = {"type": "choice", "criteria": dict.fromkeys(QUEUES, "text")}
        yield {**common, "id": "team", "question": question, "answer": choice, "gold": QUEUES[y]}
        noul = {"type": "noul", "noul": q}
        yield {
            **common,
            "id": "urgent",
            "question": {"type": "noul"},
            "answer": noul,
            "gold": bool(q > 0.5),
        }
    yield {
        **common,
        "id": "team",
        "question": question,
        "answer": None,
        "gold": QUEUES[0],
        "error": "refused",
    }


def of_sys1bench(p, labels, yes):
    """The predictions of sys1bench 0.3: options in an order of their own, two questions."""
    rng = np.random.default_rng(0)
    for k, (x, y, q) in enumerate(zip(p, labels, yes.tolist(), strict=True)):
        order = rng.permutation(3) if k else np.arange(3)
        common = {
            "row_id": f"r{k}",
            "task_id": f"t{k // 4}",
            "error": None,
            "latency_ms": 3.5,
            "controls": {"a": 1},
        }
        yield {
            **common, "question_key": "queue", "primitive": "choice", "option_keys": [QUEUES[i] for i in order],
            "probs": x[order].tolist(), "argmax": "x", "ground_truth": QUEUES[y], "correct": True, "confidence": 0.5,
        }  # fmt: skip
        yield {
            **common, "question_key": "angry", "primitive": "noul", "option_keys": ["true", "false"],
            "probs": [q, 1 - q], "ground_truth": "true" if q > 0.5 else "false",
        }  # fmt: skip
    yield {
        **common,
        "question_key": "queue",
        "probs": [],
        "option_keys": QUEUES,
        "ground_truth": "x",
        "error": "schema",
    }


def of_clef_evals(p, labels, _):
    """An item of clef-evals with the answer of the model beside it."""
    for x, y in zip(p.tolist(), labels, strict=True):
        answer = {
            "choice": QUEUES[np.argmax(x)],
            "probabilities": dict(zip(QUEUES, x, strict=True)),
            "confidence": 0.5,
        }
        yield {
            "state": "Email",
            "instructions": "Route",
            "choices": QUEUES,
            "gold": QUEUES[y],
            **answer,
        }


def of_calikit(_, __, yes):
    """The lines of calikit: p and y."""
    for k, q in enumerate(yes.tolist()):
        yield {"id": f"item-{k:03}", "p": q, "y": int(q > 0.5), "category": "reasoning"}


@pytest.mark.parametrize(
    ("form", "only", "binary"),
    [(of_jev_eval, "id=team", False), (of_jev_eval, "id=urgent", True), (of_sys1bench, "question_key=queue", False),
     (of_clef_evals, None, False), (of_calikit, None, True)],
)  # fmt: skip
@pytest.mark.parametrize("block", [2**14, 8])
def test_jsonl_of_evaluations_is_read_as_it_is(
    form, only, binary, block, tmp_path, rng, monkeypatch
):
    monkeypatch.setattr(jsonl, "_ROWS", block)
    p, labels, yes = answers(rng)
    write_jsonl(tmp_path / "x.jsonl", form(p, labels, yes))
    inputs = read_inputs(tmp_path / "x.jsonl", None, Options(only=only))
    found = np.exp(inputs.logits)
    if binary:
        np.testing.assert_allclose(found[:, 1], yes, rtol=1e-14)
        np.testing.assert_array_equal(inputs.labels, yes > 0.5)
        return
    assert inputs.classes == tuple(QUEUES)
    np.testing.assert_allclose(found, p, rtol=1e-14)
    np.testing.assert_array_equal(inputs.labels, labels)
    said = " ".join(inputs.reading.lines())
    assert ("left out, as an error is in place of the answer: 1 of" in said) == (only is not None)
    assert "; named '" in said


def test_jsonl_of_true_and_false_by_name(tmp_path, rng):
    """Where true and false name the classes, true is not class 1."""
    p, labels, yes = answers(rng)
    write_jsonl(tmp_path / "x.jsonl", of_sys1bench(p, labels, yes))
    inputs = read_inputs(tmp_path / "x.jsonl", None, Options(only="question_key=angry"))
    assert inputs.classes == ("true", "false")
    np.testing.assert_array_equal(inputs.labels, yes <= 0.5)
    rows = [
        {"probabilities": {"true": q, "false": 1 - q}, "gold": bool(q > 0.5)} for q in yes.tolist()
    ]
    write_jsonl(tmp_path / "y.jsonl", rows)
    np.testing.assert_array_equal(
        read_inputs(tmp_path / "y.jsonl", None, Options()).labels, yes <= 0.5
    )


def test_jsonl_groups_weights_and_soft_labels(tmp_path, rng):
    p = answers(rng)[0]
    q = rng.dirichlet(np.ones(3), len(p))
    rows = [
        {"probs": x, "labels": y, "doc": f"d{k // 7}", "w": k + 1.0, "error": 0.5}
        for k, (x, y) in enumerate(zip(p.tolist(), q.tolist(), strict=True))
    ]
    write_jsonl(tmp_path / "x.jsonl", rows)
    inputs = read_inputs(tmp_path / "x.jsonl", None, Options(groups="doc", weights="w"))
    np.testing.assert_allclose(inputs.labels, q, rtol=1e-14)
    np.testing.assert_array_equal(inputs.weights, np.arange(len(p)) + 1)
    assert len(np.unique(inputs.groups)) == 9


def test_jsonl_of_classes_that_are_left_out(tmp_path):
    rows = [
        {"probabilities": {"a": 0.5, "b": 0.5}, "gold": "a"},
        {"probabilities": {"a": 1.0}, "gold": "a"},
    ] * 3
    write_jsonl(tmp_path / "x.jsonl", rows)
    with pytest.raises(
        DataError,
        match=r"row 1 \(line 2\), field 'probabilities': names the classes 'a', the first row",
    ):
        read_inputs(tmp_path / "x.jsonl", None, Options())
    inputs = read_inputs(tmp_path / "x.jsonl", None, Options(classes="b,a"))
    np.testing.assert_array_equal(np.exp(inputs.logits[1]), [0, 1])
    assert "classes that are not named have probability 0: in 3 of" in " ".join(
        inputs.reading.lines()
    )
    with pytest.raises(DataError, match="names the classes 'a', 'b', --classes says 'a', 'c'"):
        read_inputs(tmp_path / "x.jsonl", None, Options(classes="a,c"))


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["[1]"], {}, r"line 1: not a .jsonl file: must be an object"),
        (["{", "{}"], {}, r"line 1: not a .jsonl file"),
        ([""], {}, "has no rows"),
        (['{"p": 0.5, "y": 1}'], {"only": "id=3"}, "has no rows with --only id=3"),
        (['{"p": 0.5, "y": 1}', '{"p": 0.2}'], {}, r"row 1 \(line 2\), field 'y': the value is missing; --only y"),
        (['{"p": 0.5, "y": 1}', "", '{"p": "x", "y": 1}'], {}, r"row 1 \(line 3\), column 'p': must be a number"),
        (['{"probs": [0.5, 0.5], "y": 1}', '{"probs": [1.0], "y": 0}'], {}, "as many numbers as the rows before"),
        (['{"probs": [0.9, 0.5], "y": 1}'], {}, "probabilities must sum to 1"),
        (['{"logits": [0.9, 0.1], "y": 1}'] * 3 + ['{"logits": [0.8, 0.2], "y": 1}'], {}, "logits or probabilities"),
        (['{"a": 1, "y": 1}'], {}, "which are the logits or probabilities"),
        (['{"logits": [1, 2], "probs": [0.5, 0.5], "y": 1}'], {}, "with --logits-key: 'logits', 'probs'"),
        (['{"p": 0.5, "gold": "yes"}'], {}, "no class 'yes'"),
        (['{"p": 1' + "0" * 400 + ', "y": 1}'], {}, r"probabilities must be in \[0, 1\]"),
        (["[" * 100000], {}, "not a .jsonl file"),
    ],
)  # fmt: skip
def test_jsonl_that_is_refused(lines, options, message, tmp_path):
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        read_inputs(tmp_path / "x.jsonl", None, Options(**options))


# ---------------------------------------------------------------- rows of several dimensions


def test_tokens_and_pixels(tmp_path, rng):
    """Classes along any axis, a label that is ignored, and groups by document or image."""
    logits, labels = rng.normal(size=(5, 4, 3, 2)), rng.integers(0, 4, (5, 3, 2))
    labels[0, 0, 0] = 255
    np.save(tmp_path / "x.npy", logits)
    np.save(tmp_path / "y.npy", labels)
    options = {"axis": 1, "ignore_index": 255}
    inputs = read_inputs(
        tmp_path / "x.npy", tmp_path / "y.npy", Options(**options, groups="axis-0")
    )
    np.testing.assert_array_equal(inputs.logits, np.moveaxis(logits, 1, -1).reshape(-1, 4))
    np.testing.assert_array_equal(inputs.labels, labels.ravel())
    np.testing.assert_array_equal(inputs.groups, np.repeat(np.arange(5), 6))
    assert "Groups: 5, by the first axis." in inputs.reading.lines()
    without = read_inputs(tmp_path / "x.npy", tmp_path / "y.npy", Options(**options))
    assert any(
        "--groups axis-0 keeps those of one image or document" in x for x in without.reading.lines()
    )
    np.save(tmp_path / "flat.npy", rng.normal(size=(6, 4)))
    np.save(tmp_path / "z.npy", np.arange(6) % 4)
    with pytest.raises(DataError, match="--groups axis-0 needs rows of two dimensions or more"):
        read_inputs(tmp_path / "flat.npy", tmp_path / "z.npy", Options(groups="axis-0"))
