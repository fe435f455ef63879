"""Files: every format gives the same numbers, is read in blocks, and is refused with file, row and what is legal."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from sigmax.files import blocks
from sigmax.files.blocks import row_blocks, spill
from sigmax.files.errors import DataError
from sigmax.files.find import Options
from sigmax.files.inputs import read_inputs, read_logits
from sigmax.files.opening import arrays, open_file
from sigmax.files.outputs import replacing, write_rows

NAMES = ["cat", "dog", "eel"]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


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


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


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
    raise AssertionError(kind)


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


@pytest.mark.parametrize("kind", ["csv", "parquet columns", "two csv, spaces after commas"])
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
    refused(Path("x.txt"), None, Options(), "x.txt", ".npy, .npz, .safetensors, .pt, .csv", "got .txt")
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
