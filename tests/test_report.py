"""The report: its numbers, its verdicts on data made for each of them, and its page."""

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest
from plain import softmax

import sigmax
from sigmax.files.errors import DataError
from sigmax.files.inputs import Inputs
from sigmax.report import verdict as verdicts
from sigmax.report import words
from sigmax.report.classes import per_class
from sigmax.report.page import page
from sigmax.report.study import Choices, study

ROWS = 4000


def drawn(rng, logits):
    """Labels for which these logits are perfectly calibrated."""
    return (softmax(logits).cumsum(axis=1) > rng.random((len(logits), 1))).argmax(axis=1)


def calibrated(classes=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(ROWS, classes)) * 2
    return logits, drawn(rng, logits), rng


def overconfident():
    logits, labels, _ = calibrated()
    return 2.5 * logits, labels


def mixed():
    """Most rows are calibrated, a few are absurdly sure and sometimes wrong: NLL wants a temperature, ECE does not."""
    logits, labels, rng = calibrated(2)
    logits[:] = np.where(labels[:, None] == [0, 1], 1.2, 0.0)
    wrong = rng.random(ROWS) < 1 / (1 + np.exp(1.2))
    labels[wrong] ^= 1
    logits[:400] *= 50
    return logits, labels


def biased():
    """Calibrated logits to which every class has added a bias of its own."""
    logits, labels, _ = calibrated()
    return logits + np.array([3.0, -3.0, 0.0, 1.0]), labels


def inputs(logits, labels, groups=None, names=None):
    classes = names or tuple(map(str, range(logits.shape[1])))
    return Inputs(logits, labels, groups, classes, (), (len(logits),))


def made(logits, labels, groups=None, names=None, **choices):
    result = study(inputs(logits, labels, groups, names), Choices(resamples=200, **choices))
    about = {
        "schema": 1,
        "sigmax": "1.2.3",
        "created": "2026-01-02T03:04:05+00:00",
        "command": "sigmax report <x>",
        "files": [{"name": "x.npy", "bytes": 12345, "sha256": "f00"}],
        "title": "a <b>bold</b> & title",
        "conditions": [],
        "apply_commands": None,
        "reading": None,
    }
    return {**about, **result}


# ---------------------------------------------------------------- verdicts


def test_better():
    result = made(*overconfident())
    verdict = result["verdict"]
    assert verdict["key"] == "better"
    assert verdict["headline"].startswith("Better with temperature 2.")
    assert "falls" in verdict["text"]
    assert "(significant)" in verdict["text"]
    assert "no more than a perfectly calibrated model" in verdict["text"]
    assert "Divide the logits by 2." in verdict["advice"]
    assert "overconfident by" in verdicts.honest(result)
    assert result["difference"]["nll"]["interval"][1] < 0


def test_no_significant_gain():
    logits, labels, _ = calibrated()
    verdict = made(logits, labels)["verdict"]
    assert verdict["key"] == "no_gain"
    assert verdict["headline"] == "No significant gain"
    assert verdict["advice"] == "Keep the probabilities as they are."


def test_nll_better_but_ece_worse():
    result = made(*mixed())
    assert result["verdict"]["key"] == "mixed"
    assert result["verdict"]["headline"] == "NLL better but ECE worse: try --method platt"
    assert (
        result["difference"]["nll"]["interval"][1] < 0 < result["difference"]["ece"]["interval"][0]
    )


def test_worse_on_groups_of_another_kind():
    logits, labels, _ = calibrated()
    groups = np.arange(ROWS) % 40
    to_fit = np.random.default_rng(0).permutation(40)[:20]
    logits = np.where(np.isin(groups, to_fit)[:, None], 3.0, 1 / 3) * logits
    verdict = made(logits, labels, groups)["verdict"]
    assert verdict["key"] == "worse"
    assert "do not apply" in verdict["headline"]


def test_vector_scaling_of_biased_classes():
    result = made(*biased(), method="vector")
    assert result["verdict"]["key"] == "better"
    assert result["verdict"]["headline"] == "Better with vector scaling"
    assert "accuracy changes by +" in result["verdict"]["advice"]
    assert result["after"]["accuracy"]["value"] > result["before"]["accuracy"]["value"] + 0.05
    bias = np.array(result["fit"]["bias"])
    np.testing.assert_allclose(bias - bias[2], [-3, 3, 0, -1], atol=0.5)


@pytest.mark.parametrize(
    ("data", "headline", "advice"),
    [
        (overconfident, "Overconfident", "--method temperature"),
        (lambda: calibrated()[:2], "Honest already", "Nothing to do"),
    ],
)
def test_measured_only(data, headline, advice):
    result = made(*data(), method="none")
    assert result["verdict"]["key"] == "measured"
    assert result["verdict"]["headline"] == headline
    assert advice in result["verdict"]["advice"]
    assert result["fit"] is result["after"] is result["difference"] is None
    assert result["split"] == {"fit": 0, "test": ROWS, "groups": None}


def separable():
    logits, _, _ = calibrated()
    return logits, logits.argmax(axis=1)


def chance():
    logits, _, _ = calibrated()
    return logits, logits.argmin(axis=1)


def flat():
    return np.ones((ROWS, 4)), np.arange(ROWS) % 4


def single_class():
    logits, _, _ = calibrated()
    return logits, np.full(ROWS, 2)


@pytest.mark.parametrize(
    ("data", "headline"),
    [
        (separable, "every row of the fit is right"),
        (chance, "the logits say nothing about the labels"),
        (flat, "all logits are equal"),
        (single_class, "the labels are of a single class"),
    ],
)
def test_a_fit_without_a_temperature_is_said_in_words(data, headline):
    result = made(*data())
    assert result["verdict"]["key"] == result["fit"]["status"] == data.__name__
    assert headline in result["verdict"]["headline"]
    assert result["verdict"]["text"] == result["fit"]["message"]
    assert result["after"] is result["difference"] is None
    json.dumps(result, allow_nan=False)
    assert headline in page(result)


@pytest.mark.parametrize("status", ["empty", "not_converged"])
def test_every_status_has_a_headline(status):
    result = {
        "fit": {"status": status, "message": "Why."},
        "options": {"method": "vector"},
        "split": {"fit": 100, "test": 100, "groups": None},
    }
    verdict = verdicts.verdict(result)
    assert verdict["key"] == status
    assert verdict["text"] == "Why."


# ---------------------------------------------------------------- numbers


def test_the_numbers_are_those_of_the_functions():
    logits, labels = overconfident()
    result = made(logits, labels, seed=3, bins=10)
    assert result["split"] == {"fit": ROWS // 2, "test": ROWS // 2, "groups": None}
    fit_rows, test_rows = _halves_of(result)
    fit = sigmax.fit_temperature(logits[fit_rows], labels[fit_rows])
    assert result["fit"]["temperature"] == fit.temperature
    assert tuple(result["fit"]["interval"]) == fit.interval
    for side, temperature in (("before", 1.0), ("after", fit.temperature)):
        evaluation = sigmax.evaluate(
            logits[test_rows],
            labels[test_rows],
            temperature=temperature,
            bins=10,
            seed=3,
            resamples=200,
        )
        for name in ("accuracy", "nll", "brier", "ece", "classwise_ece", "null_ece"):
            assert result[side][name]["value"] == float(getattr(evaluation, name))
            assert tuple(result[side][name]["interval"]) == getattr(evaluation, name).interval


def _halves_of(result):
    """Find the split again, by its definition: the first half of a permutation of the rows."""
    order = np.random.default_rng(result["options"]["seed"]).permutation(ROWS)
    is_fit = np.zeros(ROWS, bool)
    is_fit[order[: ROWS // 2]] = True
    return is_fit, ~is_fit


def test_the_seed_decides_the_split():
    data = overconfident()
    first, again, other = (made(*data, seed=s)["fit"]["temperature"] for s in (0, 0, 1))
    assert first == again != other


def test_ignored_rows_change_nothing():
    logits, labels = overconfident()
    with_ignored = np.repeat(labels, 2)
    with_ignored[1::2] = -100
    result = made(np.repeat(logits, 2, axis=0), with_ignored, ignore_index=-100)
    assert result["data"]["ignored"] == ROWS
    assert result["fit"] == made(logits, labels)["fit"]


def test_ignored_rows_of_distributions_are_refused():
    logits, labels = overconfident()
    with pytest.raises(DataError, match="class indices"):
        made(logits, np.eye(4)[labels], ignore_index=0)


def test_one_hot_labels_are_class_indices():
    logits, labels = overconfident()
    hard, soft = made(logits, labels), made(logits, np.eye(4)[labels])
    assert soft["fit"]["temperature"] == pytest.approx(hard["fit"]["temperature"], rel=1e-9)
    for name in ("accuracy", "nll", "ece", "classwise_ece"):
        assert soft["after"][name]["value"] == pytest.approx(hard["after"][name]["value"], rel=1e-9)
    assert soft["data"]["labels"] == "distributions"


def test_groups_stay_together():
    logits, labels = overconfident()
    groups = np.random.default_rng(1).integers(0, 37, ROWS)
    result = made(logits, labels, groups)
    counts = result["split"]["groups"]
    assert counts["fit"] + counts["test"] == 37
    assert abs(result["split"]["fit"] - ROWS / 2) < 300
    sizes = np.bincount(groups)
    in_fit = [k for k in range(37) if np.isin(k, _groups_of_the_fit(groups))]
    assert sum(sizes[in_fit]) == result["split"]["fit"]


def _groups_of_the_fit(groups):
    """The groups in the order of a permutation, as many as come closest to half of the rows."""
    order = np.random.default_rng(0).permutation(37)
    reached = np.cumsum(np.bincount(groups)[order])
    return order[: int(np.argmin(np.abs(reached - len(groups) / 2))) + 1]


@pytest.mark.parametrize(("rows", "groups"), [(1, None), (10, np.zeros(10, int))])
def test_too_little_to_split(rows, groups):
    with pytest.raises(DataError, match="at least"):
        made(np.zeros((rows, 2)), np.zeros(rows, int), groups)


def test_two_rows_are_enough():
    assert made(np.eye(2), np.array([0, 1]))["split"]["test"] == 1


def test_the_table_of_classes():
    logits, labels = overconfident()
    result = made(logits, labels, names=("a", "b", "c", "d"))
    _, test_rows = _halves_of(result)
    p, y = softmax(logits[test_rows]), labels[test_rows]
    winner = p.argmax(axis=1)
    assert sorted(row["name"] for row in result["per_class"]) == ["a", "b", "c", "d"]
    for row in result["per_class"]:
        k = row["index"]
        assert row["rows"] == np.count_nonzero(y == k)
        assert row["recall"] == pytest.approx(np.mean(winner[y == k] == k))
        assert row["precision"] == pytest.approx(np.mean(y[winner == k] == k))
        assert row["share"] == pytest.approx(np.mean(y == k))
        assert row["probability"] == pytest.approx(p[:, k].mean())
        bins = np.clip(np.ceil(p[:, k] * 15) - 1, 0, 14)
        gaps = [np.sum(p[bins == b, k] - (y[bins == b] == k)) for b in range(15)]
        assert row["ece"] == pytest.approx(np.abs(gaps).sum() / len(y))
    errors = [row["ece_after"] for row in result["per_class"]]
    assert errors == sorted(errors, reverse=True)
    assert np.mean([row["ece"] for row in result["per_class"]]) == pytest.approx(
        result["before"]["classwise_ece"]["value"]
    )


def test_the_bins_of_the_table_hold_their_upper_ends():
    p = np.array([[0.5, 0.5], [0.5, 0.5], [0.9, 0.1], [0.9, 0.1]])
    side = SimpleNamespace(
        logits=np.log(p), labels=np.array([0, 0, 1, 1]), temperature=1.0, bins=2, weights=None
    )
    first = next(row for row in per_class(("a", "b"), side, None) if row["name"] == "a")
    assert first["ece"] == pytest.approx((2 * 0.5 + 2 * 0.9) / 4)


def test_the_temperature_curve_has_its_lowest_point_at_the_optimum():
    logits, labels = overconfident()
    result = made(logits, labels)
    curve = result["temperature_curve"]
    _, test_rows = _halves_of(result)
    best = sigmax.fit_temperature(logits[test_rows], labels[test_rows]).temperature
    lowest = curve["temperature"][int(np.argmin(curve["nll"]))]
    assert lowest == pytest.approx(best, rel=0.1)
    at_one = int(np.argmin(np.abs(np.array(curve["temperature"]) - 1)))
    assert curve["nll"][at_one] == pytest.approx(result["before"]["nll"]["value"], rel=0.1)


def test_a_class_that_never_occurs_has_no_recall():
    logits, labels, _ = calibrated()
    result = made(np.c_[logits, np.full(ROWS, -99.0)], labels)
    row = next(row for row in result["per_class"] if row["index"] == 4)
    assert row["recall"] is None
    assert row["precision"] is None
    page(result)


# ---------------------------------------------------------------- page


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.texts = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open.append(dict(attributes).get("id"))

    def handle_endtag(self, _):
        self.open.pop()

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.open and self.open[-1]:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data


@pytest.fixture(scope="module", params=["temperature", "vector", "none"])
def report(request):
    result = made(*overconfident(), names=("a", "<i>b</i>", "c", "d"), method=request.param)
    return result, page(result)


def test_the_page_needs_nothing_else(report):
    _, html = report
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", html)
    for tag, attributes in Elements(html).elements:
        assert tag not in ("script", "link", "iframe", "img", "object", "embed")
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert attributes.get(name, "#").startswith("#")


def test_the_numbers_of_the_page_are_those_of_the_json(report):
    result, html = report
    elements = Elements(html)
    shown = 0
    for tag, attributes in elements.elements:
        if tag != "data" or "id" not in attributes:
            continue
        _, side, name = attributes["id"].split("-")
        value = result[side][name]["value"]
        assert float(attributes["value"]) == value
        text = elements.texts[attributes["id"]]
        number = float(re.search(r"[\d.]+", text)[0])
        size = abs(value) * (1 if name in ("nll", "brier") else 100)
        assert number == pytest.approx(size, abs=0.0501)
        shown += 1
    assert shown >= (9 if result["after"] is None else 26)


def test_text_of_the_user_is_not_markup(report):
    _, html = report
    assert "a &lt;b&gt;bold&lt;/b&gt; &amp; title" in html
    assert "<i>b</i>" not in html
    assert "sigmax report &lt;x&gt;" in html


def test_figures_are_described_and_identifiers_differ(report):
    result, html = report
    elements = Elements(html).elements
    figures = [attributes for tag, attributes in elements if tag == "svg"]
    assert len(figures) == (5 if result["after"] is None else 6)
    assert all(len(figure["aria-label"]) > 30 and figure["role"] == "img" for figure in figures)
    identifiers = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    references = set(re.findall(r'(?:href="|url\()#([^")]+)', html))
    assert references <= set(identifiers)


def test_figures_have_the_colours_of_the_page(report):
    _, html = report
    svg = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#ffffff", "#000000"}
    assert "var(--ink)" in svg
    assert "var(--before)" in svg


def test_the_page_says_how_to_make_it_again(report):
    _, html = report
    for word in ("x.npy", "12,345", "f00", "1.2.3", "2026-01-02", "Seed 0"):
        assert word in html
    assert "(lower, upper]" in html
    assert "perfectly calibrated model" in html


def test_a_page_of_many_classes_shows_the_worst():
    logits, labels, _ = calibrated(80)
    result = made(2 * logits, labels)
    html = page(result)
    rows = re.search(r'<table id="classes">.*?</table>', html, re.DOTALL)[0].count("<tr>")
    assert rows == 50 + 2
    assert "The 50 of 80 classes" in html
    assert len(result["per_class"]) == 80


def test_the_same_data_gives_the_same_page():
    first, second = (page(made(*overconfident())) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.percent(0.9312), "93.1 %"),
        (words.percent(0.00431), "0.43 %"),
        (words.percent(0.0), "0.0 %"),
        (words.percent(None), "–"),
        (words.nats(None), "∞"),
        (words.number(2.4561), "2.46"),
        (words.number(0.012345), "0.0123"),
        (words.number(123.4), "123"),
        (words.number(1.2e-9), "1.2e-09"),
        (words.certainty(0.95), "95 %"),
        (words.signed_points(-0.021), "−2.1 points"),
        (words.signed_nats(0.5), "+0.500"),
        (words.interval((0.0021, 0.034), words.percent), "0.2 to 3.4 %"),
        (words.interval((-0.042, 0.002), words.signed_points), "−4.2 to +0.2 points"),
        (words.interval((2.2, 2.751), words.number), "2.20 to 2.75"),
        (words.interval((None, None), words.number), "– to –"),
    ],
)
def test_numbers_in_words(text, expected):
    assert text == expected


def test_the_demo_is_what_its_script_makes():
    """Other versions of scikit-learn train another network; so only its kind is compared."""
    with np.load(files("sigmax.report") / "demo.npz") as demo:
        logits, labels = demo["logits"], demo["labels"].astype(int)
    assert logits.shape == (1597, 10)
    fit = sigmax.fit_temperature(logits, labels)
    assert 1.5 < fit.temperature < 4
    assert np.mean(logits.argmax(axis=1) == labels) > 0.9
