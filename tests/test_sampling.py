"""Truncation against its definition, draws against Philox and their distributions, the same everywhere."""

import functools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import decoders
import numpy as np
import pytest
from sampling_reference import bits, drawn, kept

import sigmax
from sigmax import sampling

ml_dtypes = pytest.importorskip("ml_dtypes")

TYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
LEVELS = sigmax.show_config(mode="dicts")["isa_available"]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5},
    {"top_k": 3},
    {"top_p": 0.9},
    {"top_p": 0.3},
    {"min_p": 0.1},
    {"typical_p": 0.8},
    {"typical_p": 0.4},
    {"top_n_sigma": 1.0},
    {"epsilon": 0.05},
    {"temperature": 2.0, "top_k": 5, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 3.0, "top_p": 0.8, "top_n_sigma": 1.5, "preset": "llama.cpp"},
]
names = lambda options: "-".join(options) or "none"  # noqa: E731
every_option = pytest.mark.parametrize("options", OPTIONS, ids=names)


def chain(options: dict[str, Any]) -> list[tuple[str, float]]:
    """The options in the order in which they are applied."""
    chosen = {k: v for k, v in options.items() if k not in ("preset", "order")}
    order = options.get("order") or sampling._PRESETS.get(options.get("preset"), sampling._ORDER)
    return [(name, float(chosen[name])) for name in order if name in chosen]


def kept_by(x: Any, **options: Any) -> list[set[int]]:
    p = sigmax.filter_probabilities(np.asarray(x, np.float64), **options).probabilities
    return [set(np.flatnonzero(row).tolist()) for row in np.atleast_2d(p)]


# ---------------------------------------------------------------- what is kept


@every_option
@pytest.mark.parametrize("classes", [1, 2, 10, 32, 33, 300])
def test_kept_set_is_the_definition(options: Any, classes: int) -> None:
    """The numbers are those of all types: eight binary digits, as bfloat16 has them."""
    x = np.random.default_rng(classes).normal(0, 2, (2, classes)).astype(ml_dtypes.bfloat16)
    x[0, ::7] = -np.inf if classes > 7 else x[0, 0]
    sets = [kept(row, chain(options)) for row in x.astype(np.float64).tolist()]
    for dtype in TYPES:
        logits = x.astype(np.float64).astype(dtype)
        p = sigmax.filter_probabilities(logits, **options).probabilities
        for k, expected in enumerate(sets):
            where = np.isin(np.arange(classes), list(expected))
            temperature = options.get("temperature", 1.0)
            same = sigmax.softmax(logits[k], temperature=temperature, where=where)
            assert p[k].tobytes() == same.tobytes()


@every_option
@pytest.mark.parametrize("classes", [33, 5003, 70_001])
def test_long_rows_are_the_softmax_of_what_is_kept(options: Any, classes: int) -> None:
    """Whole rows and rows in chunks, with a last part of every kind."""
    x = np.random.default_rng(classes).normal(0, 3, (2, classes))
    x[1, ::3] = -np.inf
    given = {"temperature": 1.0, **options}
    for dtype in TYPES:
        logits = x.astype(dtype)
        kept_logits = sampling._Rows(logits, -1, None, sampling._Options(**given)).kept_logits()
        p = sigmax.filter_probabilities(logits, **options).probabilities
        where = kept_logits.astype(np.float64) > -np.inf
        same = sigmax.softmax(logits, temperature=given["temperature"], where=where)
        assert p.tobytes() == same.tobytes()


@pytest.mark.parametrize("classes", [4, 12, 40, 300])
def test_every_order(classes: int) -> None:
    rng = np.random.default_rng(classes)
    for _ in range(40 if classes < 100 else 10):
        x = np.round(rng.normal(0, 3, classes), int(rng.integers(0, 4)))
        order = [str(name) for name in rng.permutation(sampling._ORDER)]
        given: dict[str, Any] = {
            "temperature": float(rng.choice([0.5, 2.0])),
            "top_k": int(rng.integers(1, classes + 2)),
            "top_p": float(rng.choice([0.0, 0.2, 0.7, 0.95, 1.0])),
            "typical_p": float(rng.choice([0.0, 0.2, 0.7, 0.95, 1.0])),
            "min_p": float(rng.choice([0.0, 0.01, 0.3, 1.0])),
            "epsilon": float(rng.choice([0.0, 1e-3, 0.1, 1.0])),
            "top_n_sigma": float(rng.choice([0.0, 0.7, 1.3, np.inf])),
        }
        options = {k: v for k, v in given.items() if rng.random() < 0.6}
        expected = kept(x.tolist(), chain({**options, "order": order}))
        assert kept_by(x, order=order, **options) == [expected], (order, options)


@pytest.mark.parametrize("classes", [6, 50])
def test_ties_stay_together(classes: int) -> None:
    x = np.zeros(classes)
    x[0], x[1] = 3.0, -3.0
    tied = set(range(classes)) - {0, 1}
    assert kept_by(x, top_k=2) == [tied | {0}]
    assert kept_by(x, top_p=0.999 * sigmax.softmax(x)[0] + 0.01) == [tied | {0}]
    assert kept_by(x, typical_p=1e-9) == [kept(x.tolist(), [("typical_p", 1e-9)])]
    assert kept_by(np.zeros(classes), top_k=1, top_p=0.0, min_p=1.0, epsilon=1.0) == [
        set(range(classes))
    ]


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that took exact arithmetic."""
    rows: list[int] = []
    settle = sampling._Rows._settle

    def noted(self: Any, row: int, results: Any) -> None:
        rows.append(row)
        settle(self, row, results)

    monkeypatch.setattr(sampling._Rows, "_settle", noted)
    return rows


@pytest.mark.parametrize("classes", [8, 60])
@pytest.mark.parametrize("option", ["top_p", "typical_p", "min_p", "epsilon", "top_n_sigma"])
def test_decisions_within_rounding_are_settled(
    option: str, classes: int, settled: list[int]
) -> None:
    """The option is the nearest double to the number at which the kept set changes, and its neighbours."""
    x = np.random.default_rng(3).normal(0, 1, classes)
    p = np.sort(sigmax.softmax(x))[::-1]
    middle = {
        "top_p": math.fsum(p[: classes // 2]),
        "min_p": p[classes // 2] / p[0],
        "epsilon": p[classes // 2],
        "top_n_sigma": (np.sort(x)[-1] - np.sort(x)[classes // 2]) / np.std(x),
    }
    if option == "typical_p":
        entropy = sigmax.entropy(x)
        q = sigmax.softmax(x)
        near = np.argsort(abs(-np.log(q) - entropy))
        middle[option] = math.fsum(q[near[: classes // 2]])
    sets = []
    for step in range(-3, 4):
        value = float(middle[option] * (1 + step * 2.0**-52))
        expected = kept(x.tolist(), [(option, value)])
        assert kept_by(x, **{option: value}) == [expected]
        sets.append(len(expected))
    assert len(settled) == 7
    assert max(sets) - min(sets) <= 1


def test_rational_ties_of_sigma_are_kept(settled: list[int]) -> None:
    assert kept_by([0.0, 1.0], top_n_sigma=2.0) == [{0, 1}]  # the standard deviation is exactly 1/2
    assert kept_by([0.0, 1.0], top_n_sigma=np.nextafter(2.0, 0)) == [{1}]
    assert len(settled) == 2


def test_enormous_temperatures(settled: list[int]) -> None:
    """All probabilities are 1/6 but for their 300th digits."""
    x = np.arange(6.0)
    for p, count in ((0.5, 3), (np.nextafter(0.5, 1), 4), (np.nextafter(0.5, 0), 3)):
        assert len(kept_by(x, temperature=1e300, top_p=p)[0]) == count
    assert settled
    assert len(kept_by(x, temperature=1e300, typical_p=0.4)[0]) == 3


@pytest.mark.parametrize("classes", [9, 90])
@pytest.mark.parametrize("exponent", [-1000, -300, -10, 10, 300, 1000])
def test_extreme_logits(classes: int, exponent: int) -> None:
    x = np.random.default_rng(5).normal(0, 1, classes) * 2.0**exponent
    for options in OPTIONS:
        if options.get("temperature", 1.0) == 1.0:
            got = sigmax.filter_probabilities(x, **options)
            result = sampling._Rows(
                x, -1, None, sampling._Options(**{"temperature": 1.0, **options})
            )
            logits = result.kept_logits()
            assert set(np.flatnonzero(logits[0] > -np.inf).tolist()) == kept(
                x.tolist(), chain(options)
            )
            assert np.isfinite(got.log_mass)


def test_infinite_logits_share() -> None:
    x = [[np.inf, 0.0, np.inf, -np.inf], [np.nan, 0, 0, 0], [-np.inf] * 4]
    for options in OPTIONS:
        p, log_mass = sigmax.filter_probabilities(x, **options)
        assert p[0].tolist() == [0.5, 0.0, 0.5, 0.0]
        assert np.isnan(p[1]).all()
        assert np.isnan(log_mass[1])
        assert p[2].tolist() == [0.0] * 4
        assert log_mass[[0, 2]].tolist() == [0.0, 0.0]
    wide = np.full(50, -np.inf)
    wide[3] = wide[40] = np.inf
    assert kept_by(wide, top_p=0.1, typical_p=0.2, min_p=0.3) == [{3, 40}]
    assert set(sigmax.sample(wide, shape=100, seed=0).tolist()) == {3, 40}


@every_option
@pytest.mark.parametrize("classes", [7, 300])
def test_log_mass(options: Any, classes: int) -> None:
    x = np.random.default_rng(classes).normal(0, 3, (20, classes))
    temperature = options.get("temperature", 1.0)
    p, log_mass = sigmax.filter_probabilities(x, **options)
    before = sigmax.softmax(x, temperature=temperature)
    expected = [
        -math.log1p(math.fsum(b[q == 0]) / math.fsum(b[q > 0]))
        for b, q in zip(before, p, strict=True)
    ]
    np.testing.assert_allclose(log_mass, expected, rtol=1e-13)
    log_p = sigmax.log_softmax(x, temperature=temperature) - log_mass[:, None]
    np.testing.assert_allclose(log_p[p > 0], np.log(p[p > 0]), rtol=1e-9, atol=1e-12)


def test_log_mass_keeps_the_digits_of_what_is_removed() -> None:
    for classes in (2, 40):
        x = np.full(classes, -np.inf)
        x[:2] = 0.0, -60.0
        assert math.isclose(
            sigmax.filter_probabilities(x, top_k=1).log_mass,
            -math.log1p(math.exp(-60)),
            rel_tol=1e-14,
        )
        assert sigmax.filter_probabilities(x, top_k=2).log_mass == 0


def test_options_per_row_and_axis() -> None:
    x = np.random.default_rng(1).normal(0, 2, (4, 5, 6))
    top_k, top_p = np.array([1, 2, 3, 4])[:, None], np.linspace(0.2, 0.9, 6)
    result = sigmax.filter_probabilities(x, 1, top_k=top_k, top_p=top_p, temperature=[0.5] * 6)
    tokens = sigmax.sample(x, 1, top_k=top_k, top_p=top_p, temperature=[0.5] * 6, seed=3)
    for i in range(4):
        for j in range(6):
            options = {"top_k": i + 1, "top_p": top_p[j], "temperature": 0.5}
            alone = sigmax.filter_probabilities(x[i, :, j], **options)
            assert result.probabilities[i, :, j].tobytes() == alone.probabilities.tobytes()
            assert result.log_mass[i, j] == alone.log_mass
            assert tokens[i, j] == sigmax.sample(x[i, :, j], seed=3, rows=i * 6 + j, **options)
    joined = sigmax.filter_probabilities(x, (0, 2), top_k=3)
    assert (joined.probabilities > 0).sum(axis=(0, 2)).tolist() == [3] * 5
    assert sigmax.filter_probabilities(x, None, top_k=3).log_mass.shape == ()
    many = sigmax.filter_probabilities(
        [1.0, 2.0, 4.0], top_k=[1, 2, 3]
    )  # one row, three truncations
    assert (many.probabilities > 0).sum(axis=1).tolist() == [1, 2, 3]


def test_where_is_a_mask() -> None:
    rng = np.random.default_rng(2)
    x, where = rng.normal(0, 2, (10, 40)), rng.random((10, 40)) < 0.5
    masked = np.where(where, x, -np.inf)
    for options in OPTIONS:
        with_mask = sigmax.filter_probabilities(x, where=where, **options)
        without = sigmax.filter_probabilities(masked, **options)
        assert with_mask.probabilities.tobytes() == without.probabilities.tobytes()
        assert with_mask.log_mass.tobytes() == without.log_mass.tobytes()


def test_results_have_the_type_of_the_logits() -> None:
    for dtype in TYPES:
        p, log_mass = sigmax.filter_probabilities(np.zeros((2, 3), dtype), top_k=1)
        _, log_prob = sigmax.sample(np.zeros((2, 3), dtype), seed=0, return_log_prob=True)
        assert p.dtype == log_mass.dtype == log_prob.dtype == dtype
    assert sigmax.filter_probabilities([1, 2, 3], top_k=1).probabilities.dtype == np.float64


@pytest.mark.parametrize("decoder", decoders.DECODERS)
def test_kept_sets_of_other_programs(decoder: str) -> None:
    """In float64, and with equal logits together, they keep the same; tools/conformance_sampling.py counts the rest."""
    for x, options in decoders.batches(decoder, 8000):
        theirs = decoders.kept(decoder, x, options, np.float64, together=True)
        p = sigmax.filter_probabilities(
            x.astype(np.float64), preset=decoder, **options
        ).probabilities
        assert ((p > 0) == theirs).all()


# ---------------------------------------------------------------- draws


@every_option
@pytest.mark.parametrize("classes", [5, 40, 300])
def test_draws_are_the_definition(options: Any, classes: int) -> None:
    x = np.round(np.random.default_rng(classes).normal(0, 2, (4, classes)), 1)
    tokens = sigmax.sample(
        x, seed=2**100 + 7, shape=3, rows=[9, 0, 2**40 + 1, 4], draw=5, **options
    )
    for k, row in enumerate(x.tolist()):
        number = [9, 0, None, 4][k]
        if number is None:
            continue
        classes_kept = kept(row, chain(options))
        for d in range(3):
            random = bits(2**100 + 7, number, 5 + d)
            assert tokens[k, d] == drawn(row, classes_kept, options.get("temperature", 1.0), random)


def test_large_row_numbers() -> None:
    """Number 2^40 + 1 of a stream: word 1 of the block 2^38 behind its start."""
    stream = np.random.Philox(key=3, counter=[2**38, 0, 0, 0])
    x = np.zeros(1024)
    expected = drawn(x.tolist(), set(range(1024)), 1.0, int(stream.random_raw(2)[1]))
    assert sigmax.sample(x, seed=3, rows=2**40 + 1) == expected


def test_a_generator_brings_the_same_bits() -> None:
    x = np.random.default_rng(0).normal(0, 1, (50, 10))
    rng = np.random.Generator(np.random.Philox(key=11))
    assert sigmax.sample(x, rng=rng).tolist() == sigmax.sample(x, seed=11).tolist()
    rng = np.random.default_rng(0)
    first, second = sigmax.sample(x, rng=rng), sigmax.sample(x, rng=rng)
    assert first.tolist() != second.tolist()
    again = sigmax.sample(x, rng=np.random.default_rng(0))
    assert again.tolist() == first.tolist()


def test_without_a_seed_draws_differ() -> None:
    assert (
        sigmax.sample(np.zeros(2**16), shape=4).tolist()
        != sigmax.sample(np.zeros(2**16), shape=4).tolist()
    )


def chi_square(counts: Any, p: Any) -> float:
    """The statistic, less its mean, in its standard deviations."""
    expected = p * counts.sum()
    rare = expected < 10
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    counts, expected = counts[expected > 0], expected[expected > 0]
    freedom = max(len(counts) - 1, 1)
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


@every_option
@pytest.mark.parametrize("classes", [6, 100])
@pytest.mark.parametrize("many", ["rows", "draws"])
def test_chi_square(options: Any, classes: int, many: str) -> None:
    x = np.random.default_rng(classes).normal(0, 2, classes)
    count = 100_000
    if many == "rows":
        tokens = sigmax.sample(np.broadcast_to(x, (count, classes)), seed=1, **options)
    else:
        tokens = sigmax.sample(x, shape=count, seed=1, **options)
    p = sigmax.filter_probabilities(x, **options).probabilities
    assert abs(chi_square(np.bincount(tokens, minlength=classes), p)) < 4


@pytest.mark.parametrize("classes", [4, 40])
def test_without_replacement(classes: int) -> None:
    """The first draw has the distribution, the second that of the rest, the third what is left of that."""
    x = np.random.default_rng(0).normal(0, 1, classes)
    p = sigmax.softmax(x)
    count = 100_000
    tokens = sigmax.sample(np.broadcast_to(x, (count, classes)), seed=4, shape=3, replace=False)
    assert all(len(set(row)) == 3 for row in tokens[:1000].tolist())
    assert abs(chi_square(np.bincount(tokens[:, 0], minlength=classes), p)) < 4
    second = np.array(
        [sum(p[j] * p[i] / (1 - p[j]) for j in range(classes) if j != i) for i in range(classes)]
    )
    assert abs(chi_square(np.bincount(tokens[:, 1], minlength=classes), second)) < 4
    given = tokens[tokens[:, 0] == np.argmax(p)]
    rest = np.where(np.arange(classes) == np.argmax(p), 0, p)
    assert abs(chi_square(np.bincount(given[:, 1], minlength=classes), rest / rest.sum())) < 4


def test_all_classes_without_replacement() -> None:
    """Also those whose probability is not a double: e^-2000."""
    x = np.array([0.0, -1000.0, -2000.0, -np.inf, 3.0])
    assert sigmax.sample(x, shape=4, seed=0, replace=False).tolist() == [4, 0, 1, 2]
    x = np.random.default_rng(0).normal(0, 1, 5000)
    assert sorted(sigmax.sample(x, shape=5000, seed=0, replace=False).tolist()) == list(range(5000))
    few = sigmax.sample(x, shape=10, seed=0, replace=False)
    assert few.tolist() == sigmax.sample(x, shape=5000, seed=0, replace=False)[:10].tolist()


@pytest.mark.parametrize("classes", [8, 500])
def test_no_class_of_probability_0(classes: int) -> None:
    x = np.full(classes, -np.inf)
    x[[1, 4, classes - 2]] = 0.0, -800.0, -30.0
    tokens = sigmax.sample(x, shape=1_000_000, seed=6)
    assert set(np.unique(tokens).tolist()) <= {1, classes - 2}
    ends = sigmax.sample(np.broadcast_to(x, (10_000, classes)), seed=7, top_k=2)
    assert set(np.unique(ends).tolist()) <= {1, classes - 2}


class Words(np.random.Generator):
    """A generator whose next numbers are given."""

    def __init__(self, words: list[int]) -> None:
        super().__init__(np.random.Philox(key=0))
        self.words = words

    def integers(self, *_: Any) -> Any:
        return np.array(self.words, np.uint64).reshape(1, -1)


@pytest.mark.parametrize("classes", [6, 400])
def test_extreme_bits(classes: int) -> None:
    x = np.full(classes, -np.inf)
    x[[2, 3, classes - 1]] = -1.0, 2.0, -745.5
    words = [0, 1, 2**63, 2**64 - 1]
    assert sigmax.sample(x, shape=4, rng=Words(words)).tolist() == [2, 2, 3, 3]
    tie, middles = np.zeros(classes), [(2 * k + 1) * 2**63 // classes for k in range(classes)]
    tokens = sigmax.sample(tie, shape=classes, rng=Words(middles)).tolist()
    assert tokens == [*range(1, classes), 0]  # the first of the largest stands last


@every_option
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_prob(options: Any, dtype: Any) -> None:
    x = np.random.default_rng(3).normal(0, 3, (30, 50)).astype(dtype)
    tokens, log_prob = sigmax.sample(x, seed=2, shape=(2, 3), return_log_prob=True, **options)
    assert tokens.shape == log_prob.shape == (30, 2, 3)
    assert tokens.tolist() == sigmax.sample(x, seed=2, shape=(2, 3), **options).tolist()
    temperature = options.get("temperature", 1.0)
    before = sigmax.log_softmax(x.astype(np.float64), temperature=temperature)
    log_mass = sigmax.filter_probabilities(x.astype(np.float64), **options).log_mass
    expected = np.take_along_axis(before, tokens.reshape(30, 6), 1) - log_mass[:, None]
    tolerance = 2.0**-23 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(log_prob.reshape(30, 6), expected, rtol=tolerance, atol=1e-15)


def test_log_prob_of_a_confident_winner() -> None:
    for classes in (2, 50):
        x = np.full(classes, -np.inf)
        x[:2] = 0.0, -60.0
        _, log_prob = sigmax.sample(x, seed=0, return_log_prob=True)
        assert math.isclose(log_prob, -math.log1p(math.exp(-60)), rel_tol=1e-14)


# ---------------------------------------------------------------- the same everywhere


def layouts(x: Any) -> list[Any]:
    strided = np.empty((3 * x.shape[0], 2 * x.shape[1]), x.dtype)[::3, ::2]
    strided[...] = x
    unaligned = np.frombuffer(bytearray(x.nbytes + 1), x.dtype, offset=1).reshape(x.shape)
    unaligned[...] = x
    return [x.copy(order="F"), strided, x[::-1, ::-1].copy()[::-1, ::-1], unaligned]


@pytest.mark.parametrize("classes", [3, 32, 33, 1000])
@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"top_k": 5, "typical_p": 0.9}], ids=names)
def test_the_batch_does_not_matter(classes: int, options: Any) -> None:
    x = np.random.default_rng(classes).normal(0, 2, (4096, classes)).astype(np.float32)
    sigmax.set_num_threads(2)
    tokens, log_prob = sigmax.sample(x, seed=8, return_log_prob=True, **options)
    p, log_mass = sigmax.filter_probabilities(x, **options)
    for k in (0, 1, 15, 16, 17, 2048, 4095):
        alone, its_log_prob = sigmax.sample(x[k], seed=8, rows=k, return_log_prob=True, **options)
        assert alone == tokens[k]
        assert its_log_prob == log_prob[k]
        its_p, its_mass = sigmax.filter_probabilities(x[k], **options)
        assert its_p.tobytes() == p[k].tobytes()
        assert its_mass == log_mass[k]
    sigmax.set_num_threads(1)
    order = np.random.default_rng(0).permutation(4096)
    assert sigmax.sample(x[order], seed=8, rows=order, **options).tolist() == tokens[order].tolist()
    for same in layouts(x):
        assert sigmax.sample(same, seed=8, **options).tolist() == tokens.tolist()
    first = sigmax.sample(np.ascontiguousarray(x.T), 0, seed=8, **options)
    assert first.tolist() == tokens.tolist()


def test_draws_by_number() -> None:
    x = np.random.default_rng(0).normal(0, 1, (5, 70))
    many = sigmax.sample(x, seed=1, shape=(2, 3))
    for d in range(6):
        assert sigmax.sample(x, seed=1, draw=d).tolist() == many.reshape(5, 6)[:, d].tolist()


@functools.cache
def digest() -> dict[str, Any]:
    """Tokens and kept sets of all options, for the levels to agree on."""
    result: dict[str, Any] = {}
    for classes in (4, 32, 33, 5000):
        for dtype in TYPES:
            x = np.random.default_rng(classes).normal(0, 3, (17, classes)).astype(dtype)
            for options in OPTIONS:
                key = f"{classes} {np.dtype(dtype).name} {options}"
                tokens, log_prob = sigmax.sample(
                    x, seed=5, shape=4, return_log_prob=True, **options
                )
                without = sigmax.sample(x, seed=5, shape=1, replace=False, **options)
                p = sigmax.filter_probabilities(x, **options).probabilities
                result[key] = [tokens.tolist(), without.tolist(), np.packbits(p > 0).tolist()]
                result[key].append(
                    log_prob.astype(np.float64).tolist() if dtype == np.float64 else 0
                )
    return result


@pytest.mark.parametrize("level", LEVELS)
def test_levels_agree(level: str) -> None:
    code = "import json, test_sampling; print(json.dumps(test_sampling.digest()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"SIGMAX_ISA": level, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(digest()))


# ---------------------------------------------------------------- speculation


def speculate(p: Any, q: Any, count: int) -> tuple[Any, Any]:
    """Many sequences of the same logits: counts, and the tokens that come out, -1 behind the end."""
    length, classes = p.shape
    draft = np.broadcast_to(p, (count, length, classes))
    target = np.broadcast_to(q, (count, len(q), classes))
    tokens = sigmax.sample(draft, seed=1)
    result = sigmax.speculative_accept(draft, target, tokens, seed=1)
    out = np.concatenate([tokens, np.full((count, 1), -1)], 1)
    out[np.arange(length + 1) >= result.count[:, None]] = -1
    out[np.arange(count), result.count] = result.token
    return result.count, out


@pytest.mark.parametrize("classes", [4, 50])
@pytest.mark.parametrize("spread", [2.0, 0.1])
def test_what_comes_out_is_the_target(classes: int, spread: float) -> None:
    rng = np.random.default_rng(classes)
    p = rng.normal(0, 1, (3, classes))
    q = np.concatenate([p, p[:1]]) + spread * rng.normal(0, 1, (4, classes))
    count, out = speculate(p, q, 50_000)
    for position in range(4):
        reached = out[count >= position, position]
        assert (reached >= 0).all()
        assert (
            abs(chi_square(np.bincount(reached, minlength=classes), sigmax.softmax(q[position])))
            < 4
        )
    expected = np.minimum(sigmax.softmax(p[0]), sigmax.softmax(q[0])).sum()
    assert abs((count >= 1).mean() - expected) < 4 * math.sqrt(0.25 / 50_000)


@pytest.mark.parametrize("classes", [6, 60])
def test_speculation_after_truncation(classes: int) -> None:
    rng = np.random.default_rng(classes)
    p, q = rng.normal(0, 1, (2, 1, classes))
    count = 50_000
    draft, target = (np.broadcast_to(x, (count, 1, classes)) for x in (p, q))
    mine, its = {"temperature": 0.7, "top_p": 0.9}, {"temperature": 1.5, "top_k": 4}
    tokens = sigmax.sample(draft, seed=3, **its)
    result = sigmax.speculative_accept(
        draft, target, tokens, seed=3, draft={**its, "top_p": None}, **mine
    )
    out = np.where(result.count == 1, tokens[:, 0], result.token)
    assert (result.token[result.count == 1] == -1).all()
    expected = sigmax.filter_probabilities(q[0], **mine).probabilities
    assert abs(chi_square(np.bincount(out[out >= 0], minlength=classes), expected)) < 4


@pytest.mark.parametrize("classes", [3, 300])
def test_residuals_that_cancel(classes: int) -> None:
    """The target differs in one class by 2^-40: only that class can follow a token that is refused."""
    p = np.random.default_rng(1).normal(0, 1, classes)
    p[:2] = 1.0, 2.0
    q = p + 1000.0
    q[1] += 2.0**-40
    tokens = np.zeros((1, 1), np.int64)
    result = sigmax.speculative_accept(
        p[None, None], q[None, None], tokens, rng=Words([2**64 - 1, 2**63, 0, 0])
    )
    assert result.count.tolist() == [0]
    assert result.token.tolist() == [1]
    same = sigmax.speculative_accept(
        p[None, None], p[None, None] + 8, tokens, rng=Words([2**64 - 1, 2**63, 0, 0])
    )
    assert same.count.tolist() == [1]


def test_a_target_that_is_sure() -> None:
    p = np.zeros((1, 2, 4))
    q = np.full((1, 3, 4), -np.inf)
    q[0, [0, 1, 2], [1, 2, 3]] = 0.0
    accept = sigmax.speculative_accept
    assert accept(p, q, [[1, 2]], seed=0) == (2, 3)
    assert accept(p, q, [[1, 0]], seed=0) == (1, 2)
    assert accept(p, q, [[0, 2]], seed=0) == (0, 1)
    infinite = np.where(np.isfinite(q), np.inf, 0.0)
    assert accept(p, infinite, [[0, 2]], seed=0) == (0, 1)
    assert accept(p.astype(np.float32), q.astype(np.float16), [[1, 2]], seed=0) == (2, 3)
    assert accept(np.moveaxis(p, -1, 0), np.moveaxis(q, -1, 0), [[1, 2]], 0, seed=0) == (2, 3)
    empty = accept(np.zeros((2, 0, 4)), np.zeros((2, 1, 4)), np.zeros((2, 0), int), seed=0)
    assert empty.count.tolist() == [0, 0]
    assert (empty.token >= 0).all()


# ---------------------------------------------------------------- errors


X = np.zeros((2, 3))
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"top_k": 0}, ValueError, "top_k must be at least 1, got 0"),
    ({"top_k": [1, 0]}, ValueError, r"top_k must be at least 1, got 0.0 at index \(1,\)"),
    ({"top_k": 2.5}, TypeError, "top_k must be integers"),
    ({"top_k": True}, TypeError, "top_k must be integers"),
    ({"top_p": 1.5}, ValueError, r"top_p must be in \[0, 1\], got 1.5"),
    ({"top_p": np.nan}, ValueError, r"top_p must be in \[0, 1\], got nan"),
    ({"top_p": "0.9"}, TypeError, "top_p must be real numbers"),
    ({"top_p": np.ma.array([0.5, 0.5])}, TypeError, "top_p is a masked array"),
    ({"top_p": [0.5] * 3}, ValueError, r"top_p of shape \(3,\) does not broadcast"),
    ({"min_p": -0.1}, ValueError, r"min_p must be in \[0, 1\]"),
    ({"typical_p": 2}, ValueError, r"typical_p must be in \[0, 1\]"),
    ({"epsilon": 2}, ValueError, r"epsilon must be in \[0, 1\]"),
    ({"top_n_sigma": -1}, ValueError, "top_n_sigma must be not negative"),
    ({"temperature": 0.0}, ValueError, "temperature must be in"),
    ({"order": ["top_k"], "top_p": 0.9}, ValueError, "order has no place for top_p"),
    ({"order": ["top_k"], "temperature": 2.0}, ValueError, "order has no place for temperature"),
    ({"order": ["top_k", "top_k"]}, ValueError, "order must name each option once"),
    ({"order": ["top_q"]}, ValueError, "order must name options out of"),
    ({"order": "top_k"}, TypeError, "order must be a sequence"),
    ({"order": []}, TypeError, "order must be a sequence"),
    (
        {"preset": "vllm", "typical_p": 0.9},
        ValueError,
        "the preset 'vllm' has no place for typical_p",
    ),
    ({"preset": "ollama"}, ValueError, "preset must be one of"),
    ({"preset": "vllm", "order": ["top_k"]}, ValueError, "preset must be without order"),
    ({"where": [1, 0, 1]}, TypeError, "where must be boolean"),
    ({"axis": 2}, np.exceptions.AxisError, "axis"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_wrong_options(options: Any, error: Any, message: str) -> None:
    for function in (sigmax.filter_probabilities, sigmax.sample):
        with pytest.raises(error, match=message):
            function(X, **options)


WRONG_DRAWS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"shape": -1}, ValueError, "shape must not be negative"),
    ({"shape": 2.0}, TypeError, "shape must be an integer"),
    ({"shape": (2, True)}, TypeError, "shape must be an integer"),
    ({"shape": 4, "replace": False}, ValueError, "shape must be at most"),
    (
        {"shape": 2, "replace": False, "top_k": 1, "where": [True, True, False]},
        ValueError,
        "shape must",
    ),
    ({"seed": -1}, ValueError, r"seed must be in \[0, 2\^128\)"),
    ({"seed": 1.0}, TypeError, "seed must be an integer"),
    ({"draw": -1}, ValueError, "draw must be in"),
    ({"rows": -1, "seed": 1}, ValueError, "rows must be not negative"),
    ({"rows": 1.5, "seed": 1}, TypeError, "rows must be integers"),
    ({"rows": [1, 2, 3], "seed": 1}, ValueError, "rows must broadcast"),
    ({"rng": 3}, TypeError, "rng must be a numpy.random.Generator"),
    ({"rng": np.random.default_rng(0), "seed": 1}, ValueError, "rng must be alone"),
    ({"rng": np.random.default_rng(0), "rows": 1}, ValueError, "rng must be alone"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG_DRAWS)
def test_wrong_draws(options: Any, error: Any, message: str) -> None:
    x = np.array([[0.0, 1.0, 2.0], [0.0, -1.0, 1.0]])
    with pytest.raises(error, match=message):
        sigmax.sample(x, **options)


def test_rows_without_a_class() -> None:
    for classes in (3, 50):
        x = np.zeros((2, 2, classes))
        x[1, 0, 1] = np.nan
        with pytest.raises(
            ValueError, match=r"logits must have no NaN in the row at index \(1, 0\)"
        ):
            sigmax.sample(x)
        x[1, 0] = -np.inf
        with pytest.raises(
            ValueError, match=r"logits must have a possible class in the row at index \(1, 0\)"
        ):
            sigmax.sample(x)
        with pytest.raises(ValueError, match="logits must have no NaN"):
            sigmax.sample(np.full(classes, np.nan), shape=2, replace=False)


def test_empty_arrays() -> None:
    assert sigmax.sample(np.zeros((0, 5))).shape == (0,)
    assert sigmax.sample(np.zeros((2, 5)), shape=0).shape == (2, 0)
    assert sigmax.filter_probabilities(np.zeros((2, 0)), top_k=1).probabilities.shape == (2, 0)
    assert sigmax.filter_probabilities(np.zeros((0, 50)), top_p=0.5).log_mass.shape == (0,)
    with pytest.raises(ValueError, match="possible class"):
        sigmax.sample(np.zeros((2, 0)))


P, Q = np.zeros((1, 2, 3)), np.zeros((1, 3, 3))
WRONG_SPECULATION: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (
        (P, Q, [[0, 3]]),
        {},
        ValueError,
        r"draft_tokens must be in \[0, 3\), got 3 at index \(0, 1\)",
    ),
    ((P, Q, [[0.0, 1.0]]), {}, TypeError, "draft_tokens must be integers"),
    ((P, Q, [0, 1]), {}, ValueError, "draft_tokens must have the shape"),
    (
        (P, np.zeros((1, 4, 3)), [[0, 1]]),
        {},
        ValueError,
        "target_logits must have rows for 2 positions",
    ),
    (
        (P, np.zeros((1, 3, 4)), [[0, 1]]),
        {},
        ValueError,
        "target_logits must have 3 classes, got 4",
    ),
    ((np.zeros(3), Q, 0), {}, ValueError, "draft_logits must have an axis of positions"),
    ((P, Q, [[0, 1]]), {"axis": (0, 1)}, TypeError, "axis must be an int"),
    ((P, Q, [[0, 1]]), {"draft": {"top_q": 1}}, TypeError, "draft must have options"),
    ((P, Q, [[0, 1]]), {"draft": 1.0}, TypeError, "draft must be a mapping"),
    (
        (P - np.array([0, np.inf, 0]), Q, [[0, 1]]),
        {},
        ValueError,
        "draft_tokens must be possible in the draft, got 1",
    ),
    ((P, Q * np.nan, [[0, 1]]), {}, ValueError, "target_logits must have no NaN"),
    ((P - np.inf, Q, [[0, 1]]), {}, ValueError, "draft_logits must have a possible class"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), WRONG_SPECULATION)
def test_wrong_speculation(arguments: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        sigmax.speculative_accept(*arguments, **options)


def test_no_warnings_under_any_settings() -> None:
    with np.errstate(all="raise"):
        for dtype in TYPES:  # what is removed is below the smallest number of the narrow types
            sigmax.filter_probabilities(np.array([0, -60, -200], dtype), top_k=1)
            sigmax.sample(np.array([0, -60, -200], dtype), return_log_prob=True)
        for options in OPTIONS:
            sigmax.filter_probabilities([[1e308, -1e308, 0.0], [np.inf, -np.inf, 1.0]], **options)
            sigmax.sample(
                [[1e308, -1e308, 0.0], [np.inf, -np.inf, 1.0]], return_log_prob=True, **options
            )
