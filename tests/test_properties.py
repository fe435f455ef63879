"""What holds for every input, searched for exceptions; the same examples in every run."""

import math

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import sigmax

settings.register_profile("sigmax", derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile("sigmax")

FLOATS = st.sampled_from([np.float32, np.float64])
SHAPES = npst.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=70)


@st.composite
def logits(draw, largest: float = 1e30):
    dtype = draw(FLOATS)
    bound = draw(st.sampled_from([b for b in (1.0, 10.0, 100.0, 1e30) if b <= largest]))
    limit = float(dtype(bound))
    elements = st.floats(-limit, limit, width=np.finfo(dtype).bits)
    return draw(npst.arrays(dtype, SHAPES, elements=elements))


@st.composite
def exact_logits(draw):
    """Multiples of 1/64 below 2^9: they can be shifted by integers without rounding."""
    steps = draw(npst.arrays(np.int64, SHAPES, elements=st.integers(-(2**15), 2**15)))
    return (steps / 64).astype(draw(FLOATS))


def eps(x) -> float:
    return float(np.finfo(x.dtype).eps)


def ulps(a, b) -> float:
    assert a.dtype == b.dtype
    distance = np.abs(a - b) / np.spacing(np.maximum(np.abs(a), np.abs(b)))
    return float(np.max(distance, where=a != b, initial=0))


# ---------------------------------------------------------------- softmax


@given(logits())
def test_probabilities_sum_to_1(x):
    p = sigmax.softmax(x)
    assert ((p >= 0) & (p <= 1)).all()
    for row in p.reshape(-1, p.shape[-1]):
        assert abs(math.fsum(row.tolist()) - 1) <= eps(x)


@given(exact_logits(), st.integers(-1000, 1000))
def test_shifts_change_nothing_beyond_rounding(x, shift):
    shifted = x + x.dtype.type(shift)
    for function in (sigmax.softmax, sigmax.log_softmax, sigmax.entropy):
        assert ulps(np.asarray(function(shifted)), np.asarray(function(x))) <= 1
    expected = sigmax.logsumexp(x.astype(np.float64)) + shift
    np.testing.assert_allclose(sigmax.logsumexp(shifted), expected, rtol=2 * eps(x), atol=1e-12)


@given(logits(), st.randoms(use_true_random=False))
def test_permutations(x, random):
    order = list(range(x.shape[-1]))
    random.shuffle(order)
    for function in (sigmax.softmax, sigmax.log_softmax):
        assert ulps(function(x[..., order]), function(x)[..., order]) <= 2
    assert ulps(np.asarray(sigmax.logsumexp(x[..., order])), np.asarray(sigmax.logsumexp(x))) <= 2


@given(logits())
def test_a_larger_logit_has_a_larger_probability(x):
    order = np.argsort(x, axis=-1)
    p = np.take_along_axis(sigmax.softmax(x), order, -1).astype(np.float64)
    assert (p[..., 1:] >= p[..., :-1] * (1 - eps(x))).all()


@given(logits())
@example(np.array([-745.0, -36.7, 0.0, 36.7, 745.0]))
def test_two_classes_are_a_sigmoid(x):
    x = x.ravel()
    pairs = np.stack([x, np.zeros_like(x)], axis=-1)
    assert ulps(sigmax.softmax(pairs)[:, 0], sigmax.sigmoid(x)) <= 1
    assert ulps(sigmax.log_softmax(pairs)[:, 0], sigmax.log_sigmoid(x)) <= 1
    assert ulps(np.asarray(sigmax.logsumexp(pairs)), sigmax.softplus(x)) <= 1


@given(logits())
def test_log_softmax_is_the_logarithm_of_softmax(x):
    p, log_p = sigmax.softmax(x), sigmax.log_softmax(x)
    assert (log_p <= 0).all()
    normal = p >= np.finfo(x.dtype).tiny
    logarithm = np.log(p[normal].astype(np.float64))
    np.testing.assert_allclose(log_p[normal], logarithm, rtol=2 * eps(x), atol=eps(x))


@given(logits(largest=100))
def test_inverse_softmax_is_the_inverse(x):
    p = sigmax.softmax(x)
    if p.min() < np.finfo(x.dtype).tiny:
        return
    back = sigmax.inverse_softmax(p)
    size = 1 + float(np.abs(back).max())
    assert np.abs(back.astype(np.float64).mean(axis=-1)).max() <= 2 * eps(x) * size
    np.testing.assert_allclose(sigmax.softmax(back), p, rtol=4 * eps(x) * size)


# ---------------------------------------------------------------- logsumexp, entropy


@given(logits())
def test_logsumexp_lies_between_the_largest_and_log_c_above_it(x):
    y, top = sigmax.logsumexp(x).astype(np.float64), x.max(axis=-1).astype(np.float64)
    assert (y >= top).all()
    log_c = math.log(x.shape[-1])
    assert (y <= top + log_c + eps(x) * (log_c + np.abs(top))).all()


@given(logits())
def test_entropy_lies_between_0_and_log_c(x):
    h = sigmax.entropy(x)
    assert ((h >= 0) & (h <= math.log(x.shape[-1]) * (1 + eps(x)))).all()


@given(logits(largest=100))
def test_entropy_of_logits_and_of_probabilities_agree(x):
    p = sigmax.softmax(x)
    of_p = sigmax.entropy(p, from_logits=False)
    n = x.shape[-1]
    np.testing.assert_allclose(sigmax.entropy(x), of_p, rtol=8 * eps(x), atol=8 * eps(x) * n)


# ---------------------------------------------------------------- elementwise


@given(logits())
def test_elementwise_functions_are_monotonic(x):
    x = np.sort(x.ravel())
    p = np.sort(sigmax.sigmoid(x))
    for y in (sigmax.sigmoid(x), sigmax.softplus(x), sigmax.log_sigmoid(x), sigmax.logit(p)):
        exactly = y.dtype == np.float32  # which is correctly rounded
        assert (y[1:] >= (y[:-1] if exactly else np.nextafter(y[:-1], -np.inf))).all()


@given(logits())
def test_symmetries(x):
    assert sigmax.log_sigmoid(x).tobytes() == (-sigmax.softplus(-x)).tobytes()
    total = sigmax.sigmoid(x).astype(np.float64) + sigmax.sigmoid(-x).astype(np.float64)
    assert (np.abs(total - 1) <= eps(x)).all()


@given(logits(largest=100))
def test_logit_is_the_inverse_of_sigmoid(x):
    x = np.minimum(x, x.dtype.type(10))  # beyond, 1 - p has too few digits
    back = sigmax.logit(sigmax.sigmoid(x))
    wide = x.astype(np.float64)
    bound = eps(x) * (1 + np.exp(wide) + np.abs(wide))
    if np.abs(x).max() < -np.log(np.finfo(x.dtype).tiny):
        assert (np.abs(back - wide) <= bound).all()


@given(logits(largest=100))
def test_log1mexp_is_the_logarithm_of_the_complement(x):
    log_p, log_q = sigmax.log_sigmoid(x), sigmax.log_sigmoid(-x)
    safe = (np.abs(x) < 10) & (np.abs(x) > 1e-3)
    complement = sigmax.log1mexp(log_p[safe])
    amplified = eps(x) * (2 + np.exp(np.abs(x[safe].astype(np.float64))))
    assert (np.abs(complement - log_q[safe].astype(np.float64)) <= 4 * amplified).all()


# ---------------------------------------------------------------- gradients


@given(logits(largest=100), st.integers(0, 2**32 - 1))
def test_gradients_do_not_change_under_a_shift(x, seed):
    c = np.random.default_rng(seed).normal(0, 1, x.shape).astype(x.dtype)
    for function in (sigmax.softmax, sigmax.log_softmax):
        g = sigmax.vjp(function, x, c).astype(np.float64)
        size = np.abs(g).sum(axis=-1) + np.abs(c.astype(np.float64)).sum(axis=-1)
        assert (np.abs(g.sum(axis=-1)) <= 2 * eps(x) * size).all()
