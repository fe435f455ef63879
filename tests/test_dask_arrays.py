"""sigmax.dask: any blocks, the class axis too, give what one block gives; nothing is computed too early."""

import doctest

import numpy as np
import pytest

import sigmax

da = pytest.importorskip("dask.array")

import sigmax.dask as sd  # noqa: E402

X = np.random.default_rng(0).normal(0, 5, (6, 8))
X[0] = [40, 0, 0, 0, 0, 0, 0, 0]
X[1, :4] = -np.inf
Y = np.array([0, 5, 2, 7, 3, 1])
Q = sigmax.softmax(np.random.default_rng(1).normal(size=(6, 8)))
Q[1] = sigmax.softmax(np.where(X[1] > -np.inf, 0.0, -np.inf))
S = np.array([1.0, 2.0, 0.5, 0.0, 1.0, 3.0])
T = np.array([0.5, 1.0, 2.0, 3.0, 1.0, 1.0])
CHUNKS = [(6, 8), (2, 8), (6, 3), (4, 1), ((1, 5), (2, 6))]


def no_compute(*_, **__):
    raise AssertionError("computed")


def lazily(make):
    """Build with a scheduler that refuses to run, compute with one that runs."""
    import dask

    with dask.config.set(scheduler=no_compute):
        result = make()
    with dask.config.set(scheduler="synchronous"):
        return (
            [part.compute() for part in result] if isinstance(result, tuple) else result.compute()
        )


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("temperature", [1.0, 2.5, T], ids=["1", "2.5", "rows"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_functions(name, temperature, chunks):
    expected = getattr(sigmax, name)(X, temperature=temperature)
    x = da.from_array(X, chunks=chunks)
    result = lazily(lambda: getattr(sd, name)(x, temperature=temperature))
    np.testing.assert_allclose(result, expected, rtol=1e-14)
    across = da.from_array(X.T.copy(), chunks=chunks[::-1])
    result = lazily(lambda: getattr(sd, name)(across, 0, temperature=temperature))
    np.testing.assert_allclose(result, expected if name == "logsumexp" else expected.T, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_types(dtype):
    x = np.where(np.isfinite(X), X, 0).astype(dtype)
    blocks = da.from_array(x, chunks=(2, 3))
    for name in ("softmax", "log_softmax", "logsumexp"):
        expected = getattr(sigmax, name)(x)
        result = getattr(sd, name)(blocks)
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(
            result.compute(), expected, rtol=max(2 * np.finfo(expected.dtype).eps, 1e-14)
        )


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("labels", [Y, Q], ids=["hard", "soft"])
def test_loss_and_gradient(labels, reduction, chunks):
    options = {"reduction": reduction, "sample_weight": S, "temperature": T}
    if labels.ndim == 1:
        options["ignore_index"] = 3
    value, gradient = sigmax.value_and_grad(sigmax.cross_entropy)(X, labels, **options)
    x = da.from_array(X, chunks=chunks)
    found = lazily(lambda: sd.cross_entropy_and_grad(x, labels, **options))
    np.testing.assert_allclose(found[0], value, rtol=1e-13)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-12, atol=1e-16)
    alone = lazily(lambda: sd.cross_entropy(x, da.from_array(labels, chunks=4), **options))
    np.testing.assert_allclose(alone, value, rtol=1e-13)


Z = np.random.default_rng(3).normal(0, 2, (6, 8))
Z[1, :4] = -np.inf


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("from_logits", [False, True], ids=["distributions", "logits"])
def test_divergence_and_gradient(from_logits, reduction, chunks):
    options = {"reduction": reduction, "sample_weight": S, "temperature": T}
    options["labels_from_logits"] = from_logits
    labels = Z if from_logits else Q
    value, gradient = sigmax.value_and_grad(sigmax.kl_divergence)(X, labels, **options)
    x, q = da.from_array(X, chunks=chunks), da.from_array(labels, chunks=4)
    found = lazily(lambda: sd.kl_divergence_and_grad(x, q, **options))
    np.testing.assert_allclose(found[0], value, rtol=1e-12)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(lazily(lambda: sd.kl_divergence(x, q, **options)), value, rtol=1e-12)


@pytest.mark.parametrize("chunks", CHUNKS[-2:], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("labels", [None, Y, Q], ids=["none", "hard", "soft"])
def test_distillation_and_gradient(labels, alpha, reduction, chunks):
    if labels is None and alpha < 1:
        return
    options = {"reduction": reduction, "sample_weight": S, "temperature": T, "alpha": alpha}
    if labels is Y:
        options["ignore_index"] = 2
    value, gradient = sigmax.value_and_grad(sigmax.distillation_loss)(X, Z, labels, **options)
    x, z = da.from_array(X, chunks=chunks), da.from_array(Z, chunks=(3, 5))
    found = lazily(lambda: sd.distillation_loss_and_grad(x, z, labels, **options))
    np.testing.assert_allclose(found[0], value, rtol=1e-12)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-11, atol=1e-15)
    alone = lazily(
        lambda: sd.distillation_loss(x.T, z.T, labels if labels is not Q else Q.T, 0, **options)
    )
    np.testing.assert_allclose(alone, value, rtol=1e-12)


def test_divergence_of_close_rows():
    """It is never negative, and keeps the digits that the logsumexps have."""
    x = np.random.default_rng(4).normal(size=(20, 30))
    close = x + 1e-6 * np.random.default_rng(5).normal(size=x.shape)
    options = {"labels_from_logits": True, "reduction": "none"}
    exact = sigmax.kl_divergence(x, close, **options)
    found = sd.kl_divergence(da.from_array(x, chunks=(5, 7)), close, **options).compute()
    np.testing.assert_allclose(found, exact, rtol=1e-8)
    same = sd.kl_divergence(da.from_array(x, chunks=(5, 7)), x, **options).compute()
    assert (same >= 0).all()
    assert same.max() < 1e-30


def test_confident_rows_keep_their_digits():
    x = da.from_array(X[:1], chunks=(1, 3))
    value, gradient = sd.cross_entropy_and_grad(x, [0])
    exact = 7 * 4.248354255291589e-18
    np.testing.assert_allclose(value.compute(), exact, rtol=1e-15)
    np.testing.assert_allclose(gradient.compute()[0, 0], -exact, rtol=1e-15)
    np.testing.assert_allclose(sd.log_softmax(x).compute()[0, 0], -exact, rtol=1e-15)


def test_order_of_computation_changes_nothing():
    x = da.from_array(np.random.default_rng(2).normal(size=(50, 40)), chunks=(7, 3))
    results = [
        np.concatenate(
            [part.compute(scheduler=how).ravel() for part in (sd.softmax(x), sd.logsumexp(x))]
        )
        for how in ("synchronous", "threads")
    ]
    np.testing.assert_array_equal(*results)


def test_blocks_stay():
    x = da.from_array(X, chunks=(4, 3))
    assert sd.softmax(x).chunks == x.chunks
    assert sd.cross_entropy_and_grad(x, Y)[1].chunks == x.chunks
    image = da.zeros((2, 4, 3), chunks=(1, 3, 2))
    assert sd.softmax(image, 1).chunks == image.chunks
    np.testing.assert_allclose(sd.softmax(image, 1).compute(), 0.25)


def test_errors():
    x = da.from_array(X, chunks=(2, 3))
    with pytest.raises(TypeError, match=r"x must be a dask\.array, got ndarray"):
        sd.softmax(X)
    with pytest.raises(ValueError, match=r"axis must be in \[-2, 2\), got 2"):
        sd.softmax(x, 2)
    with pytest.raises(ValueError, match="temperature must be in"):
        sd.softmax(x, temperature=-1.0)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 8\), got 8"):
        sd.cross_entropy(x, [0, 1, 2, 3, 4, 8]).compute()
    with pytest.raises(ValueError, match="labels must have the shape"):
        sd.cross_entropy(x, [0, 1])
    with pytest.raises(TypeError, match="labels must be integers"):
        sd.cross_entropy(x, Y * 1.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'where'"):
        sd.cross_entropy_and_grad(x, Y, where=True)
    with pytest.raises(ValueError, match="reduction must be"):
        sd.cross_entropy(x, Y, reduction="all")
    with pytest.raises(ValueError, match="labels must have the shape"):
        sd.kl_divergence(x, Y)
    with pytest.raises(ValueError, match="alpha must be in"):
        sd.distillation_loss(x, x, alpha=2.0)
    with pytest.raises(ValueError, match="labels are needed for alpha < 1"):
        sd.distillation_loss(x, x, alpha=0.5)
    with pytest.raises(ValueError, match="known chunks"):
        sd.softmax(x[x[:, 0] > 0])


def test_examples_run():
    assert doctest.testmod(sd).failed == 0


def test_xarray():
    """The call that the page shows."""
    xr = pytest.importorskip("xarray")
    x = xr.DataArray(
        np.where(np.isfinite(X), X, 0.0), dims=("row", "class"), coords={"row": list("abcdef")}
    )
    for array in (x, x.chunk({"row": 2})):
        p = xr.apply_ufunc(
            sigmax.softmax,
            array,
            input_core_dims=[["class"]],
            output_core_dims=[["class"]],
            dask="parallelized",
            output_dtypes=[float],
        )
        assert p.dims == ("row", "class")
        np.testing.assert_array_equal(p.to_numpy(), sigmax.softmax(x.to_numpy()))
    lse = xr.apply_ufunc(sigmax.logsumexp, x, input_core_dims=[["class"]])
    assert lse.sel(row="c") == sigmax.logsumexp(x.to_numpy()[2])
