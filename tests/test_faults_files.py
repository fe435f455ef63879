"""Files, options and reports that failed once, by kind (F1 to F10): each has its right outcome, or a sentence.

Numbers and arguments are in the tests of their functions.
"""

import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import fuzz_files
import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from commands import BAD_DATA, USAGE, run
from plain import softmax

import sigmax
from sigmax.cli import calibration_file, work
from sigmax.files.find import Options
from sigmax.files.inputs import Inputs, read_inputs, read_logits
from sigmax.report import verdict as verdicts
from sigmax.report import words
from sigmax.report.page import page
from sigmax.report.study import Choices, study

ROWS = 600


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def logits(rng):
    return rng.normal(size=(ROWS, 4)) * 2


@pytest.fixture
def labels(rng, logits):
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def report(*arguments, code=0, **more):
    return run("report", *arguments, "--resamples", 50, code=code, **more)


def numbers():
    return json.loads(Path("report.json").read_text())


def write_csv(path, columns, *, mark=",", decimal=".", header=True):
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    lines = [mark.join(names)] if header else []
    lines += [mark.join(str(x).replace(".", decimal) for x in row) for row in rows]
    Path(path).write_text("\n".join(lines) + "\n")


def columns(logits, **more):
    return {name: logits[:, k] for k, name in enumerate("abcd"[: logits.shape[1]])} | more


# ---------------------------------------------------------------- F1: guesses


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.parquet"])
@pytest.mark.parametrize("command", ["report", "calibrate", "info", "softmax"])
def test_f1_probabilities_are_not_taken_for_logits(name, command, logits, labels):
    p = softmax(logits)
    np.save("y.npy", labels)
    match Path(name).suffix:
        case ".npy":
            np.save(name, p)
        case ".npz":
            np.savez(name, probabilities=p)
        case ".csv":
            write_csv(name, columns(p))
        case ".parquet":
            pa.parquet.write_table(pa.table(columns(p)), name)
    words_of = {"report": ["y.npy"], "calibrate": ["y.npy"], "info": [], "softmax": ["-o", "p.npy"]}
    printed = run(command, name, *words_of[command], code=0 if command == "info" else BAD_DATA)
    assert "logits or probabilities? 600 of 600 rows are in [0, 1] and sum to 1" in printed
    assert "--logits" in printed
    assert not Path("report.html").exists()
    if command == "report":
        assert "600 rows" in report(name, "y.npy", "--probabilities")
        assert "they look like probabilities" in report(name, "y.npy", "--logits")
        assert "they look like probabilities" in Path("report.html").read_text()


@pytest.mark.parametrize(
    "shape", ["rounded", "percent", "votes", "sigmoid", "one column", "some rows padded"]
)
def test_f1_what_looks_like_probabilities(shape, logits, labels):
    p = softmax(logits)
    x = {
        "rounded": p.round(2),
        "percent": 100 * p,
        "votes": np.random.default_rng(1).multinomial(30, p),
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "one column": p[:, 0],
        "some rows padded": np.where(np.arange(ROWS)[:, None] % 10 == 0, 0.0, p),
    }[shape]
    np.savez("x.npz", logits=x, labels=labels % 2 if x.ndim == 1 else labels)
    printed = report("x.npz", code=BAD_DATA)
    assert "logits or p" in printed or "votes" in printed
    assert "--probabilities" in printed


def test_f1_a_name_that_says_probabilities(logits, labels):
    np.savez("x.npz", probs=logits, labels=labels)
    assert "The name 'probs' says probabilities" in report(
        "x.npz", "--logits-key", "probs", code=BAD_DATA
    )
    assert "as --logits" not in report("x.npz", "--logits-key", "probs", "--logits")


STRAY = {
    "an index": lambda n, _: ("anything", np.arange(n)),
    "an index of pandas": lambda n, _: ("", np.arange(n)),
    "an index from 1000 in steps": lambda n, _: ("k", 1000 + 3 * np.arange(n)),
    "an index that falls": lambda n, _: ("k", n - np.arange(n)),
    "times": lambda n, _: ("k", np.arange(n) * 0.25),
    "Unnamed: 0": lambda n, rng: ("Unnamed: 0", rng.normal(size=n)),
    "identifiers": lambda n, rng: ("k", rng.permutation(n) + 7),
    "a prediction": lambda n, rng: ("pred", rng.integers(0, 4, n)),
    "the truth under another name": lambda n, rng: ("k", rng.integers(0, 4, n)),
    "a fold, by its name": lambda n, rng: ("fold", rng.normal(size=n)),
    "a score beside": lambda n, rng: ("margin", rng.random(n) * 8),
}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", STRAY)
@pytest.mark.parametrize("suffix", [".csv", pytest.param(".parquet", marks=pytest.mark.slow)])
def test_f1_a_column_that_is_no_class(kind, suffix, rng, logits, labels):
    name, values = STRAY[kind](ROWS, rng)
    table = (
        {name: values} | columns(logits, label=labels)
        if "index" in kind
        else columns(logits) | {name: values, "label": labels}
    )
    if suffix == ".csv":
        write_csv("x.csv", table)
    else:
        pa.parquet.write_table(pa.table(table), "x.parquet")
    printed = report(f"x{suffix}", code=BAD_DATA)
    assert repr(name) in printed or "are there 5 classes? No label is" in printed
    assert "--drop" in printed
    report(f"x{suffix}", "--drop", name)
    read = numbers()
    assert read["data"]["class_names"] == list("abcd")
    assert read["reading"]["left_out"] == [name]
    assert name in read["command"]
    report(f"x{suffix}", "--logits-key", "[a-d]")
    assert numbers()["before"] == read["before"]


def test_f1_an_index_in_an_array(logits, labels):
    np.savez("x.npz", logits=np.c_[np.arange(ROWS), logits], labels=labels)
    assert "Column '0' grows by 1 from row to row" in report("x.npz", code=BAD_DATA)
    report("x.npz", "--drop", "0")
    assert numbers()["data"]["classes"] == 4
    assert "must be numbers of its columns, 0 to 4" in report("x.npz", "--drop", "5", code=BAD_DATA)


def test_f1_columns_that_are_alike_are_classes(logits, labels):
    """Whole numbers beside whole numbers, a class that is always 0, few rows."""
    for x in (logits.round(), np.where(np.arange(4) == 2, 0.0, logits)):
        write_csv("x.csv", columns(x, label=labels))
        read_inputs(Path("x.csv"), None, Options())
    Path("x.csv").write_text("cat,dog,label\n2.5,1,cat\n0,3,dog\n1.5,2,cat\n1,0,dog\n")
    read_inputs(Path("x.csv"), None, Options())


def test_f1_pairs_of_classes_and_classes_without_a_row(rng):
    np.savez("x.npz", logits=rng.normal(size=(ROWS, 45)), labels=rng.integers(0, 10, ROWS))
    printed = report("x.npz", code=BAD_DATA)
    assert "are there 45 classes? No label is 10, 11" in printed
    assert "10·9/2 is the number of pairs" in printed
    printed = report("x.npz", "--classes", 45)
    assert "Without a row: 35 of the classes (10, 11" in printed
    assert numbers()["reading"]["empty_classes"][0] == "10"


def test_f1_a_rare_class_without_a_row_is_no_doubt(rng):
    logits = rng.normal(size=(ROWS, 50)) * 3 - np.arange(50) / 4
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert len(set(labels)) < 50
    inputs = Inputs(logits, labels)
    np.savez("x.npz", logits=inputs.logits, labels=labels)
    assert read_inputs(Path("x.npz"), None, Options()).reading.empty_classes


@pytest.mark.parametrize("last", [True, False])
def test_f1_labels_that_count_from_1(last, logits, labels):
    """With and without a row of the last class."""
    kept = np.ones(ROWS, bool) if last else labels < 3
    np.savez("x.npz", logits=logits[kept], labels=labels[kept] + 1)
    printed = report("x.npz", code=BAD_DATA)
    assert "--labels-as indices-from-1" in printed
    report("x.npz", "--labels-as", "indices-from-1", *([] if last else ["--classes", 4]))
    assert numbers()["before"]["accuracy"]["value"] > 0.5
    assert "count from 1" in numbers()["reading"]["label_form"]


def test_f1_labels_that_are_indices_or_names(logits, labels):
    table = {str(k + 1): logits[:, k] for k in range(4)}
    write_csv("x.csv", table | {"label": labels.clip(1, 3)})
    assert "indices, or names" in report("x.csv", code=BAD_DATA)
    write_csv("x.csv", table | {"label": labels + 1})
    assert "numbers that are names of classes" in report("x.csv")
    accuracy = numbers()["before"]["accuracy"]["value"]
    np.savez("x.npz", logits=logits, labels=labels)
    report("x.npz")
    assert numbers()["before"]["accuracy"]["value"] == accuracy


@pytest.mark.parametrize("names", ["0,1,2,3", "0.0,1.0,2.0,3.0", ",0,1,2,3"])
def test_f1_a_header_of_numbers(names, logits, labels):
    x = np.c_[np.arange(ROWS), logits] if names[0] == "," else logits
    write_csv("body.csv", {str(k): column for k, column in enumerate(x.T)}, header=False)
    Path("x.csv").write_text(names + "\n" + Path("body.csv").read_text())
    np.save("y.npy", labels)
    options = Options(drop="" if names[0] == "," else None, header=True if "." in names else None)
    inputs = read_inputs(Path("x.csv"), Path("y.npy"), options)
    np.testing.assert_allclose(inputs.logits, logits)


def test_f1_a_header_that_may_be_a_row(logits, labels):
    write_csv("x.csv", {"7": logits[:, 0], "3": logits[:, 1], "5": logits[:, 2], "2": logits[:, 3]})
    np.save("y.npy", labels)
    assert "--header or --no-header" in report("x.csv", "y.npy", code=BAD_DATA)
    assert report("x.csv", "y.npy", "--header")
    Path("y.csv").write_text("0\n" + "\n".join(map(str, labels)))
    np.save("z.npy", logits)
    assert "say --header" in report("z.npy", "y.csv", code=BAD_DATA)
    assert report("x.csv", "y.csv", "--header")


def test_f1_two_arrays_of_labels(logits, labels):
    np.savez("x.npz", logits=logits, labels=labels, label=labels[::-1])
    assert "which are the labels? Name them with --labels-key" in report("x.npz", code=BAD_DATA)
    inputs = read_inputs(Path("x.npz"), None, Options(labels_key="labels"))
    np.testing.assert_array_equal(inputs.labels, labels)


def test_f1_logits_and_probabilities_in_one_file(logits, labels):
    np.savez("x.npz", logits=logits, probabilities=softmax(2 * logits), labels=labels)
    inputs = read_inputs(Path("x.npz"), None, Options(probabilities=True))
    np.testing.assert_allclose(np.exp(inputs.logits), softmax(2 * logits), rtol=1e-12)
    np.testing.assert_array_equal(read_inputs(Path("x.npz"), None, Options()).logits, logits)


def test_f1_a_field_that_is_there_twice():
    Path("x.jsonl").write_text('{"logits": [1, 2], "label": 1, "logits": [2, 1]}\n')
    assert "line 1: not a .jsonl file: has 'logits' twice" in report("x.jsonl", code=BAD_DATA)


def test_f1_how_the_files_were_read_is_said_first(logits, labels):
    write_csv("x.csv", columns(logits, label=np.array(list("abcd"))[labels]))
    for printed in (report("x.csv"), run("calibrate", "x.csv"), run("info", "x.csv")):
        assert "600 rows of 4 classes: a, b, c, d (the names of the columns)." in printed
        assert "Labels: x.csv: label; 4 names of classes." in printed
    first = report("x.csv").split("\n")
    assert first[0].startswith("Read 600 rows")
    assert numbers()["reading"]["lines"] == first[: len(numbers()["reading"]["lines"])]
    assert "names of classes" in Path("report.html").read_text()


# ---------------------------------------------------------------- F2: real probabilities


@pytest.mark.parametrize("method", ["temperature", "vector", "none"])
def test_f2_labels_of_probability_0_are_measured(method, logits, labels):
    p = softmax(2 * logits)
    p[p < 0.02] = 0
    p /= p.sum(axis=1, keepdims=True)
    np.savez("x.npz", probabilities=p, labels=labels)
    impossible = p[np.arange(ROWS), labels] == 0
    assert impossible.any()
    printed = report("x.npz", "--probabilities", "--method", method)
    assert f"{impossible.sum()} labels have probability 0" in printed
    assert "The NLL is infinite" in printed
    read = numbers()
    assert read["before"]["nll"]["value"] is None
    assert read["before"]["brier"]["value"] > 0
    assert "∞" in Path("report.html").read_text()
    if method == "temperature":
        assert "Brier score falls" in printed
        run("calibrate", "x.npz", "--probabilities")
        with np.errstate(divide="ignore"):
            fit = sigmax.fit_temperature(np.log(p[~impossible]), labels[~impossible])
        assert json.loads(Path("calibration.json").read_text())["temperature"] == fit.temperature


@pytest.mark.parametrize("digits", [2, 3])
def test_f2_rounded_probabilities_are_normalised_when_asked(digits, logits, labels):
    p = softmax(logits).round(digits)
    np.savez("x.npz", probabilities=p, labels=labels)
    printed = report("x.npz", "--probabilities", code=BAD_DATA)
    assert "probabilities must sum to 1" in printed
    assert "--normalize" in printed
    inputs = read_inputs(Path("x.npz"), None, Options(probabilities=True, normalize=True))
    np.testing.assert_allclose(np.exp(inputs.logits), p / p.sum(axis=1, keepdims=True), rtol=1e-12)
    percent = read_percent(100 * p, labels)
    np.testing.assert_allclose(np.exp(percent.logits), np.exp(inputs.logits), rtol=1e-12)


def read_percent(p, labels):
    np.savez("percent.npz", probabilities=p, labels=labels)
    return read_inputs(Path("percent.npz"), None, Options(probabilities=True, normalize=True))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("off", [0.5, 2.0])
def test_f2_the_tolerance_is_that_of_the_library(dtype, off):
    allowed = float(np.finfo(dtype).eps) ** 0.5
    p = np.array([[0.5, 0.5 - off * allowed]], dtype)
    np.save("p.npy", p)
    refusals = []
    for read in (
        lambda: sigmax.brier_score(p, [0], from_logits=False),
        lambda: read_logits(Path("p.npy"), Options(probabilities=True)),
    ):
        try:
            read()
            refusals.append("")
        except Exception as error:
            refusals.append(str(error))
    assert bool(refusals[0]) == bool(refusals[1]) == (off > 1)
    assert off < 1 or "probabilities must sum to 1" in refusals[1]


# ---------------------------------------------------------------- F3: what a calibration is of


def test_f3_a_calibration_knows_what_it_was_fitted_on(logits, labels):
    p = softmax(2 * logits)
    np.savez("x.npz", probabilities=p, labels=labels)
    np.save("p.npy", p)
    np.save("z.npy", logits)
    run("calibrate", "x.npz", "--probabilities")
    assert json.loads(Path("calibration.json").read_text())["input"] == "probabilities"
    run("apply", "p.npy", "calibration.json", "-o", "a.npy")
    run("apply", "p.npy", "calibration.json", "-o", "b.npy", "--probabilities")
    assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes()
    temperature = calibration_file.load(Path("calibration.json")).temperature
    np.testing.assert_allclose(np.load("a.npy"), softmax(np.log(p) / temperature), rtol=1e-9)
    printed = run("apply", "z.npy", "calibration.json", "-o", "c.npy", code=BAD_DATA)
    assert "probabilities must be in [0, 1]" in printed
    # A temperature is the same for both.
    run("apply", "z.npy", "calibration.json", "-o", "c.npy", "--logits")
    np.savez("y.npz", logits=logits, labels=labels)
    run("calibrate", "y.npz", "-o", "of_logits.json")
    printed = run("apply", "p.npy", "of_logits.json", "-o", "e.npy", code=BAD_DATA)
    assert "logits or probabilities?" in printed
    run("calibrate", "x.npz", "--probabilities", "--method", "vector")
    printed = run("apply", "z.npy", "calibration.json", "-o", "d.npy", "--logits", code=BAD_DATA)
    assert "was fitted on probabilities" in printed


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"temperature": 1e-320}, "temperature must be in [2^-1022"),
        ({"temperature": -1.0}, "temperature must be in [2^-1022"),
        ({"temperature": "2"}, "temperature must be a finite number, got '2'"),
        ({"classes": ["a", "b", "b", "c"]}, "classes must have different names"),
        ({"shares": [1, 2]}, "shares must be 4 finite numbers, got [1, 2]"),
        ({"multilabel": "no"}, "multilabel must be true or false, got 'no'"),
        ({"coverage": 2}, "coverage must be in (0, 1)"),
        ({"penalty": -1}, "penalty not negative"),
        ({"seed": -1}, "seed must not be negative"),
        ({"rows": 1.5}, "rows must be an integer"),
        ({"randomized": "no"}, "randomized must be true or false"),
    ],
)
def test_f3_a_calibration_that_was_edited(changes, what, logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    np.save("z.npy", logits)
    run("calibrate", "x.npz", "--sets", "raps")
    value = json.loads(Path("calibration.json").read_text())
    name = next(iter(changes))
    (value["sets"] if name in value["sets"] else value).update(changes)
    Path("calibration.json").write_text(json.dumps(value))
    printed = run("apply", "z.npy", "calibration.json", "-o", "p.npy", code=BAD_DATA)
    assert "calibration.json: not a calibration that `sigmax calibrate` wrote: " in printed
    assert what in printed
    assert not Path("p.npy").exists()


def test_f3_a_number_that_is_there_twice(logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    run("calibrate", "x.npz")
    text = Path("calibration.json").read_text().rstrip()
    Path("calibration.json").write_text(text.removesuffix("}") + ', "temperature": 3}')
    printed = run("apply", "x.npz", "calibration.json", "-o", "p.npy", code=BAD_DATA)
    assert "has 'temperature' twice" in printed


def test_f3_columns_of_other_names_are_not_the_classes(logits, labels):
    write_csv("x.csv", columns(logits, label=labels))
    run("calibrate", "x.csv", "--method", "vector")
    write_csv("other.csv", dict(zip("efgh", logits.T, strict=True)))
    write_csv("order.csv", dict(reversed(columns(logits).items())))
    np.save("z.npy", logits)
    options = ("calibration.json", "-o", "p.npy")
    printed = run("apply", "other.csv", *options, code=BAD_DATA)
    assert "other.csv: are its columns e, f, g, h the classes a, b, c, d?" in printed
    assert "--logits-key" in printed
    run("apply", "order.csv", *options)  # whatever their order
    p = np.load("p.npy")
    for words_of in (["other.csv", *options, "--logits-key", "e,f,g,h"], ["z.npy", *options]):
        run("apply", *words_of)
        np.testing.assert_array_equal(np.load("p.npy"), p)


@pytest.mark.parametrize("size", [1e308, 1e-320])
def test_f3_shares_of_any_size(size, logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    run("calibrate", "x.npz")
    run("apply", "x.npz", "calibration.json", "-o", "p.npy", "--prior", "1,1,1,1")
    expected = np.load("p.npy")
    shares = ",".join([str(size)] * 4)
    run("apply", "x.npz", "calibration.json", "-o", "p.npy", "--prior", shares)
    np.testing.assert_allclose(np.load("p.npy"), expected, rtol=1e-12)


# ---------------------------------------------------------------- F4: verdicts


def made(logits, labels, groups=None, weights=None, **choices):
    inputs = Inputs(
        logits, labels, groups, tuple(map(str, range(logits.shape[1]))), (), (len(logits),), weights
    )
    return study(inputs, Choices(**{"resamples": 200, **choices}))


def test_f4_a_change_that_is_certain_but_not_worth_having():
    """A temperature of 1.02 over very many rows."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(120_000, 3)) * 2
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    result = made(1.03 * logits, labels)
    low, high = result["fit"]["interval"]
    assert 1 < low < high < 1.06
    assert result["difference"]["nll"]["interval"][1] < 0
    assert result["verdict"]["key"] == "no_gain"
    assert (
        "below what is worth having" in result["verdict"]["text"]
        or "significant" in result["verdict"]["text"]
    )


def test_f4_a_temperature_that_may_be_1():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(300, 3)) * 2
        labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        result = made(logits, labels, seed=seed)
        low, high = result["fit"]["interval"]
        if low <= 1 <= high:
            assert result["verdict"]["key"] == "no_gain"
            assert "cannot be told from 1" in result["verdict"]["text"]


@pytest.mark.parametrize("rows", [2, 3, 20, 90])
@pytest.mark.parametrize("method", ["temperature", "none"])
def test_f4_too_few_rows(rows, method):
    """Two rows were honest already at an ECE of 57 %."""
    logits = np.tile([[0.3, 0.0], [0.0, 0.3]], (rows, 1))[:rows]
    result = made(logits, np.arange(rows) % 2, method=method)
    if result["split"]["test"] < 50:
        assert result["verdict"]["key"] == "too_few"
        assert "Too few rows to tell" in result["verdict"]["headline"]
        assert "rows at least" in result["verdict"]["advice"]


def test_f4_too_few_groups():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 3)) * 5
    result = made(logits, rng.integers(0, 3, 400), np.arange(400) // 100)
    assert result["verdict"]["key"] == "too_few"
    assert "groups" in result["verdict"]["headline"]


def test_f4_all_right_is_not_certainly_all_right():
    logits = np.tile([[3.0, 0.0], [0.0, 3.0]], (100, 1))
    accuracy = sigmax.evaluate(logits, np.arange(200) % 2).accuracy
    assert accuracy == 1
    z = 1.959963984540054
    assert accuracy.interval == pytest.approx((200 / (200 + z * z), 1.0))
    grouped = sigmax.evaluate(logits, np.arange(200) % 2, groups=np.arange(200) // 20).accuracy
    assert grouped.interval == pytest.approx((10 / (10 + z * z), 1.0))


@pytest.mark.parametrize("rows", [5, 40, 1000])
@pytest.mark.parametrize("margin", [0.0, 1e-300, 1.3])
def test_f4_equal_losses_have_no_interval(rows, margin):
    """Their sums are rounded: of 1,000 equal rows the interval was (inf, inf)."""
    labels = np.arange(rows) % 3
    found = sigmax.evaluate(margin * np.eye(3)[labels], labels, resamples=100)
    for estimate in (found.nll, found.brier):
        assert estimate.interval == (estimate, estimate)


def test_f4_one_loss_unlike_the_others_is_no_large_number():
    """Resamples without that row have a spread of 0, not of roundings."""
    logits, labels = np.tile([[0.7, 0.0, 0.0]], (100, 1)), np.zeros(100, int)
    logits[0], labels[0] = (0, 0, 2), 1
    low, high = sigmax.evaluate(logits, labels, resamples=500).nll.interval
    assert 0.65 < low < 0.7
    assert high == np.inf


@pytest.mark.parametrize("exponent", [-600, 0, 900])
def test_f4_intervals_of_losses_of_any_size(exponent, rng):
    losses = np.ldexp(np.array([1.0, 3.0] * 25), exponent)
    draws = rng.multinomial(50, np.full(50, 0.02), 200).astype(float)
    mean = losses.mean()
    expected = sigmax._intervals.of_mean(2.0, losses / (mean / 2), np.ones(50), draws, 0.95)
    found = sigmax._intervals.of_mean(mean, losses, np.ones(50), draws, 0.95)
    np.testing.assert_allclose(np.array(found) / (mean / 2), expected, rtol=1e-12)
    assert expected[0] < 2 < expected[1] < 3


def test_f4_numbers_that_are_shown_alike_stay():
    result = {
        "before": {"nll": {"value": 5.9621}},
        "after": {"nll": {"value": 5.9624}},
        "difference": {"nll": {"interval": [0.0001, 0.0005]}},
    }
    assert verdicts._move(result, "nll", words.nats) == "NLL stays at 5.962 (significant)"


@pytest.mark.slow
@pytest.mark.parametrize("rows", [30, 100, 1000])
def test_f4_intervals_of_the_calibration_error_hold_its_true_value(rows):
    """95 of 100 do; 82 is 6 standard errors off. The table of tools/simulate_verdicts.py has all of them."""
    held = 0
    for seed in range(100):
        rng = np.random.default_rng([rows, seed])
        factor = (0.5, 1.0, 1.5, 3.0)[seed % 4]
        x, true = population(np.random.default_rng(0), 40_000, factor)
        error = sigmax.calibration_error(x, true)
        logits, p = population(rng, rows, factor)
        labels = (p.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
        low, high = sigmax.evaluate(logits, labels, resamples=200).ece.interval
        held += low <= error <= high
    assert held >= 82


def population(rng, rows, factor):
    z = rng.normal(size=(rows, 3)) * 1.5
    return factor * z, softmax(z)


# ---------------------------------------------------------------- F5: winners and ties (more in test_evaluation.py)


def test_f5_winners_of_tiny_logits(logits):
    np.savez("x.npz", logits=logits * 1e-30, labels=logits.argmax(axis=1))
    report("x.npz", "--method", "none")
    read = numbers()
    assert read["before"]["accuracy"]["value"] == 1
    assert all(row["recall"] == 1 for row in read["per_class"])


# ---------------------------------------------------------------- F6: exceptions


@pytest.mark.parametrize("cut", [10, 200, 3000, -100, -30, "flip"])
def test_f6_a_broken_archive(cut, logits, labels):
    np.savez_compressed("x.npz", logits=logits, labels=labels)
    data = bytearray(Path("x.npz").read_bytes())
    if cut == "flip":
        data[500:520] = bytes(20)
    else:
        del data[cut:]
    Path("x.npz").write_bytes(bytes(data))
    assert "sigmax: x.npz: " in report("x.npz", code=BAD_DATA)


@pytest.mark.parametrize("text", ["a,b,label\n", "a,b,label", "\n\n", "", '"a', "a,b\x00"])
def test_f6_a_table_without_rows(text):
    Path("x.csv").write_text(text)
    assert "sigmax: x.csv" in report("x.csv", code=BAD_DATA)
    run("info", "x.csv", code=0 if text.startswith("a,b") else BAD_DATA)


def test_f6_lists_without_numbers():
    empty = pa.array([[], []], pa.list_(pa.float64()))
    pa.parquet.write_table(pa.table({"logits": empty, "label": [0, 1]}), "x.parquet")
    printed = report("x.parquet", code=BAD_DATA)
    assert "row 0, column 'logits': must be a list of numbers, got '[]'" in printed


def test_f6_a_file_that_is_no_gzip():
    Path("x.csv.gz").write_bytes(b"\x1f\x8bnonsense")
    assert "not a .csv file" in report("x.csv.gz", code=BAD_DATA)
    Path("x.npy.gz").write_bytes(gzip.compress(b"\x93NUMPY\x01\x00")[:-4])
    np.save("y.npy", np.zeros(3, int))
    assert "not a .gz file" in report("x.npy.gz", "y.npy", code=BAD_DATA)


@pytest.mark.parametrize("error", [ValueError, TypeError, IndexError, KeyError, AssertionError])
def test_f6_a_programming_error_keeps_its_traceback(error, monkeypatch, logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)

    def broken(*_):
        raise error("oops")

    monkeypatch.setattr(work, "say", broken)
    with pytest.raises(error, match="oops"):
        run("report", "x.npz", code=1)


def test_f6_without_pyarrow(logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    pa.parquet.write_table(pa.table(columns(logits)), "x.parquet")
    for words_of, code, expected in (
        (["report", "x.parquet", "x.npz"], 1, "sigmax: needs pyarrow: pip install 'sigmax[cli]'\n"),
        (["report", "x.npz", "--resamples", "20"], 0, ""),
    ):
        hide = (
            f"import sys; sys.modules['pyarrow'] = None; sys.argv = {['sigmax', *words_of]!r}; "
            "import sigmax.cli; sigmax.cli.main()"
        )
        result = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (code, expected)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_f6_interrupted_while_it_is_imported(by, logits, labels):
    """As soon as the command answers at all, which Python does not while it starts itself."""
    np.savez("x.npz", logits=logits, labels=labels)
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "sigmax", "report", "x.npz"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "numpy" not in (
        line := process.stderr.readline()
    ):  # is imported after the command is known
        assert line, "it ended"
    process.send_signal(by)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.endswith("sigmax: interrupted, nothing was written\n")


def test_f6_the_numbers_of_a_report_need_no_command_line():
    hide = (
        "import sys; sys.modules.update(typer=None, rich=None, pyarrow=None, matplotlib=None, jinja2=None)\n"
        "import numpy as np, sigmax.report.study as s; from sigmax.files.inputs import Inputs\n"
        "x = np.random.default_rng(0).normal(size=(300, 3))\n"
        "print(s.study(Inputs(x, x.argmax(1), None, tuple('abc')), s.Choices(resamples=20))['verdict']['key'])"
    )
    result = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True)
    assert result.stdout == "separable\n", result.stderr


# ---------------------------------------------------------------- F7: outputs


def test_f7_outputs_do_not_replace_inputs(logits, labels):
    np.save("z.npy", logits)
    np.save("y.npy", labels)
    run("calibrate", "z.npy", "y.npy")
    os.link("z.npy", "link.npy")
    Path("symbolic.npy").symlink_to("y.npy")
    Path("w.csv").write_text("1\n" * ROWS)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    for words_of in (
        ["apply", "z.npy", "calibration.json", "-o", "z.npy"],
        ["apply", "z.npy", "calibration.json", "-o", "link.npy"],
        ["softmax", "z.npy", "-o", "./z.npy"],
        ["calibrate", "z.npy", "y.npy", "-o", "z.npy"],
        ["calibrate", "z.npy", "y.npy", "-o", "y.npy"],
        ["apply", "symbolic.npy", "calibration.json", "-o", "y.npy"],
        ["apply", "z.npy", "calibration.json", "-o", "calibration.json"],
        ["report", "z.npy", "y.npy", "-o", "calibration.html"],  # with calibration.json beside it
    ):
        printed = run(*words_of, code=BAD_DATA)
        assert "sigmax: " in printed
        assert {path.name: path.read_bytes() for path in Path().iterdir()} == before, words_of


def test_f7_what_is_not_its_like_is_not_replaced(logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    Path("model.json").write_text('{"layers": 3}')
    Path("index.html").write_text("<p>mine</p>")
    for words_of in (
        ["calibrate", "x.npz", "-o", "model.json"],
        ["report", "x.npz", "-o", "model.html"],
        ["report", "x.npz", "-o", "index.html"],
        ["demo", "-o", "model.html"],
    ):
        assert "not overwritten" in run(*words_of, code=BAD_DATA)
    assert not Path("model.html").exists()
    for _ in range(2):  # but its like is
        run("calibrate", "x.npz", "-o", "new.json")
        report("x.npz")


def test_f7_no_numbers_without_their_page(logits, labels, monkeypatch):
    np.savez("x.npz", logits=logits, labels=labels)
    with monkeypatch.context() as patch:
        patch.setattr("sigmax.report.page.page", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            report("x.npz", code=1)
    assert [path.name for path in Path().iterdir()] == ["x.npz"]


def test_f7_places_are_checked_before_the_work(monkeypatch, logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    monkeypatch.setattr(work, "read_inputs", lambda *_: pytest.fail("it has been read"))
    monkeypatch.setattr(work, "read_logits", lambda *_: pytest.fail("it has been read"))
    Path("dir.html").mkdir()
    Path("c.json").write_text("{}")
    for words_of in (
        ["report", "x.npz", "-o", "no/report.html"],
        ["report", "x.npz", "-o", "dir.html"],
        ["report", "x.npz", "-o", "report.txt"],
        ["calibrate", "x.npz", "-o", "no/c.json"],
        ["apply", "x.npz", "c.json", "-o", "p.txt"],
        ["softmax", "x.npz", "-o", "no/p.npy"],
    ):
        assert "sigmax: " in run(*words_of, code=BAD_DATA)


# ---------------------------------------------------------------- F8: wide tables


def test_f8_a_wide_table_is_read_once(monkeypatch, rng):
    """As many passes for 1,000 columns as for 10, and as many lines but for the columns it shows."""
    opened = []
    for count in (10, 1000):
        write_csv(f"x{count}.csv", {f"c{k}": x for k, x in enumerate(rng.normal(size=(count, 30)))})
        passes = []
        rows = sigmax.files.tables.Csv.rows
        with monkeypatch.context() as patch:
            patch.setattr(
                sigmax.files.tables.Csv,
                "rows",
                lambda self, rows=rows, passes=passes: passes.append(1) or rows(self),
            )
            printed = run("info", f"x{count}.csv")
        opened.append((len(passes), len(printed.splitlines())))
    assert opened[0][0] == opened[1][0]
    assert opened[1][1] < 200


@pytest.mark.parametrize("option", ["--bins", "--resamples"])
def test_f8_options_are_bounded(option):
    np.savez("x.npz", logits=np.eye(2), labels=[0, 1])
    assert option in run("report", "x.npz", option, 10**7, code=USAGE)


# ---------------------------------------------------------------- F9: the page (looked at, at 390 and 1280 px)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.nats(822704.033), "822,704.0"),
        (words.nats(8.22704e11), "8.23·10¹¹"),
        (words.number(2.5e30), "2.50·10³⁰"),
        (words.number(1.2e-9), "1.2e-09"),
        (words.interval((1e12, 2e12), words.number), "1.00·10¹² to 2.00·10¹²"),
        (words.shortened("x" * 200), "x" * 40 + "…" + "x" * 19),
    ],
)
def test_f9_large_numbers_are_short(text, expected):
    assert text == expected


@pytest.mark.parametrize("factor", [1e-25, 1.0, 1e6, 1e25])
def test_f9_ticks_do_not_pile_up(factor, logits, labels):
    from sigmax.report.figures import _temperature_ticks

    result = made(logits * factor, labels)
    curve = result["temperature_curve"]["temperature"]
    ticks = _temperature_ticks(curve[0], curve[-1])
    assert 2 <= len(ticks) <= 8
    assert curve[0] <= ticks[0] < ticks[-1] <= curve[-1]


def test_f9_a_share_has_no_ticks_above_100_percent():
    result = made(np.tile([[9.0, 0.0]], (200, 1)), np.arange(200) % 2)
    about = {
        "title": "",
        "created": "",
        "apply_commands": None,
        "command": "",
        "files": [],
        "conditions": [],
        "sigmax": "",
    }
    html = page({"schema": 1, **about, **result})
    shares = [int(x) for x in re.findall(r">(\d+) %</text>", html)]
    assert max(shares) == 100


# ---------------------------------------------------------------- F10: messages


@pytest.mark.parametrize("bad", ["1_000", "oops", "0x10", "1.2.3", "--"])
def test_f10_the_right_row_and_line(bad):
    Path("x.csv").write_text(f"a,b,label\n\n1,2,0\n\n3,4,1\n5,{bad},1\n")
    printed = report("x.csv", code=BAD_DATA)
    assert "row 2 (line 6), column 'b': must be a number" in printed
    assert repr(bad) in printed


def test_f10_a_quoted_line_break_counts_as_a_line():
    Path("x.csv").write_text('a,b,note,label\n1,2,"x\ny",0\n3,oops,z,1\n')
    assert "row 1 (line 4)" in report("x.csv", "--drop", "note", code=BAD_DATA)


def test_f10_a_long_text_cell(logits, labels):
    text = np.array(["y"] * ROWS, object)
    text[3] = "x" * 3_000_000
    write_csv("x.csv", columns(logits, note=text, label=labels))
    printed = report("x.csv", code=BAD_DATA)
    assert "column 'note': must be a number" in printed
    assert "--drop 'note'" in printed
    assert len(printed) < 1000
    report("x.csv", "--drop", "note")


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ({0: -1, 1: 1}, "--classes=-1,1"),
        ({0: 0, 1: -100}, "--ignore-index=-100"),
        ({0: "A", 1: "b"}, "differs from 'a' in case or spaces"),
        ({0: "a ", 1: "b"}, "differs from 'a' in case or spaces"),
    ],
)
def test_f10_hints_about_labels(label, hint, rng):
    x = rng.normal(size=(ROWS, 2))
    write_csv("x.csv", {"a": x[:, 0], "b": x[:, 1], "label": [label[k] for k in x.argmax(axis=1)]})
    assert hint in report("x.csv", code=BAD_DATA)


def test_f10_labels_of_minus_1_and_1(rng):
    x = rng.normal(size=ROWS) * 2
    y = np.where(rng.random(ROWS) < 1 / (1 + np.exp(-x)), 1, -1)
    np.savez("x.npz", logits=x, labels=y)
    inputs = read_inputs(Path("x.npz"), None, Options(classes="-1,1"))
    np.testing.assert_array_equal(inputs.labels, (y + 1) // 2)


def test_f10_a_pipe_does_not_hang(logits):
    np.save("z.npy", logits)
    os.mkfifo("pipe.csv")
    for words_of in (["pipe.csv", "z.npy"], ["z.npy", "pipe.csv"]):
        assert "through a pipe" in report(*words_of, code=BAD_DATA)


def test_f10_a_calibration_through_a_pipe_does_not_hang(logits):
    np.save("z.npy", logits)
    os.mkfifo("pipe.json")
    printed = run("apply", "z.npy", "pipe.json", "-o", "p.npy", code=BAD_DATA)
    assert "pipe.json: is not a file" in printed


def test_f10_names_of_classes_in_a_file(logits, labels):
    np.savez("x.npz", logits=logits, labels=np.array(list("abcd"))[labels])
    Path("names.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\nc\r\nd\r\n")
    inputs = read_inputs(Path("x.npz"), None, Options(classes="names.txt"))
    np.testing.assert_array_equal(inputs.labels, labels)
    Path("names.txt").write_bytes("é\nb\nc\nd".encode("latin-1"))
    printed = report("x.npz", "--classes", "names.txt", code=BAD_DATA)
    assert "names.txt: --classes must be a file of names in UTF-8" in printed


@pytest.mark.parametrize(
    ("option", "suffixes"), [("--only=x=1", ".jsonl"), ("--header", ".csv or .tsv")]
)
def test_f10_an_option_that_no_file_has_a_use_for(option, suffixes, logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    name = option.split("=")[0]
    printed = run("calibrate", "x.npz", option, code=BAD_DATA)
    assert f"{name} is for files that are {suffixes}" in printed


def test_f10_slices_by_an_array_of_the_file(logits, labels):
    np.savez("x.npz", logits=logits, labels=labels, site=labels % 2)
    report("x.npz", "--by", "site")
    assert {row["name"] for row in numbers()["parts"]["slices"]} == {"0", "1"}


def test_f10_an_address_without_a_port(logits, labels):
    np.savez("x.npz", logits=logits, labels=labels)
    printed = report("x.npz", "--scheduler", "nowhere", code=BAD_DATA)
    assert "--scheduler must be tcp://host:port, got 'nowhere'" in printed


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".npz", ".parquet", ".npy"])
def test_f10_standard_input(suffix, logits, labels):
    np.save("y.npy", labels)
    match suffix:
        case ".npy":
            np.save("x.npy", logits)
        case ".npz":
            np.savez("x.npz", logits)
        case ".parquet":
            pa.parquet.write_table(pa.table(columns(logits)), "x.parquet")
        case _:
            write_csv("x.csv", columns(logits))
            Path("x.csv.gz").write_bytes(gzip.compress(Path("x.csv").read_bytes()))
    report("-", "y.npy", stdin=Path(f"x{suffix}").read_bytes())
    read = numbers()
    assert read["command"] == "sigmax report - y.npy --resamples 50"
    assert read["files"][0]["name"] == "standard input"
    report(f"x{suffix}", "y.npy")
    assert numbers()["before"] == read["before"]
    assert "standard input is read once" in report("-", "-", stdin=b"", code=BAD_DATA)


def test_f10_bfloat16(logits, labels):
    np.savez("x.npz", logits=logits.astype(ml_dtypes.bfloat16), labels=labels)
    inputs = read_inputs(Path("x.npz"), None, Options())
    np.testing.assert_array_equal(
        inputs.logits, logits.astype(ml_dtypes.bfloat16).astype(np.float32)
    )
    assert "read as bfloat16" in report("x.npz")


def test_f10_text_in_views(logits, labels):
    names = pa.array(np.array(list("abcd"))[labels]).cast(pa.string_view())
    pa.parquet.write_table(pa.table(columns(logits) | {"label": names}), "x.parquet")
    np.testing.assert_array_equal(read_inputs(Path("x.parquet"), None, Options()).labels, labels)
    texts = pa.array(list(map(str, logits[:, 0]))).cast(pa.string_view())
    pa.parquet.write_table(pa.table(columns(logits) | {"a": texts, "label": names}), "x.parquet")
    np.testing.assert_array_equal(read_inputs(Path("x.parquet"), None, Options()).logits, logits)


@pytest.mark.parametrize("words_of", [("True", "False"), ("true", "false")])
def test_f10_booleans(words_of, rng):
    x = rng.normal(size=ROWS)
    y = x + rng.normal(size=ROWS) > 0
    write_csv("x.csv", {"score": x, "label": [words_of[not k] for k in y]})
    np.testing.assert_array_equal(read_inputs(Path("x.csv"), None, Options()).labels, y)
    names = {"a": ~y, "b": y}
    write_csv("q.csv", {name: [words_of[not k] for k in x] for name, x in names.items()})
    inputs = read_inputs(Path("x.csv"), Path("q.csv"), Options(logits_key="score"))
    np.testing.assert_array_equal(inputs.labels, np.stack([~y, y], axis=1))


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.csv.gz"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_f10_delimiters(name, mark, decimal, logits, labels):
    if decimal == mark:
        return
    write_csv("plain", columns(logits, label=labels), mark=mark, decimal=decimal)
    data = Path("plain").read_bytes()
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    inputs = read_inputs(Path(name), None, Options())
    np.testing.assert_array_equal(inputs.logits, logits)
    np.testing.assert_array_equal(inputs.labels, labels)


def test_f10_what_savetxt_writes(logits, labels):
    np.savetxt("x.csv", logits)
    np.savetxt("y.csv", labels)
    np.testing.assert_allclose(read_inputs(Path("x.csv"), Path("y.csv"), Options()).logits, logits)


def test_f10_classes_along_another_axis(logits, labels):
    np.savez("x.npz", logits=logits.T, labels=labels, soft=np.eye(4)[labels].T)
    np.save("y.npy", labels)
    for options in (Options(axis=0), Options(axis=-2), Options(axis=0, labels_key="soft")):
        inputs = read_inputs(Path("x.npz"), None, options)
        np.testing.assert_array_equal(inputs.logits, logits)
    np.testing.assert_array_equal(inputs.labels, np.eye(4)[labels])
    np.save("z.npy", logits.T)
    np.save("four.npy", np.arange(600) % 4)
    assert "--axis" in report("z.npy", "four.npy", "--axis", 5, code=BAD_DATA)


def test_f10_a_label_of_a_class_that_the_smallest_number_masks(logits, labels):
    logits[:, 1] = np.finfo(float).min
    np.savez("x.npz", logits=logits, labels=labels)
    row = int(np.argmax(labels == 1))
    assert f"row {row}: the label is of a masked class" in report("x.npz", code=BAD_DATA)
    np.savez("x.npz", logits=logits, labels=np.where(labels == 1, 0, labels))
    report("x.npz", "--classes", 4)


# ---------------------------------------------------------------- options of the reader


def test_weights_count(rng, logits, labels):
    """A row of weight 2 counts as two, one of weight 0 as none."""
    weights = rng.integers(0, 3, ROWS).astype(float)
    logits = 2 * logits
    write_csv("x.csv", columns(logits, label=labels, w=weights))
    inputs = read_inputs(Path("x.csv"), None, Options(weights="w"))
    np.testing.assert_array_equal(inputs.weights, weights)
    printed = report("x.csv", "--weights", "w", "--method", "none")
    assert "by weight" in printed
    read = numbers()
    repeated = np.repeat(np.arange(ROWS), weights.astype(int))
    expected = sigmax.evaluate(logits[repeated], labels[repeated], resamples=2)
    for name in ("accuracy", "nll", "brier", "ece", "classwise_ece"):
        assert read["before"][name]["value"] == pytest.approx(float(getattr(expected, name)))
    p = softmax(logits)[repeated]
    assert read["before"]["mean_confidence"] == pytest.approx(p.max(axis=1).mean())
    for row in read["per_class"]:
        assert row["share"] == pytest.approx(np.mean(labels[repeated] == row["index"]))
    run("calibrate", "x.csv", "--weights", "w")
    fit = sigmax.fit_temperature(logits[repeated], labels[repeated])
    assert json.loads(Path("calibration.json").read_text())["temperature"] == pytest.approx(
        fit.temperature
    )
    for bad, what in ((-1.0, "not negative, got -1"), (np.inf, "finite")):
        weights[5] = bad
        write_csv("x.csv", columns(logits, label=labels, w=weights))
        assert (
            f"row 5: weights must be finite and {'not negative' if what != 'finite' else ''}"
            in report("x.csv", "--weights", "w", code=BAD_DATA)
        )


def test_patterns_name_columns(logits, labels):
    table = {f"logit_{name}": x for name, x in columns(logits).items()}
    write_csv("x.csv", {"junk": labels, **table, "other": labels, "y": labels})
    inputs = read_inputs(Path("x.csv"), None, Options(logits_key="logit_*", labels_key="y"))
    assert inputs.classes == tuple(table)
    inputs = read_inputs(Path("x.csv"), None, Options(drop="junk,oth*", labels_key="y"))
    assert inputs.classes == tuple(table)
    for options, what in (
        (Options(logits_key="x_*", labels_key="y"), "x_*"),
        (Options(drop="q", labels_key="y"), "q"),
    ):
        with pytest.raises(sigmax.files.errors.DataError, match=re.escape(f"no column {what!r}")):
            read_inputs(Path("x.csv"), None, options)


def test_the_commands_of_a_report_have_its_options(logits, labels):
    write_csv(
        "x.csv",
        {"id": np.arange(ROWS)}
        | columns(100 * softmax(2 * logits), label=labels + 1, w=np.ones(ROWS)),
    )
    options = (
        "--drop",
        "id",
        "--probabilities",
        "--normalize",
        "--labels-as",
        "indices-from-1",
        "--weights",
        "w",
        "--header",
    )
    report("x.csv", *options)
    assert numbers()["verdict"]["key"] == "better"
    for line in numbers()["apply_commands"].split("\n"):
        run(*shlex.split(line)[1:])
    assert np.load("probabilities.npy").shape == (ROWS, 4)


# ---------------------------------------------------------------- fuzzing


def test_mutated_files_are_read_or_refused():
    """The long run is `python tests/support/fuzz_files.py`."""
    outcome = fuzz_files.fuzz(400, seed=3, commands_of=100)
    assert sum(outcome.values()) == 400
    assert {what for _, what in outcome} == {"read", "refused"}
