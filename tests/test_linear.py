"""A linear layer: against the products and functions written out, in chunks, and from files."""

import sys
import tracemalloc

import numpy as np
import pytest
from safetensors_format import write_safetensors

import sigmax
from sigmax import LinearHead, linear


def layer(rows=7, size=5, classes=6, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (rows, size), (classes, size), (classes,)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)


def definitions(features, weight, bias, temperature):
    """Probabilities and their logarithms, as the textbook has them, in long double."""
    f, w, b = (a.astype(np.longdouble) for a in (features, weight, bias))
    z = (f @ w.T + b) / np.reshape(np.asarray(temperature, np.longdouble), (-1, 1))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p, np.log(p)


@pytest.fixture(params=[False, True], ids=["whole", "chunks"])
def chunked(request, monkeypatch):
    if request.param:
        chunks = sys.modules["sigmax.linear_cross_entropy"]  # the function has its name
        monkeypatch.setattr(chunks, "_SCRATCH", 1)
        monkeypatch.setattr(chunks, "_FEWEST_ROWS", 2)


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize(
    "temperature", [1.0, 2.5, [0.5, 1, 2, 3, 4, 5, 6]], ids=["1", "2.5", "rows"]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_definitions(dtype, temperature):
    features, weight, bias = layer(dtype=dtype)
    labels = np.arange(7) % 6
    options = {"bias": bias, "temperature": temperature}
    tolerance = {"rtol": 8 * np.finfo(dtype).eps}
    p, log_p = definitions(features, weight, bias, temperature)
    result = sigmax.linear_softmax(features, weight, **options)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, p, **tolerance)
    ours = sigmax.linear_log_softmax(features, weight, labels, **options)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, log_p[np.arange(7), labels], **tolerance)
    order = np.argsort(-log_p, axis=1)
    for k in (1, 3, 6):
        top = sigmax.linear_top_k(features, weight, k, **options)
        np.testing.assert_array_equal(top.indices, order[:, :k])
        best = np.take_along_axis(log_p, order[:, :k], axis=1)
        np.testing.assert_allclose(top.log_probabilities, best, **tolerance)
        with np.errstate(divide="ignore"):
            tail = np.log(np.take_along_axis(p, order[:, k:], axis=1).sum(axis=1))
        np.testing.assert_allclose(top.tail, tail, **tolerance)
        assert top.tail.dtype == dtype


def test_shapes():
    features, weight, _ = layer(6)
    cube = features.reshape(2, 3, 5)
    assert sigmax.linear_softmax(cube, weight).shape == (2, 3, 6)
    assert sigmax.linear_softmax(features[0], weight).shape == (6,)
    assert sigmax.linear_log_softmax(features[0], weight, 2).shape == ()
    several = sigmax.linear_log_softmax(cube, weight, np.zeros((2, 3, 4), int))
    assert several.shape == (2, 3, 4)
    top = sigmax.linear_top_k(cube, weight, 2)
    assert (top.indices.shape, top.log_probabilities.shape, top.tail.shape) == (
        (2, 3, 2),
        (2, 3, 2),
        (2, 3),
    )
    none = sigmax.linear_top_k(features[:0], weight, 2)
    assert none.indices.shape == (0, 2)
    assert sigmax.linear_softmax(features[:0], weight).shape == (0, 6)


def test_ties_and_nan():
    eye = np.eye(4)
    top = sigmax.linear_top_k([[1.0, 1, 0, 1], [0, 0, 0, 0], [np.nan, 0, 0, 0]], eye, 2)
    assert top.indices[:2].tolist() == [[0, 1], [0, 1]]
    assert np.isnan(top.log_probabilities[2]).all()
    assert np.isnan(top.tail[2])
    log_p = np.array([[-np.inf, 0.0, -np.inf]])
    assert linear.top_k(log_p, 2).indices.tolist() == [[1, 0]]
    assert linear.top_k(log_p, 1).tail.tolist() == [-np.inf]


def test_out():
    features, weight, _ = layer()
    out = np.empty((7, 6), np.float32)
    assert sigmax.linear_softmax(features, weight, out=out) is out
    np.testing.assert_array_equal(out, sigmax.linear_softmax(features, weight).astype(np.float32))
    strided = np.empty((6, 7)).T
    sigmax.linear_softmax(features, weight, out=strided)
    np.testing.assert_array_equal(strided, sigmax.linear_softmax(features, weight))
    with pytest.raises(ValueError, match=r"out must have the shape \(7, 6\), got shape"):
        sigmax.linear_softmax(features, weight, out=np.empty((6, 7)))


def test_memory_is_bounded():
    """40 MiB of features and 400 MiB of logits, in the scratch alone."""
    features = np.zeros((100_000, 100), np.float32)
    weight = np.zeros((1000, 100), np.float32)
    tracemalloc.start()
    sigmax.linear_log_softmax(features, weight, np.zeros(100_000, int))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 << 20


def test_errors():
    features, weight, bias = layer()
    with pytest.raises(ValueError, match=r"k must be in \[1, 6\], got 7"):
        sigmax.linear_top_k(features, weight, 7)
    with pytest.raises(TypeError, match="k must be an integer"):
        sigmax.linear_top_k(features, weight, 1.0)
    with pytest.raises(ValueError, match=r"weight must have the shape \(C, 5\)"):
        sigmax.linear_softmax(features, weight.T)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 6\), got 6 at index \(2,\)"):
        sigmax.linear_log_softmax(features, weight, [0, 1, 6, 0, 0, 0, 0])
    with pytest.raises(TypeError, match="labels must be integers"):
        sigmax.linear_log_softmax(features, weight, np.zeros(7))
    with pytest.raises(ValueError, match="labels must have the shape"):
        sigmax.linear_log_softmax(features, weight, [0, 1])
    with pytest.raises(ValueError, match=r"temperature must be in"):
        sigmax.linear_softmax(features, weight, bias=bias, temperature=0.0)
    with pytest.raises(ValueError, match=r"temperature must broadcast to the shape \(7,\)"):
        sigmax.linear_softmax(features, weight, temperature=[1.0, 2.0])


# ---------------------------------------------------------------- heads


def test_head(tmp_path):
    features, weight, bias = layer()
    np.savez(tmp_path / "head.npz", w=weight, b=bias)
    head = LinearHead.load(tmp_path / "head.npz", temperature=2.0)
    options = {"bias": bias, "temperature": 2.0}
    np.testing.assert_array_equal(
        head.softmax(features), sigmax.linear_softmax(features, weight, **options)
    )
    labels = np.arange(7) % 6
    np.testing.assert_array_equal(
        head.log_softmax(features, labels),
        sigmax.linear_log_softmax(features, weight, labels, **options),
    )
    assert head.cross_entropy(features, labels) == sigmax.linear_cross_entropy(
        features, weight, labels, **options
    )
    np.testing.assert_array_equal(head.predict(features), (features @ weight.T + bias).argmax(1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors(tmp_path, dtype):
    _, weight, bias = layer(dtype=dtype)
    path = tmp_path / "model.safetensors"
    body = {"body.weight": np.zeros((3, 5), dtype), "body.bias": np.zeros(3, dtype)}
    write_safetensors(path, **body, **{"lm_head.weight": weight, "lm_head.bias": bias})
    with pytest.raises(ValueError, match=r"name the weight, one of body\.weight, lm_head\.weight"):
        LinearHead.load(path)
    head = LinearHead.load(path, weight="lm_head.weight")
    np.testing.assert_array_equal(head.weight, weight)
    np.testing.assert_array_equal(head.bias, bias)
    assert head.weight.dtype == dtype


def test_safetensors_of_bfloat16(tmp_path):
    _, weight, _ = layer(dtype=np.float32)
    bits = (weight.view(np.uint32) >> 16).astype(np.uint16)
    write_safetensors(tmp_path / "head.safetensors", weight=bits)
    head = LinearHead.load(tmp_path / "head.safetensors")
    assert head.bias is None
    np.testing.assert_array_equal(head.weight, (bits.astype(np.uint32) << 16).view(np.float32))


def test_files_that_are_none(tmp_path):
    path = tmp_path / "head.safetensors"
    for content in (
        b"",
        b"\xff" * 64,
        (9).to_bytes(8, "little") + b"{broken }",
        b"\x02" + bytes(7) + b"[]",
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no safetensors file"):
            LinearHead.load(path)
    write_safetensors(path, weight=np.zeros((2, 3), np.int64))
    with pytest.raises(ValueError, match="has the type I64, legal are F64, F32, F16, BF16"):
        LinearHead.load(path)
    truncated = path.read_bytes()[:-8]
    path.write_bytes(truncated)
    with pytest.raises(ValueError, match="its header is broken"):
        LinearHead.load(path)
    with pytest.raises(ValueError, match=r"must be \.npz or \.safetensors"):
        LinearHead.load(tmp_path / "head.pt")
    np.savez(tmp_path / "head.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="there is no matrix"):
        LinearHead.load(tmp_path / "head.npz")
    with pytest.raises(ValueError, match="no array 'w'; it has a"):
        LinearHead.load(tmp_path / "head.npz", weight="w")


# ---------------------------------------------------------------- the command


def command(*arguments) -> str:
    from typer.testing import CliRunner

    from sigmax.cli.commands import app

    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    if result.exit_code:
        raise ValueError(result.stderr)
    return result.stdout


def test_predict(tmp_path, monkeypatch):
    from sigmax.cli import features as module

    monkeypatch.setattr(module, "_BLOCK", 20)
    x, weight, bias = layer(rows=50)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "head.npz", weight=weight, bias=bias)
    files = tmp_path / "x.npy", tmp_path / "head.npz"
    out = tmp_path / "p.npy"
    assert "50 rows of 6 numbers" in command(*files, "-o", out, "--temperature", 2.0)
    expected = sigmax.linear_softmax(x, weight, bias=bias, temperature=2.0)
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-12)
    command(*files, "-o", out, "--top", 2)
    best = sigmax.linear_top_k(x, weight, 2, bias=bias)
    pairs = np.load(out).reshape(50, 2, 2)
    np.testing.assert_array_equal(pairs[..., 0], best.indices)
    np.testing.assert_allclose(pairs[..., 1], np.exp(best.log_probabilities), rtol=1e-12)
    table = tmp_path / "p.csv"
    command(*files, "-o", table, "--classes", "a,b,c,d,e,f")
    assert table.read_text().startswith('"a","b","c","d","e","f"\n')


def test_predict_reads_as_the_other_commands_do(tmp_path):
    x, weight, bias = layer(rows=50)
    np.savez(tmp_path / "head.npz", weight=weight, bias=bias)
    head, out = tmp_path / "head.npz", tmp_path / "p.npy"
    expected = sigmax.linear_softmax(x, weight, bias=bias)

    def predicted(*arguments) -> np.ndarray:
        command(*arguments[:1], head, "-o", out, *arguments[1:])
        return np.load(out)

    table = tmp_path / "x.csv"
    rows = [f"{k},{','.join(map(repr, row.tolist()))}" for k, row in enumerate(x)]
    table.write_text("\n".join(["id,a,b,c,d,e", *rows]))
    np.testing.assert_allclose(predicted(table, "--drop", "id"), expected, rtol=1e-12)
    np.testing.assert_allclose(predicted(table, "--features-key", "[a-e]"), expected, rtol=1e-12)
    table.write_text("\n".join(rows))
    np.testing.assert_allclose(predicted(table, "--no-header", "--drop", "0"), expected, rtol=1e-12)
    np.savez(tmp_path / "x.npz", features=x, other=x[:3])
    np.testing.assert_allclose(predicted(tmp_path / "x.npz"), expected, rtol=1e-12)
    np.save(tmp_path / "x.npy", x.reshape(5, 10, 5).transpose(0, 2, 1))
    deep = predicted(tmp_path / "x.npy", "--axis", "1")
    np.testing.assert_allclose(deep, expected.reshape(5, 10, 6), rtol=1e-12)
    (tmp_path / "names").write_text("\n".join("uvwxyz"))
    page = tmp_path / "p.csv"
    command(table, head, "-o", page, "--no-header", "--drop", "0", "--classes", tmp_path / "names")
    assert page.read_text().startswith('"u","v"')
    with pytest.raises(ValueError, match="--features-key: no column 'z'; it has"):
        predicted(table, "--no-header", "--features-key", "z")
    with pytest.raises(ValueError, match="--drop: no column 'z'"):
        predicted(table, "--no-header", "--drop", "z")


def test_predict_refuses(tmp_path):
    x, weight, _ = layer()
    np.save(tmp_path / "x.npy", x[:, :4])
    np.savez(tmp_path / "head.npz", weight=weight)
    files = tmp_path / "x.npy", tmp_path / "head.npz"
    out = tmp_path / "p.npy"
    with pytest.raises(ValueError, match=r"must have rows of 5 features, as .* has, got 4"):
        command(*files, "-o", out)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match=r"--top must be in \[1, 6\], got 7"):
        command(*files, "-o", out, "--top", 7)
    with pytest.raises(ValueError, match=r"--classes must be 6 different names, .* got 2: a, b"):
        command(*files, "-o", out, "--classes", "a,b")
    assert not out.exists()
