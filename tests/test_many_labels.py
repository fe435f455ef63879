"""Many labels on the command line: groups, weights, unknown labels, fits for all and for each, certain rows."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sigmax
from sigmax.cli.commands import app

SAMPLES, LABELS = 600, 4
BAD_DATA = 1


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A directory with logits, labels, documents of four samples and weights; the last label is separable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, LABELS)) * 2
    y = (rng.random(x.shape) < sigmax.sigmoid(x * [0.3, 0.6, 1.0, 1.0])).astype(int)
    y[:, 3] = x[:, 3] > 0
    found = {"x": x, "y": y, "documents": np.arange(SAMPLES) // 4, "weights": rng.random(SAMPLES)}
    for name, array in found.items():
        np.save(f"{name}.npy", array)
    return found


def run(*words, code=0):
    result = CliRunner().invoke(app, list(map(str, words)), prog_name="sigmax")
    assert result.exit_code == code, result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return re.sub(r"\x1b\[[\d;]*m", "", result.output)


def applied(*words, logits="x.npy"):
    run("calibrate", logits, "y.npy", "--multilabel", *words)
    run("apply", logits, "calibration.json", "-o", "p.npy")
    return np.load("p.npy")


@pytest.mark.parametrize("method", ["temperature", "platt", "beta", "isotonic"])
def test_one_fit_for_all_labels(data, method):
    fit = getattr(sigmax, f"fit_{method}")(data["x"], data["y"], multilabel=True)
    p = applied("--method", method)
    np.testing.assert_allclose(p, fit.apply(data["x"]), rtol=1e-12)
    assert json.loads(Path("calibration.json").read_text())["classes"] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("method", ["temperature", "platt", "beta", "isotonic"])
def test_a_fit_for_each_label(data, method):
    make = getattr(sigmax, f"fit_{method}")
    weights = data["weights"]
    fits = sigmax.fit_per_label(make, data["x"], data["y"], sample_weight=weights)
    p = applied("--method", method, "--per-label", "--weights", "weights.npy")
    np.testing.assert_allclose(p, fits.apply(data["x"]), rtol=1e-12)
    value = json.loads(Path("calibration.json").read_text())
    assert (value["labels"][3]["method"] == "none") == (3 in fits.refused)
    losses = [fit.nll_before for fit in fits.fits]
    assert value["nll_before"] == pytest.approx(np.mean(losses))
    assert value["nll_after"] < value["nll_before"]


def test_probabilities_of_which_some_are_certain(data):
    """What is certain and right stays so; what is certain and wrong no fit repairs: both are left out."""
    x, y = data["x"].copy(), data["y"]
    p = sigmax.sigmoid(x)
    p[:2, :3] = y[:2, :3]
    p[2, :3] = 1 - y[2, :3]
    np.save("certain.npy", p)
    where = np.ones(x.shape, bool)
    where[:3, :3] = False
    fit = sigmax.fit_platt(np.where(where, x, 0), y, multilabel=True, where=where)
    found = applied("--method", "platt", "--probabilities", logits="certain.npy")
    np.testing.assert_allclose(found[where], fit.apply(x)[where], rtol=1e-9)
    np.testing.assert_array_equal(found[:3, :3], p[:3, :3])
    words = ["--probabilities", "--resamples", 20, "--method", "isotonic", "--per-label"]
    run("report", "certain.npy", "y.npy", "--multilabel", *words)
    assert json.loads(Path("report.json").read_text())["data"]["impossible"] in (0, 3)


def test_certain_probabilities_of_two_classes(data):
    x, y = data["x"][:, 0], data["y"][:, 0]
    p = sigmax.sigmoid(x)
    p[:5] = y[:5]
    np.save("certain.npy", p)
    np.save("y.npy", y)
    fit = sigmax.fit_platt(x[5:], y[5:])
    run("calibrate", "certain.npy", "y.npy", "--probabilities", "--method", "platt")
    value = json.loads(Path("calibration.json").read_text())
    assert value["scale"] == pytest.approx(fit.scale, rel=1e-9)
    words = ["--probabilities", "--method", "beta", "--resamples", 20]
    run("report", "certain.npy", "y.npy", *words)


def test_a_report_by_groups_and_weights(data):
    weights = ["--groups", "documents.npy", "--weights", "weights.npy"]
    words = ["--multilabel", "--method", "none", "--resamples", 100]
    run("report", "x.npy", "y.npy", *words, *weights)
    numbers = json.loads(Path("report.json").read_text())
    x, y, w, of = (data[name] for name in ("x", "y", "weights", "documents"))
    own = sigmax.evaluate(
        x, y, multilabel=True, sample_weight=w, groups=np.repeat(of[:, None], LABELS, axis=1), resamples=100
    )  # fmt: skip
    for name in ("accuracy", "nll", "ece"):
        estimate = getattr(own, name)
        assert numbers["before"][name]["value"] == pytest.approx(float(estimate), rel=1e-12)
        assert numbers["before"][name]["interval"] == pytest.approx(list(estimate.interval))
    right = ((x >= 0) == y).all(axis=1)
    together = numbers["labels"]["jointly"]["before"]["all_right"]
    assert together["value"] == pytest.approx(w @ right / w.sum())
    low, high = together["interval"]
    assert low < together["value"] < high
    assert numbers["split"]["groups"]["test"] == SAMPLES // 4
    assert numbers["labels"]["samples"] == SAMPLES
    alone = sigmax.evaluate_binary(x[:, 0], y[:, 0], sample_weight=w, groups=of, resamples=100)
    (row,) = (row for row in numbers["labels"]["rows"] if row["index"] == 0)
    assert row["before"]["roc_auc"]["interval"] == pytest.approx(list(alone.roc_auc.interval))


def test_means_over_labels_have_the_interval_of_samples_drawn_anew(data):
    """Labels of a document are not independent: a bootstrap of documents knows it too."""
    x, y, of = data["x"], data["y"], data["documents"]
    x[:] = x[of * 4]  # four samples of a document are alike
    y[:] = y[of * 4]
    np.save("x.npy", x)
    np.save("y.npy", y)
    words = ["--multilabel", "--method", "none", "--resamples", 50, "--groups", "documents.npy"]
    run("report", "x.npy", "y.npy", *words)
    means = json.loads(Path("report.json").read_text())["labels"]["jointly"]["before"]

    def macro(x, y):
        parts = [sigmax.evaluate_binary(x[:, k], y[:, k], resamples=1) for k in range(LABELS)]
        return [np.mean([getattr(p, name) for p in parts]) for name in names]

    names = ["roc_auc", "average_precision", "f1"]
    assert [means[name]["value"] for name in names] == pytest.approx(macro(x, y))
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(200):
        rows = (rng.integers(0, SAMPLES // 4, SAMPLES // 4)[:, None] * 4 + np.arange(4)).ravel()
        drawn.append(macro(x[rows], y[rows]))
    for name, spread in zip(names, np.std(drawn, axis=0), strict=True):
        low, high = means[name]["interval"]
        assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.2)


def test_weights_of_each_label_and_labels_that_are_unknown(data):
    """A weight of 0, or a label that is ignored, leaves a question out, not its sample."""
    unknown = np.random.default_rng(1).random((SAMPLES, LABELS)) < 0.2
    np.save("own.npy", (~unknown).astype(float))
    words = ["--multilabel", "--method", "none", "--resamples", 50]
    run("report", "x.npy", "y.npy", *words, "--weights", "own.npy")
    by_weight = json.loads(Path("report.json").read_text())
    np.save("y.npy", np.where(unknown, -1, data["y"]))
    run("report", "x.npy", "y.npy", *words, "--ignore-index", -1, "--fail-if", "all_right < 1%")
    numbers = json.loads(Path("report.json").read_text())
    assert numbers["before"]["rows"] == np.count_nonzero(~unknown)
    assert numbers["before"]["nll"] == by_weight["before"]["nll"]
    right = ((data["x"] >= 0) == data["y"]) | unknown
    some = ~unknown.all(axis=1)
    all_right = numbers["labels"]["jointly"]["before"]["all_right"]["value"]
    assert all_right == pytest.approx(right[some].all(axis=1).mean())


def test_samples_of_several_dimensions(data):
    """(documents, sentences, labels) are read as the rows they are."""
    words = ["--multilabel", "--method", "none", "--resamples", 50]
    run("report", "x.npy", "y.npy", *words, "--groups", "documents.npy")
    flat = json.loads(Path("report.json").read_text())
    for name in ("x", "y"):
        np.save(f"{name}.npy", data[name].reshape(-1, 4, LABELS))
    run("report", "x.npy", "y.npy", *words, "--groups", "axis-0")
    assert json.loads(Path("report.json").read_text())["before"] == flat["before"]


def test_tables(data):
    names = [f"score_{k}" for k in "abcd"]
    columns = ["document", *names, *(f"is_{k}" for k in "abcd")]
    rows = np.column_stack([data["documents"], data["x"], data["y"]])
    Path("t.csv").write_text(
        ",".join(columns) + "\n" + "\n".join(",".join(map(str, r)) for r in rows)
    )
    keys = ["--logits-key", "score_*", "--labels-key", "is_*", "--groups", "document"]
    words = ["--multilabel", "--method", "none", "--resamples", 50]
    printed = run("report", "t.csv", *keys, *words)
    assert "rows of 4 labels: score_a, score_b" in printed
    numbers = json.loads(Path("report.json").read_text())
    assert sorted(row["name"] for row in numbers["labels"]["rows"]) == names
    run("report", "x.npy", "y.npy", *words, "--groups", "documents.npy")
    again = json.loads(Path("report.json").read_text())["before"]
    assert numbers["before"]["nll"]["value"] == pytest.approx(again["nll"]["value"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["calibrate", "--per-label"], "--per-label needs --multilabel"),
        (["calibrate", "--multilabel", "--sets", "lac"], "--sets cannot be combined"),
        (["report", "--multilabel", "--normalize"], "--normalize cannot be combined"),
        (["report", "--multilabel", "--per-label", "--method", "vector"], "needs --method temp"),
        (["report", "--multilabel", "--groups", "y.npy"], None),
        (["report", "--multilabel", "--weights", "short.npy"], "must have 600 weights"),
    ],
)
def test_errors_are_sentences(words, message):
    np.save("short.npy", np.ones(7))
    command, *options = words
    if message is None:  # a group for each question is as good as one for each sample
        run(command, "x.npy", "y.npy", *options, "--resamples", 20)
    else:
        assert message in run(command, "x.npy", "y.npy", *options, code=BAD_DATA)


def test_apply_refuses_what_is_not_for_many_labels(data):
    run("calibrate", "x.npy", "y.npy", "--multilabel")
    words = ["apply", "x.npy", "calibration.json", "-o", "p.npy"]
    assert "which --prior is not for" in run(*words, "--prior", "auto", code=BAD_DATA)
    assert "has no conformal sets" in run(*words, "--sets", "s.npy", code=BAD_DATA)
    np.save("x.npy", data["x"][:, :3])
    assert "has 3 classes, calibration.json is for 4" in run(*words, code=BAD_DATA)
    np.save("x.npy", data["x"][:, 0])
    assert "many labels are two columns" in run(*words, code=BAD_DATA)
