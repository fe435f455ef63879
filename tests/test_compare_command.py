"""The command `compare`: what it reads, writes, says and refuses, and the page."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from commands import FAILED, run
from distributed import LocalCluster

import sigmax
from sigmax.cli.conditions import condition
from sigmax.files.errors import DataError


@pytest.fixture(autouse=True)
def here(here):
    """A directory with the logits of a model, those of a rounded one, labels and documents."""
    rng = np.random.default_rng(0)
    base = (rng.normal(size=(2000, 4)) * 2).astype(np.float32)
    np.save("base.npy", base)
    np.save("other.npy", np.round(base * 4) / 4)
    np.save("labels.npy", (base + rng.gumbel(size=base.shape)).argmax(axis=1))
    np.save("documents.npy", np.arange(2000) // 40)
    return here


def numbers(page="comparison.html"):
    return json.loads(Path(page).with_suffix(".json").read_text())


def alike(found, expected):
    assert found["value"] == pytest.approx(float(expected), rel=1e-12)
    assert found["interval"] == pytest.approx(list(expected.interval), rel=1e-9)


# ---------------------------------------------------------------- numbers


def test_the_numbers_are_those_of_the_function():
    printed = run(
        "compare",
        "base.npy",
        "other.npy",
        "labels.npy",
        "--groups",
        "documents.npy",
        "--resamples",
        200,
    )
    assert "The most likely class is the same in" in printed
    found = numbers()
    arrays = [np.load(f"{name}.npy") for name in ("base", "other", "labels")]
    expected = sigmax.compare(*arrays, groups=np.load("documents.npy"), resamples=200)
    alike(found["kl"]["mean"], expected.kl.mean)
    alike(found["reverse_kl"]["mean"], expected.reverse_kl.mean)
    alike(found["agreement"], expected.agreement)
    alike(found["perplexity"]["ratio"], expected.perplexity["ratio"])
    alike(found["broken"], expected.broken)
    for name, change in expected.difference.items():
        if name != "null_ece":
            alike(found["difference"][name], change)
    assert found["kl"]["row"] == list(expected.kl.row)
    quantiles = {each["share"]: each["value"] for each in found["kl"]["quantiles"]}
    assert quantiles == expected.kl.quantiles
    assert found["data"]["groups"] == 50
    assert found["verdict"]["key"] == "same"
    assert [file["name"] for file in found["files"]] == [
        "base.npy",
        "other.npy",
        "labels.npy",
        "documents.npy",
    ]


def test_without_labels():
    run("compare", "base.npy", "other.npy")
    found = numbers()
    assert (found["verdict"]["key"], found["other"], found["perplexity"]) == (
        "measured",
        None,
        None,
    )
    assert "All numbers" not in Path("comparison.html").read_text()


@pytest.mark.parametrize(
    ("change", "key", "headline"),
    [
        (lambda x, _: x * 3, "worse", "The other is worse: NLL and ECE"),
        (lambda x, y: x + 0.3 * np.eye(4)[y], "better", "The other is better: NLL"),
        (lambda x, _: np.random.default_rng(1).permutation(x), "unrelated", "no more than by chance"),
    ],
)  # fmt: skip
def test_verdicts(change, key, headline):
    base, labels = np.load("base.npy"), np.load("labels.npy")
    np.save("changed.npy", change(base, labels))
    run("compare", "base.npy", "changed.npy", "labels.npy", "--resamples", 100)
    assert numbers()["verdict"]["key"] == key
    assert headline in numbers()["verdict"]["headline"]


def test_few_rows_or_documents():
    for name in ("base", "other", "labels"):
        np.save(f"few-{name}.npy", np.load(f"{name}.npy")[:30])
    run("compare", "few-base.npy", "few-other.npy", "few-labels.npy", "-o", "few.html")
    assert numbers("few.html")["verdict"]["headline"] == "Too few rows to tell: 30 rows"
    np.save("five.npy", np.arange(2000) // 400)
    run("compare", "base.npy", "other.npy", "--groups", "five.npy", "-o", "five.html")
    assert (
        numbers("five.html")["verdict"]["headline"]
        == "Too few rows to tell: 2,000 rows of 5 groups"
    )


def test_a_class_that_the_other_excludes():
    other = np.load("other.npy")
    other[7, 0] = -np.inf
    np.save("masked.npy", other)
    printed = run("compare", "base.npy", "masked.npy", "--max-kl", 1, code=FAILED)
    assert "KL(base ‖ other) is infinite in 1 row" in printed
    assert "kl is inf, and --fail-if says kl > 1" in printed
    assert numbers()["kl"]["mean"]["value"] is None
    assert numbers()["kl"]["row"] == [7]


def test_the_page_of_the_docs_names_what_the_json_has():
    run("compare", "base.npy", "other.npy", "labels.npy", "--resamples", 50)
    page = (Path(__file__).parent.parent / "docs/reference/command-line.md").read_text()
    text = page[page.index("The JSON beside the page (`schema` 1)") :].split("\n\n")[0]
    words = set(re.findall(r"`(\w+)`", text))
    again = {
        "sigmax",
        "created",
        "command",
        "files",
        "title",
        "models",
        "data",
        "options",
        "chance",
        "rules",
    }
    again |= {"rows", "classes", "units", "confidence", "resamples", "seed"}
    assert set(numbers()) - again <= words
    assert set(numbers()["kl"]) <= words


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kind", ["parquet", "npz", "csv", "one npz", "axis"])
def test_files(kind):
    run("compare", "base.npy", "other.npy", "labels.npy")
    expected = numbers()
    base, other, labels = (np.load(f"{name}.npy") for name in ("base", "other", "labels"))
    match kind:
        case (
            "parquet"
        ):  # the columns of the other in another order, beside things that are no logits
            columns = {name: base[:, k] for k, name in enumerate("abcd")}
            pa.parquet.write_table(pa.table({**columns, "label": labels}), "b.parquet")
            columns = {name: other[:, k] for k, name in reversed(list(enumerate("abcd")))}
            pa.parquet.write_table(
                pa.table({"id": labels, **columns, "label": labels}), "o.parquet"
            )
            words = ["b.parquet", "o.parquet"]
        case "npz":
            np.savez("b.npz", logits=base, labels=labels)
            np.savez("o.npz", logits=other, labels=labels)
            words = ["b.npz", "o.npz"]
        case "one npz":
            np.savez("both.npz", a=base, b=other, y=labels)
            words = ["both.npz", "both.npz", "--logits-key", "a", "--other-logits-key", "b"]
            words += ["--labels-key", "y"]
        case "csv":
            for name, array in (("b", base), ("o", other)):
                np.savetxt(f"{name}.csv", array, "%.9g", ",", header="p0,p1,p2,p3", comments="")
            words = ["b.csv", "o.csv", "labels.npy"]
        case "axis":
            np.save("b.npy", base.reshape(50, 40, 4).transpose(0, 2, 1))
            np.save("o.npy", other.reshape(50, 40, 4).transpose(0, 2, 1))
            np.save("l.npy", labels.reshape(50, 40))
            words = ["b.npy", "o.npy", "l.npy", "--axis", 1]
    run("compare", *words, "-o", "again.html")
    found = numbers("again.html")
    assert found["kl"]["mean"]["value"] == pytest.approx(expected["kl"]["mean"]["value"], rel=1e-6)
    assert found["difference"]["nll"]["value"] == pytest.approx(
        expected["difference"]["nll"]["value"], rel=1e-4
    )
    if kind == "axis":
        assert found["kl"]["row"] == [*divmod(expected["kl"]["row"][0], 40)]


def test_rows_of_weight_0_and_ignored_ones():
    labels = np.load("labels.npy")
    labels[:500] = -100
    np.save("ignored.npy", labels)
    np.save("weights.npy", 1.0 * (np.arange(2000) >= 500))
    run("compare", "base.npy", "other.npy", "ignored.npy", "--ignore-index=-100")
    one = numbers()
    run("compare", "base.npy", "other.npy", "--weights", "weights.npy")
    two = numbers()
    assert one["kl"] == two["kl"]
    assert one["data"]["ignored"] == two["data"]["ignored"] == 500


def test_a_cluster_gives_the_same():
    run("compare", "base.npy", "other.npy", "labels.npy", "--groups", "documents.npy")
    expected = numbers()
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        words = [
            "labels.npy",
            "--groups",
            "documents.npy",
            "--scheduler",
            cluster.scheduler_address,
        ]
        run("compare", "base.npy", "other.npy", *words, "-o", "there.html")
    found = numbers("there.html")
    for name in ("kl", "reverse_kl", "agreement", "perplexity", "by_confidence"):
        assert found[name] == expected[name] or name == "perplexity"
    assert found["perplexity"]["ratio"]["value"] == pytest.approx(
        expected["perplexity"]["ratio"]["value"], rel=1e-12
    )


# ---------------------------------------------------------------- conditions


def test_conditions():
    words = ["compare", "base.npy", "other.npy", "labels.npy", "--resamples", 100]
    printed = run(*words, "--fail-if", "ece > 50%", "--fail-if", "agreement<0.5", "--max-kl", 1)
    assert "Failed" not in printed
    assert [each["failed"] for each in numbers()["conditions"]] == [False] * 3
    printed = run(
        *words, "--fail-if", "perplexity_ratio > 0.9", "--fail-if", "kl_99 >= 9", code=FAILED
    )
    ratio = numbers()["perplexity"]["ratio"]["value"]
    assert f"sigmax: failed: perplexity_ratio is {ratio:.6g} (" in printed
    assert "and --fail-if says perplexity_ratio > 0.9" in printed
    assert "kl_99 is" in printed
    assert Path("comparison.html").exists()
    assert "Failed: perplexity_ratio is" in Path("comparison.html").read_text()
    command = numbers()["command"]
    assert command.endswith("--fail-if 'perplexity_ratio > 0.9' --fail-if 'kl_99 >= 9'")


def test_every_number_can_be_named():
    run("compare", "base.npy", "other.npy", "labels.npy", "--resamples", 100)
    message = run("compare", "base.npy", "other.npy", "labels.npy", "--fail-if", "x > 1", code=1)
    listed = message.split("there are ")[1].strip().split(", ")
    names = [
        "kl",
        "reverse_kl_largest",
        "kl_99.9",
        "flips",
        "ece",
        "change_nll",
        "perplexity",
        "fixed",
    ]
    assert set(names) <= set(map(str.strip, listed))
    found = numbers()
    words = ["compare", "base.npy", "other.npy", "labels.npy", "--resamples", 100]
    run(*words, *[w for name in listed for w in ("--fail-if", f"{name} > 1e9")])
    values = {c["condition"].split()[0]: c["value"] for c in numbers()["conditions"]}
    assert values["flips"] == pytest.approx(1 - found["agreement"]["value"])
    assert values["change_nll"] == found["difference"]["nll"]["value"]
    assert values["ece"] == found["other"]["ece"]["value"]


@pytest.mark.parametrize(
    "text", ["ece", "ece > ", "> 3", "ece = 3", "ece > x", "ece > 1.2.3", "ece > 5 %%", "1 < ece"]
)
def test_what_is_no_condition(text):
    with pytest.raises(
        DataError, match="--fail-if must be a name, one of >, >=, <, <=, and a number"
    ):
        condition(text)


def test_a_number_that_is_none_fails():
    """An interval or a number that cannot be told is no success."""
    assert condition("kl > 1").holds(float("nan"))
    assert condition("kl < 1").holds(float("nan"))
    assert not condition("ece > 5%").holds(0.05)
    assert condition("ece >= 5%").holds(0.05)


def test_the_exit_code_of_a_process():
    words = [sys.executable, "-m", "sigmax", "compare", "base.npy", "other.npy", "--max-kl", "0"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == FAILED
    assert re.fullmatch(
        r"sigmax: failed: kl is \S+ \(.*\), and --fail-if says kl > 0\n", result.stderr
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("other", "words", "message"),
    [
        (np.zeros((3, 4)), [], "other.npy: must have the rows of base.npy, got 3 and 2,000"),
        (np.zeros((2000, 5)), [], "other.npy: must have the 4 classes of base.npy, got 5"),
        (np.full((2000, 4), 0.25) + 0.1 * np.eye(4)[[0] * 2000], [], "logits or probabilities?"),
        (None, ["--ignore-index=3"], "--ignore-index needs labels"),
        (None, ["--fail-if", "ece > 0.1"], "no number 'ece'; there are kl,"),
        (None, ["--groups", "nothing"], "--groups must be a file"),
        (None, ["-o", "base.npy"], "must be .html or .htm"),
    ],
)
def test_errors_are_sentences(other, words, message):
    if other is not None:
        np.save(
            "other.npy", other / other.sum(axis=1, keepdims=True) if "prob" in message else other
        )
    assert message in run("compare", "base.npy", "other.npy", *words, code=1)
    assert not Path("comparison.html").exists()


def test_classes_of_other_names():
    for name, columns in (("b", "abcd"), ("o", "abce")):
        np.savetxt(
            f"{name}.csv", np.load("base.npy"), "%.9g", ",", header=",".join(columns), comments=""
        )
    message = run("compare", "b.csv", "o.csv", code=1)
    assert "o.csv: class 3 is called 'e', in b.csv 'd': name them with --classes" in message
    run("compare", "b.csv", "o.csv", "--classes", "a,b,c,d")


# ---------------------------------------------------------------- the page


class _Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.values, self.links = {}, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.links += [of[name] for name in ("src", "href") if name in of]
        if tag == "data" and "id" in of:
            self.values[of["id"]] = of["value"]


def test_the_page_has_the_numbers_and_needs_nothing_else():
    run("compare", "base.npy", "other.npy", "labels.npy", "--title", "<b>&", "--resamples", 100)
    html, found = Path("comparison.html").read_text(), numbers()
    page = _Page(html)
    assert all(link.startswith("#") for link in page.links)
    assert "<b>&" not in html
    assert "<script" not in html
    assert float(page.values["kl-mean"]) == found["kl"]["mean"]["value"]
    assert float(page.values["perplexity-ratio"]) == found["perplexity"]["ratio"]["value"]
    for name in ("nll", "ece", "accuracy"):
        assert float(page.values[f"change-{name}"]) == found["difference"][name]["value"]
        assert float(page.values[f"base-{name}"]) == found["base"][name]["value"]
    identifiers = re.findall(r'\bid="([^"]*)"', html)
    assert len(identifiers) == len(set(identifiers))


def test_a_page_of_equal_models():
    run("compare", "base.npy", "base.npy", "labels.npy", "--resamples", 50)
    assert numbers()["verdict"]["key"] == "same"
    assert "Divergence of the rows" not in Path("comparison.html").read_text()
