"""Rows in chunks: every shape and every kind of array, the same numbers; errors say where."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import sigmax
from sigmax import _rows

da = pytest.importorskip("dask.array")

RNG = np.random.default_rng(20)
N, C = 400, 7
LOGITS = RNG.normal(size=(N, C)) * 3
LABELS = np.where(RNG.random(N) < 0.5, LOGITS.argmax(axis=-1), RNG.integers(0, C, N))
SOFT = RNG.dirichlet(np.ones(C) / 4, N)
WEIGHT = RNG.random(N) + 0.1
MASK = RNG.random((N, C)) < 0.9
MASK[np.arange(N), LABELS] = True
GROUPS = RNG.integers(0, 60, N)


def numbers(logits, labels, axis=-1, *, groups=None, **options):
    """Everything that is computed of these arguments, as plain numbers."""
    temperature = sigmax.fit_temperature(logits, labels, axis, **options)
    vector = sigmax.fit_vector_scaling(logits, labels, axis, **options)
    evaluation = sigmax.evaluate(logits, labels, axis, groups=groups, **options).to_dict()
    curve = sigmax.reliability_curve(logits, labels, axis, equal_mass=True, **options)
    names = [name for name, value in evaluation.items() if isinstance(value, dict)]
    return [
        *(temperature.temperature, *temperature.interval, temperature.nll_before),
        *(temperature.nll_after, temperature.rows, *vector.scale, *vector.bias),
        *(
            x
            for name in names[:-1]
            for x in (evaluation[name]["value"], *evaluation[name]["interval"])
        ),
        *(sigmax.brier_score(logits, labels, axis, **options), *curve.count, *curve.accuracy),
    ]


def dask(x, blocks):
    return da.from_array(x, chunks=blocks)


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["rows", "groups"])
@pytest.mark.parametrize("size", [1, 50, 1000, 2**30])
def test_chunks_change_nothing(size, groups, monkeypatch):
    options = {"sample_weight": WEIGHT, "where": MASK, "ignore_index": 3, "groups": groups}
    expected = numbers(LOGITS, LABELS, **options)
    monkeypatch.setattr(_rows, "_CHUNK", size)
    np.testing.assert_allclose(numbers(LOGITS, LABELS, **options), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("most", [1, 2, 5, 12, 100])
@pytest.mark.parametrize("batch", [(), (7,), (3, 4), (2, 3, 4), (0, 3), (3, 0)])
def test_parts_cover_the_batch_in_order(batch, most):
    index = np.arange(np.prod(batch, dtype=int)).reshape(batch)
    parts = [index[part].ravel() for part in _rows._parts(batch, most)]
    assert np.array_equal(np.concatenate(parts), index.ravel())
    assert all(len(part) <= most for part in parts)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_any_axis_and_any_number_of_dimensions(axis, soft, monkeypatch):
    monkeypatch.setattr(_rows, "_CHUNK", 30 * C)
    labels = SOFT if soft else LABELS
    expected = numbers(LOGITS, labels, sample_weight=WEIGHT)
    batch = (20, 20)
    logits = np.moveaxis(LOGITS.reshape(*batch, C), -1, axis)
    labels = np.moveaxis(SOFT.reshape(*batch, C), -1, axis) if soft else LABELS.reshape(batch)
    result = numbers(logits, labels, axis, sample_weight=WEIGHT.reshape(batch))
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-14)


def test_one_row():
    logits, labels = [2.0, 0.0, 1.0], [0.2, 0.5, 0.3]
    assert sigmax.fit_temperature([logits], [[0.5, 0.2, 0.3]]).rows == 1
    np.testing.assert_allclose(
        sigmax.evaluate([logits], [labels]).nll, sigmax.cross_entropy(logits, labels), rtol=1e-15
    )
    assert sigmax.evaluate(logits, 0).accuracy == 1.0
    assert sigmax.evaluate(logits, labels).rows == 3  # yes-or-no questions


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, ">f4"])
def test_types_of_logits(dtype):
    logits = LOGITS.astype(dtype)
    expected = numbers(logits.astype(np.float64), LABELS)
    np.testing.assert_allclose(numbers(logits, LABELS), expected, rtol=2e-6, atol=2e-7)


def test_memory_map_that_is_read_only(tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "labels.npy", LABELS)
    logits = np.load(tmp_path / "logits.npy", mmap_mode="r")
    labels = np.load(tmp_path / "labels.npy", mmap_mode="r")
    assert numbers(logits, labels) == numbers(LOGITS, LABELS)


def test_arguments_are_not_changed():
    logits, labels = LOGITS.copy(), LABELS.copy()
    p = sigmax.softmax(LOGITS)
    given = p.copy()
    numbers(logits, labels)
    numbers(p, labels, from_logits=False)
    assert np.array_equal(logits, LOGITS)
    assert np.array_equal(labels, LABELS)
    assert np.array_equal(p, given)


# ---------------------------------------------------------------- what counts


def test_a_row_that_is_ignored_is_a_row_removed():
    labels = LABELS.copy()
    labels[::3] = -100
    logits = LOGITS.copy()
    logits[::3] = np.nan
    kept = labels >= 0
    expected = numbers(LOGITS[kept], LABELS[kept], groups=GROUPS[kept])
    assert numbers(logits, labels, ignore_index=-100, groups=GROUPS) == expected


def test_a_distribution_that_is_sure_of_the_ignored_class_is_a_row_removed():
    soft = SOFT.copy()
    soft[::3] = np.eye(C)[2]
    kept = np.arange(N) % 3 > 0
    assert numbers(LOGITS, soft, ignore_index=2) == numbers(LOGITS[kept], SOFT[kept])


def test_a_row_of_weight_0_is_a_row_removed():
    kept = RNG.random(N) < 0.7
    logits = np.where(kept[:, None], LOGITS, np.nan)
    expected = numbers(LOGITS[kept], LABELS[kept])
    assert numbers(logits, LABELS, sample_weight=1.0 * kept) == expected


def test_a_mask_is_a_logit_of_minus_infinity():
    masked = np.where(MASK, LOGITS, -np.inf)
    assert numbers(LOGITS, LABELS, where=MASK) == numbers(masked, LABELS)
    huge = np.where(MASK, LOGITS, 1e300)
    assert numbers(huge, LABELS, where=MASK) == numbers(masked, LABELS)
    smoothed = numbers(LOGITS, LABELS, where=MASK)
    assert smoothed == numbers(masked, LABELS)


def test_one_hot_rows_are_class_indices():
    expected = numbers(LOGITS, LABELS, sample_weight=WEIGHT)
    result = numbers(LOGITS, np.eye(C, dtype=np.int8)[LABELS], sample_weight=WEIGHT)
    np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-13)


# ---------------------------------------------------------------- errors


def test_errors_say_where(monkeypatch):
    monkeypatch.setattr(_rows, "_CHUNK", 40 * C)
    logits, labels = LOGITS.reshape(20, 20, C).copy(), LABELS.reshape(20, 20).copy()
    weight = WEIGHT.reshape(20, 20).copy()
    cases = []

    def case(message, **changes):
        cases.append(({"logits": logits, "labels": labels, **changes}, message))

    bad = labels.copy()
    bad[13, 4] = C
    case(rf"labels must be in \[0, {C}\), got {C} at index \(13, 4\)", labels=bad)
    bad = logits.copy()
    bad[13, 4, 2] = np.nan
    case(r"logits must .*, got nan for class 2 at index \(13, 4\)", logits=bad)
    for value in (-1.0, np.nan, np.inf):
        bad = weight.copy()
        bad[5, 6] = value
        message = rf"sample_weight must be finite and not negative, got {value} at index \(5, 6\)"
        case(message, sample_weight=bad)
    p = sigmax.softmax(logits)
    bad = p.copy()
    bad[9, 9, 1] = -0.5
    case(
        r"logits must be in \[0, 1\], got -0.5 for class 1 at index \(9, 9\)",
        logits=bad,
        from_logits=False,
    )
    bad = p.copy()
    bad[9, 9] *= 0.9
    case(
        r"logits must sum to 1 within 1.5e-08 .*, got 0.9\d* at index \(9, 9\)",
        logits=bad,
        from_logits=False,
    )
    soft = SOFT.reshape(20, 20, C).copy()
    soft[19, 19] = 0.5
    case(r"labels must sum to 1 within .*, got 3.5 at index \(19, 19\)", labels=soft)
    for options, message in cases:
        logits_, labels_ = options.pop("logits"), options.pop("labels")
        for function in (sigmax.fit_temperature, sigmax.fit_vector_scaling, sigmax.evaluate):
            with pytest.raises(ValueError, match=message):
                function(logits_, labels_, **options)
        blocks = dask(logits_, (3, 20, 2)), dask(labels_, 5)
        with pytest.raises(ValueError, match=message):
            sigmax.evaluate(*blocks, **options)


def test_arguments_that_do_not_fit():
    call = sigmax.fit_temperature
    with pytest.raises(ValueError, match=r"labels must have the shape \(400,\) .* or \(400, 7\)"):
        call(LOGITS, LABELS[:5])
    with pytest.raises(TypeError, match="labels must be integers"):
        call(LOGITS, LABELS + 0.0)
    with pytest.raises(TypeError, match="labels must be real numbers"):
        call(LOGITS, LABELS.astype(str))
    with pytest.raises(TypeError, match="logits must be real numbers"):
        call(LOGITS + 1j, LABELS)
    with pytest.raises(TypeError, match="logits is a masked array"):
        call(np.ma.masked_array(LOGITS), LABELS)
    with pytest.raises(ValueError, match=r"sample_weight must broadcast to the shape \(400,\)"):
        call(LOGITS, LABELS, sample_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"where must broadcast"):
        call(LOGITS, LABELS, where=[True, False])
    with pytest.raises(TypeError, match="where must be boolean"):
        call(LOGITS, LABELS, where=1)
    with pytest.raises(ValueError, match=r"groups must have the shape \(400,\)"):
        sigmax.evaluate(LOGITS, LABELS, groups=[1, 2])
    with pytest.raises(ValueError, match="ignore_index must be a class in"):
        call(LOGITS, SOFT, ignore_index=-1)
    with pytest.raises(ValueError, match="at least one class"):
        call(LOGITS[:, :0], LABELS)
    with pytest.raises(ValueError, match=r"temperature must broadcast"):
        sigmax.evaluate(LOGITS, LABELS, temperature=[1.0, 2.0])


# ---------------------------------------------------------------- Dask


@pytest.mark.parametrize("blocks", [(400, 7), (100, 7), (37, 3)])
def test_dask_arrays(blocks):
    options = {"sample_weight": WEIGHT, "where": MASK, "ignore_index": 3}
    expected = numbers(LOGITS, LABELS, groups=GROUPS, **options)
    options["where"] = dask(MASK, 50)
    result = numbers(dask(LOGITS, blocks), dask(LABELS, 30), groups=dask(GROUPS, 70), **options)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-14)


def test_dask_array_of_labels_alone():
    expected = numbers(LOGITS, LABELS)
    np.testing.assert_allclose(numbers(LOGITS, dask(LABELS, 130)), expected, rtol=1e-12, atol=1e-14)


def test_dask_arrays_of_more_dimensions():
    logits, labels = LOGITS.reshape(20, 20, C), LABELS.reshape(20, 20)
    result = numbers(dask(logits, (3, 7, 2)).transpose(0, 2, 1), dask(labels, (5, 5)), 1)
    np.testing.assert_allclose(result, numbers(LOGITS, LABELS), rtol=1e-12, atol=1e-14)


def test_one_row_of_dask():
    assert sigmax.evaluate(dask(LOGITS[0], 3), int(LABELS[0])).rows == 1


def test_blocks_of_unknown_size():
    unknown = dask(LOGITS, (100, C))[dask(LABELS, 100) > 2]
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        sigmax.fit_temperature(unknown, LABELS)


@pytest.fixture(scope="module")
def client(cluster):
    with cluster.get_client() as client:
        yield client


def test_cluster(client):
    assert len(client.scheduler_info()["workers"]) == 2
    result = numbers(dask(LOGITS, (50, C)), dask(LABELS, 50), groups=dask(GROUPS, 50))
    np.testing.assert_allclose(
        result, numbers(LOGITS, LABELS, groups=GROUPS), rtol=1e-12, atol=1e-14
    )


def killing(block, marker):
    """Return the block; the first time, kill the worker that reads it."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return block
    os.kill(os.getpid(), signal.SIGKILL)
    return block


def lost(block, block_info, folder):
    """As `killing`, in the middle of the blocks."""
    if block_info[0]["chunk-location"][0] != 5:
        return block
    return killing(block, str(Path(folder) / "killed"))


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "function",
    [
        "fit_temperature",
        pytest.param("evaluate", marks=pytest.mark.slow),
        pytest.param("fit_vector_scaling", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_dies_changes_nothing(function, tmp_path):
    logits, labels = dask(LOGITS, (50, C)), dask(LABELS, 50)
    call = getattr(sigmax, function)
    mortal = logits.map_blocks(lost, folder=str(tmp_path), dtype=logits.dtype, meta=LOGITS[:0])
    first, second = call(logits, labels), call(mortal, labels)
    assert (tmp_path / "killed").exists()
    for name, value in vars(first).items():
        assert np.array_equal(value, getattr(second, name)), name
        if isinstance(value, sigmax.Estimate):
            assert np.array_equal(value.resamples, getattr(second, name).resamples)
