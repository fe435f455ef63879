"""Sparse labels: losses against the coarser distributions written out, samples against the full sum, files."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import sigmax
from sigmax import SparseLabels

EXAMPLES = Path(__file__).parent.parent / "examples"


def rows(count=5, classes=7, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (count, classes))


def folded(p, indices):
    """The probabilities of the known classes, and of all others together."""
    known = np.take_along_axis(p, indices, axis=-1)
    return np.concatenate([known, 1 - known.sum(axis=-1, keepdims=True)], axis=-1)


def softmax(x, t=1.0):
    e = np.exp(x / t)
    return e / e.sum(axis=-1, keepdims=True)


def numerical_gradient(function, x, step=1e-6):
    gradient = np.empty_like(x)
    for at in np.ndindex(x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][at] += step
        moved[1][at] -= step
        gradient[at] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("t", [1.0, 2.5])
def test_one_bucket(t, reduction):
    x, z, s = rows(), rows(seed=1), np.array([1.0, 2.0, 0.5, 0.0, 3.0])
    labels = SparseLabels.from_logits(z, 3, temperature=t)
    q, p = folded(softmax(z, t), labels.indices), folded(softmax(x, t), labels.indices)
    finish = {"mean": lambda v: v.sum() / s.sum(), "sum": np.sum, "none": lambda v: v}[reduction]
    options = {"temperature": t, "sample_weight": s, "reduction": reduction}
    divergence = s * (q * np.log(q / p)).sum(axis=-1)
    entropy = s * (-q * np.log(p)).sum(axis=-1)
    y = np.arange(5)
    hard = -s * np.log(softmax(x)[y, y])
    mixed = 0.25 * t**2 * finish(divergence) + 0.75 * finish(hard)
    cases = (
        (sigmax.kl_divergence, (labels,), {}, finish(divergence)),
        (sigmax.cross_entropy, (labels,), {}, finish(entropy)),
        (sigmax.distillation_loss, (labels, y), {"alpha": 0.25}, mixed),
    )
    for function, arguments, more, expected in cases:
        value, gradient = sigmax.value_and_grad(function)(x, *arguments, **options, **more)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        assert np.all(value == function(x, *arguments, **options, **more))

        def total(x, f=function, a=arguments, m=more):
            return np.sum(f(x, *a, **options, **m))

        np.testing.assert_allclose(gradient, numerical_gradient(total, x), atol=1e-7)
        out = np.empty_like(x)
        sigmax.value_and_grad(function)(x, *arguments, **options, **more, out=out)
        np.testing.assert_array_equal(out, gradient)


def test_all_classes_are_the_full_distribution():
    x, z = rows(), rows(seed=1)
    labels = SparseLabels.from_logits(z)
    full = sigmax.kl_divergence(x, z, labels_from_logits=True)
    np.testing.assert_allclose(sigmax.kl_divergence(x, labels), full, rtol=1e-12)
    np.testing.assert_allclose(labels.dense(7), softmax(z), rtol=1e-12)
    assert (labels.tail == -np.inf).all()


def test_bucket_is_never_negative_nor_more_than_all():
    x, z = rows(2000, 20), rows(2000, 20, seed=1) * 1e-3
    z += x
    values = sigmax.kl_divergence(x, SparseLabels.from_logits(z, 4), reduction="none")
    assert (values >= 0).all()
    full = sigmax.kl_divergence(x, z, labels_from_logits=True, reduction="none")
    assert (values <= full * (1 + 1e-12)).all()


def test_sample_is_unbiased():
    """The mean over all samples of one draw, each with its probability, is the full sum."""
    x, z = rows(1, 6), rows(1, 6, seed=1)
    q = softmax(z)[0]
    value, gradient = 0.0, 0.0
    for k in range(6):
        labels = SparseLabels([[k]], np.log([[q[k]]]), weights=[[1.0]])
        v, g = sigmax.value_and_grad(sigmax.kl_divergence)(x, labels)
        value, gradient = value + q[k] * v, gradient + q[k] * g
    np.testing.assert_allclose(value, sigmax.kl_divergence(x, q[None]), rtol=1e-12)
    np.testing.assert_allclose(gradient, softmax(x) - q, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_types_and_axis(dtype):
    x, z = rows().astype(dtype), rows(seed=1)
    labels = SparseLabels.from_logits(z, 2)
    value, gradient = sigmax.value_and_grad(sigmax.cross_entropy)(x, labels)
    assert value.dtype == gradient.dtype == dtype
    wide = sigmax.cross_entropy(x.astype(np.float64), labels)
    assert value == wide.astype(dtype)
    across = sigmax.value_and_grad(sigmax.cross_entropy)(x.T, labels, axis=0)
    np.testing.assert_array_equal(across[1], gradient.T)


def test_padding_and_rows():
    labels = SparseLabels([[2, 0], [1, -1]], np.log([[0.5, 0.3], [0.9, 1.0]]))
    np.testing.assert_allclose(np.exp(labels.tail), [0.2, 0.1])
    np.testing.assert_allclose(labels.dense(3), [[0.3, 0.2, 0.5], [0.05, 0.9, 0.05]])
    x = rows(2, 3)
    each = [sigmax.cross_entropy(x[k : k + 1], labels[k : k + 1]) for k in range(2)]
    np.testing.assert_allclose(sigmax.cross_entropy(x, labels, reduction="none"), each, rtol=1e-14)
    assert len(labels) == 2


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("sampled", [False, True])
def test_files(tmp_path, suffix, sampled):
    index, log_q = [[2, 0], [1, -1]], np.log([[0.5, 0.25], [0.75, 1.0]])
    weights = [[0.75, 0.25], [1.0, 0.0]] if sampled else None
    labels = SparseLabels(index, log_q, weights=weights, temperature=3.0)
    path = tmp_path / f"teacher{suffix}"
    assert sigmax.write_soft_labels(path, [labels[:1], labels[1:]], 5) == 2
    read, classes = sigmax.read_soft_labels(path)
    assert (classes, read.temperature) == (5, 3.0)
    np.testing.assert_array_equal(read.indices, labels.indices)
    np.testing.assert_allclose(read.log_probabilities, labels.log_probabilities, rtol=1e-7)
    np.testing.assert_allclose(read.tail, labels.tail, rtol=1e-7)
    if sampled:
        np.testing.assert_array_equal(read.weights, labels.weights)
    else:
        assert read.weights is None


def test_file_is_readable_by_others(tmp_path):
    import pyarrow.parquet as pq

    labels = SparseLabels.from_logits(rows(), 2, temperature=4.0)
    sigmax.write_soft_labels(tmp_path / "t.parquet", labels, 7)
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.column_names == ["indices", "log_probabilities", "tail"]
    about = json.loads(table.schema.metadata[b"sigmax"])
    assert about == {"schema": "sigmax soft labels 1", "num_classes": 7, "temperature": 4.0}


# ---------------------------------------------------------------- layouts of others


def packed(numbers, bits: int) -> np.ndarray:
    """Numbers of so many bits each, the highest first, as bytes: spelled out in text."""
    lines = ["".join(f"{n:0{bits}b}" for n in row) for row in numbers]
    lines = [line + "0" * (-len(line) % 8) for line in lines]
    return np.array(
        [[int(line[k : k + 8], 2) for k in range(0, len(line), 8)] for line in lines], np.uint8
    )


def test_megatron():
    """Indices of 17 bits, in 16 and 1; what top-p leaves out has index -1 and value -1e4."""
    log_q = np.log(np.array([[0.5, 0.25], [0.75, 1.0]])).astype(np.float16)
    log_q[1, 1] = -1e4
    index = np.array([[70_000, 3], [131_071, -1]])
    labels = SparseLabels.from_megatron(
        log_q, (index & 0xFFFF).astype(np.uint16), (index >> 16) & 1
    )
    np.testing.assert_array_equal(labels.indices, index)
    np.testing.assert_allclose(np.exp(labels.tail), [0.25, 0.25], rtol=2e-3)


def test_distillkit_exact():
    log_q = np.log(np.array([[0.5, 0.25, 0.125], [0.6, 0.2, 0.1]]))
    index = np.array([[9, 4, 0], [1, 2, 3]])
    for kind in ("float16", "float32"):
        config = {"d": 10, "k": 3, "exact_k": 3, "exact_dtype": kind, "residual_bins": []}
        data = log_q.astype(kind).view(np.uint8)
        labels = SparseLabels.from_distillkit(data, packed(index, 4), config)
        np.testing.assert_array_equal(labels.indices, index)
        np.testing.assert_array_equal(labels.log_probabilities, log_q.astype(kind))
    bits = (log_q.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    config["exact_dtype"] = "bfloat16"
    labels = SparseLabels.from_distillkit(bits.view(np.uint8), packed(index, 4), config)
    np.testing.assert_allclose(labels.log_probabilities, log_q, rtol=2**-7)


def test_distillkit_polynomial_and_residuals():
    """One exact value, 1 + t and the square root of t with coefficients, and residuals of 4 bits and of 1."""
    config = {
        "d": 1000,
        "k": 5,
        "exact_k": 1,
        "exact_dtype": "float32",
        "polynomial_terms": [0, 1, "sqrt"],
        "term_dtype": "float32",
        "normalize_t": False,
        "residual_bins": [
            {"num_elements": 2, "element_bits": 4, "scale_dtype": "float16"},
            {"num_elements": 1, "element_bits": 1, "scale_dtype": "float32"},
        ],
    }
    parts = [
        np.float32([-0.25]),
        np.float32([-3.0, -0.5, 0.25]),
        np.float16([0.125]),
        packed([[8 + 3, 8 - 2]], 4)[0],
        np.float32([0.5]),
        packed([[0]], 1)[0],
    ]
    data = np.concatenate([part.view(np.uint8) for part in parts])[None]
    t = np.arange(4.0)
    rest = -3.0 - 0.5 * t + 0.25 * np.sqrt(t) + [0.375, -0.25, -0.5, 0.0]
    index = np.array([[999, 5, 4, 3, 2]])
    labels = SparseLabels.from_distillkit(data, packed(index, 10), config)
    np.testing.assert_array_equal(labels.indices, index)
    np.testing.assert_allclose(labels.log_probabilities[0], [-0.25, *rest])
    deltas = {**config, "delta_encoding": True}
    log_q = SparseLabels.from_distillkit(data, packed(index, 10), deltas).log_probabilities
    np.testing.assert_allclose(log_q[0], np.cumsum([-0.25, *rest]))
    with pytest.raises(ValueError, match="compressed_logprobs must have"):
        SparseLabels.from_distillkit(data[:, :8], packed(index, 10), config)
    with pytest.raises(ValueError, match="5 numbers of 10 bits need 7 bytes, got 3"):
        SparseLabels.from_distillkit(data, packed(index, 10)[:, :3], config)


def test_errors(tmp_path):
    half = np.log([[0.5, 0.25]])
    labels = SparseLabels([[0, 1]], half, temperature=2.0)
    x = rows(1, 3)
    for arguments, message in (
        (([[0, 0]], half), "indices must be different in a row, not so in the row at index"),
        (([[0, -2]], half), "indices must be at least 0"),
        (([[0, 1]], [[0.5, 0.1]]), "log_probabilities must be at most 0"),
        (([[0, 1]], half, [-0.1]), "probabilities and tail must sum to 1"),
        (([[0, 1, 2]], half), "must have one shape"),
        (([[0, 1]], half, None, [[0.5, 0.1]]), "weights must sum to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            SparseLabels(*arguments)
    with pytest.raises(TypeError, match="indices must be integers"):
        SparseLabels([[0.0, 1.0]], half)
    with pytest.raises(ValueError, match=r"temperature must be that of the labels, 2\.0, got 1\.0"):
        sigmax.kl_divergence(x, labels)
    for option in (
        {"class_weight": [1.0, 2.0, 3.0]},
        {"label_smoothing": 0.1},
        {"ignore_index": 1},
    ):
        with pytest.raises(ValueError, match="is not for sparse labels"):
            sigmax.cross_entropy(x, labels, temperature=2.0, **option)
    with pytest.raises(ValueError, match=r"indices must be in \[0, 1\)"):
        sigmax.cross_entropy(x[:, :1], labels, temperature=2.0)
    with pytest.raises(ValueError, match="labels must have the rows"):
        sigmax.cross_entropy(rows(2, 3), labels, temperature=2.0)
    with pytest.raises(ValueError, match="sparse labels need logits"):
        sigmax.cross_entropy(x, labels, temperature=2.0, from_logits=False)
    with pytest.raises(ValueError, match="labels are needed for alpha < 1"):
        sigmax.distillation_loss(x, labels, alpha=0.5, temperature=2.0)
    with pytest.raises(ValueError, match=r"must be \.parquet or \.arrow"):
        sigmax.write_soft_labels(tmp_path / "t.npy", labels, 3)
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="has no soft labels"):
        sigmax.read_soft_labels(tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="cannot be read"):
        sigmax.read_soft_labels(tmp_path / "broken.parquet")


def test_soften(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from sigmax.cli.commands import app
    from sigmax.files import blocks

    monkeypatch.setattr(blocks, "_BLOCK", 20)
    z = rows(50)
    np.save(tmp_path / "z.npy", z)
    out = tmp_path / "teacher.parquet"
    command = ["soften", str(tmp_path / "z.npy"), "-o", str(out), "--temperature", "4", "--top-k"]
    result = CliRunner().invoke(app, [*command, "3"])
    assert result.exit_code == 0, result.stderr
    assert "50 rows of 3 of 7 classes, T = 4" in result.stdout
    labels, classes = sigmax.read_soft_labels(out)
    expected = SparseLabels.from_logits(z, 3, temperature=4.0)
    assert classes == 7
    np.testing.assert_array_equal(labels.indices, expected.indices)
    np.testing.assert_allclose(labels.tail, expected.tail, rtol=1e-6)
    assert CliRunner().invoke(app, [*command, "8"]).exit_code == 1
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_soften_reads_as_the_other_commands_do(tmp_path):
    from typer.testing import CliRunner

    from sigmax.cli.commands import app

    z, out = rows(50), tmp_path / "teacher.arrow"

    def softened(name: str, *options: str) -> str:
        return CliRunner().invoke(app, ["soften", str(tmp_path / name), "-o", str(out), *options])

    def check(result) -> None:
        assert result.exit_code == 0, result.stderr
        labels, _ = sigmax.read_soft_labels(out)
        dense = sigmax.softmax(z)
        np.testing.assert_allclose(labels.dense(7), dense, rtol=1e-6)

    table = "\n".join(f"{k},{','.join(map(repr, row.tolist()))}" for k, row in enumerate(z))
    (tmp_path / "z.csv").write_text("row,a,b,c,d,e,f,g\n" + table)
    assert "--drop" in softened("z.csv").stderr  # a column that counts the rows is no class
    check(softened("z.csv", "--drop", "row"))
    (tmp_path / "z.csv").write_text(table)
    check(softened("z.csv", "--no-header", "--drop", "0"))
    np.save(tmp_path / "z.npy", z.T)
    check(softened("z.npy", "--axis", "0"))
    np.save(tmp_path / "p.npy", sigmax.softmax(z))
    assert "--probabilities" in softened("p.npy").stderr
    check(softened("p.npy", "--probabilities"))
    np.save(tmp_path / "p.npy", 100 * sigmax.softmax(z))
    check(softened("p.npy", "--probabilities", "--normalize"))
    z[3, 2] = np.nan
    np.save(tmp_path / "z.npy", z)
    assert "row 3, class 2: logits must be numbers" in softened("z.npy").stderr


@pytest.mark.slow
def test_example(tmp_path, capfd):
    spec = importlib.util.spec_from_file_location("distil_digits", EXAMPLES / "distil_digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    results = module.main(tmp_path)
    assert results["accuracy of the teacher"] > 0.95
    assert results["accuracy of the student"] > 0.94
    assert {"teacher.html", "student.html"} <= {path.name for path in tmp_path.iterdir()}
    assert "800 rows of 3 of 10 classes" in capfd.readouterr().out
