"""sigmax.torch: the bits of the functions of arrays, derivatives, and everything that PyTorch does to an operator."""

import copy
import doctest
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import sigmax

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[conformance]'")

import conformance_cases  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import sigmax.torch as st  # noqa: E402

pytestmark = pytest.mark.conformance

ELEMENTWISE = ("sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp")
ALONG_AXIS = ("softmax", "log_softmax", "logsumexp", "entropy")
LABELS = torch.tensor([0, 2, 3, 1])
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 1]]).bool()
CLASS_WEIGHT = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
ROW_WEIGHT = torch.tensor([1.0, 2.0, 0.0, 0.5], dtype=torch.float64)
TEMPERATURES = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)


def numbers(*shape: int, seed: int = 0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def unit(*shape: int, seed: int = 0):
    return numbers(*shape, seed=seed).sigmoid().clamp(0.1, 0.9)


def inputs_of(name: str):
    if name == "log1mexp":
        return -unit(4, 4)
    return unit(4, 4) if name == "logit" else numbers(4, 4)


def same_bits(ours, expected) -> None:
    assert isinstance(ours, torch.Tensor)
    np.testing.assert_array_equal(ours.detach().numpy(), expected)
    assert ours.detach().numpy().dtype == np.asarray(expected).dtype


def softened(seed: int = 1):
    return numbers(4, 4, seed=seed).softmax(-1)


# ---------------------------------------------------------------- values


def test_every_public_name_is_here():
    assert st.__all__ == sorted(st.__all__)
    for name in (*st.__all__, *sigmax.__all__):
        assert getattr(st, name) is not None
    for function in (st.softmax, st.sigmoid, st.cross_entropy, st.brier_score, st.one_hot):
        assert pickle.loads(pickle.dumps(function)) is function
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        st.nothing  # noqa: B018


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int8])
@pytest.mark.parametrize("name", [*ELEMENTWISE, *ALONG_AXIS, "inverse_softmax"])
def test_bits_are_those_of_arrays(name, dtype):
    x = inputs_of(name if name != "inverse_softmax" else "logit").to(dtype)
    same_bits(getattr(st, name)(x), getattr(sigmax, name)(x.numpy()))
    with torch.no_grad():
        parameter = x.clone().requires_grad_(x.is_floating_point())
        same_bits(getattr(st, name)(parameter), getattr(sigmax, name)(x.numpy()))


AXIS_OPTIONS = [
    {"axis": 0},
    {"axis": (0, 1)},
    {"axis": None, "temperature": 2},
    {"temperature": TEMPERATURES},
    {"temperature": [[1.0], [2.0]]},
    {"temperature": np.float32(3.0), "where": MASK},
]


@pytest.mark.parametrize("options", AXIS_OPTIONS, ids=str)
@pytest.mark.parametrize("name", ALONG_AXIS)
def test_options_along_an_axis(name, options):
    x = numbers(4, 4)
    plain = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    expected = getattr(sigmax, name)(x.numpy(), **plain)
    same_bits(getattr(st, name)(x, **options), expected)
    same_bits(getattr(st, name)(x.requires_grad_(), **options), expected)


def test_results_share_memory_and_take_out():
    x, out = numbers(4, 4), torch.empty(4, 4, dtype=torch.float64)
    for name in ("softmax", "sigmoid"):
        assert getattr(st, name)(x, out=out) is out
        same_bits(out, getattr(sigmax, name)(x.numpy()))
    with pytest.raises(ValueError, match="out is for calls without a gradient"):
        st.softmax(x.requires_grad_(), out=out)
    with pytest.raises(ValueError, match="out must have the shape"):
        st.softmax(x.detach().bfloat16(), out=out)


def test_dtype():
    x = numbers(4, 4, dtype=torch.float16)
    same_bits(st.softmax(x, dtype=torch.float64), sigmax.softmax(x.double().numpy()))
    assert st.softmax(x.double(), dtype=torch.float16).dtype is torch.float16
    assert st.softmax(x.bfloat16(), dtype=torch.float32).dtype is torch.float32


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_bfloat16_is_rounded_once(name):
    """All numbers there are, against float64."""
    x = torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    result = getattr(st, name)(x)
    with np.errstate(all="ignore"):
        exact = torch.from_numpy(getattr(sigmax, name)(x.double().numpy()))
    assert result.dtype is torch.bfloat16
    assert torch.equal(result.isnan(), exact.isnan())
    known = ~exact.isnan()
    assert torch.equal(result[known], exact[known].bfloat16())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision(dtype):
    """The loss is rounded once; a gradient that is small before the scale of the loss keeps its digits."""
    x = numbers(1000, 64, dtype=dtype).requires_grad_()
    labels = torch.arange(1000) % 64
    value = st.cross_entropy(x, labels)
    exact = torch.nn.functional.cross_entropy(x.detach().double().requires_grad_(), labels)
    assert value.dtype is dtype
    assert value == exact.to(dtype)
    (value * 2.0**14).backward()
    wide = x.detach().double().requires_grad_()
    (torch.nn.functional.cross_entropy(wide, labels) * 2.0**14).backward()
    assert x.grad.dtype is dtype
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=2.0**-7, atol=1e-6)


LOSSES = {
    "cross_entropy": lambda x: (x, LABELS),
    "kl_divergence": lambda x: (x, softened()),
    "distillation_loss": lambda x: (x, numbers(4, 4, seed=2), LABELS),
    "binary_cross_entropy": lambda x: (x, unit(4, 4, seed=3)),
    "linear_cross_entropy": lambda x: (x, numbers(4, 4, seed=4), LABELS),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_bits_of_arrays(name, reduction):
    x = numbers(4, 4)
    arguments = LOSSES[name](x)
    options = {"reduction": reduction, "sample_weight": ROW_WEIGHT[:, None]}
    if name != "binary_cross_entropy":
        options |= {"sample_weight": ROW_WEIGHT, "temperature": TEMPERATURES}
    plain = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    expected, gradient = sigmax.value_and_grad(getattr(sigmax, name))(
        *(a.numpy() for a in arguments), **plain
    )
    same_bits(getattr(st, name)(*arguments, **options), expected)
    x.requires_grad_()
    value = getattr(st, name)(*arguments, **options)
    same_bits(value, expected)
    value.sum().backward()
    gradient = gradient[0] if isinstance(gradient, tuple) else gradient
    if reduction == "none" and name == "linear_cross_entropy":
        np.testing.assert_allclose(x.grad, gradient, rtol=1e-12, atol=1e-15)
    else:
        same_bits(x.grad, gradient)
    both = st.value_and_grad(getattr(st, name))(*(a.detach() for a in arguments), **options)
    same_bits(both[0], expected)


def test_functions_without_a_gradient():
    x, labels = numbers(200, 3), torch.arange(200) % 3
    fit = st.fit_temperature(x * 3, labels, label_smoothing=0.1)
    assert fit == sigmax.fit_temperature(x.numpy() * 3, labels.numpy(), label_smoothing=0.1)
    same_bits(st.one_hot(LABELS, 4), sigmax.one_hot(LABELS.numpy(), 4))
    assert st.one_hot(LABELS, 4, dtype=torch.bool).dtype is torch.bool
    q = softened()
    same_bits(st.smooth_labels(q, 0.1), sigmax.smooth_labels(q.numpy(), 0.1))
    assert st.smooth_labels(q.bfloat16().softmax(-1), 0.1).dtype is torch.bfloat16
    same_bits(
        st.vjp(st.softmax, q, q, axis=0), sigmax.vjp(sigmax.softmax, q.numpy(), q.numpy(), axis=0)
    )
    assert st.brier_score(x, labels) == sigmax.brier_score(x.numpy(), labels.numpy())
    with pytest.raises(TypeError, match=r"fn must be a function of sigmax\.torch"):
        st.vjp(torch.exp, x, x)


def test_results_of_several_parts_are_tensors():
    x = numbers(4, 6)
    kept = st.filter_probabilities(x, top_k=2)
    expected = sigmax.filter_probabilities(x.numpy(), top_k=2)
    same_bits(kept.probabilities, expected.probabilities)
    same_bits(kept.log_mass, expected.log_mass)
    top = st.linear_top_k(x, numbers(5, 6, seed=1), 2)
    assert isinstance(top, sigmax.TopK)
    best = sigmax.linear_top_k(x.numpy(), numbers(5, 6, seed=1).numpy(), 2)
    same_bits(top.indices, best.indices)
    same_bits(top.tail, best.tail)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.uint16, torch.float32]
)
def test_memory_is_shared(dtype):
    """Tensors of any strides and offset become arrays of their memory, and arrays tensors."""
    from sigmax import _core

    whole = torch.arange(24).reshape(4, 6).to(dtype)
    for x in (
        whole,
        whole.T,
        whole[1:, ::2],
        whole[0, 0],
        whole[:, :0],
        torch.nn.Parameter(whole, False),
    ):
        (array, word) = _core.arrays_of_tensors((x, "word"))
        assert word == "word"
        np.testing.assert_array_equal(array, x.detach().numpy(), strict=True)
        assert array.ctypes.data == x.data_ptr() or not array.size
        back = _core.tensor_of_array(array)
        assert back.dtype is dtype
        assert back.stride() == x.stride() or not array.size
        assert torch.equal(back, x)
    backwards = np.arange(3.0)[::-1]
    assert _core.tensor_of_array(backwards) is None
    assert _core.tensor_of_array(np.arange(3).astype(">i4")) is None
    with pytest.raises(TypeError, match="values must be a tuple"):
        _core.arrays_of_tensors([whole])


def test_memory_outlives_its_maker():
    import gc

    results = [st.softmax(numbers(1000, 10, seed=k)) for k in range(20)]
    gc.collect()
    for k, result in enumerate(results):
        same_bits(result, sigmax.softmax(numbers(1000, 10, seed=k).numpy()))


def test_tensors_that_are_no_arrays_take_the_long_way():
    x = numbers(4, 4)
    negative = torch._neg_view(x)  # its memory holds -x
    assert negative.is_neg()
    same_bits(st.softmax(negative), sigmax.softmax(-x.numpy()))
    same_bits(st.cross_entropy(negative, LABELS), sigmax.cross_entropy(-x.numpy(), LABELS.numpy()))

    class Named(torch.Tensor):
        pass

    same_bits(st.softmax(x.as_subclass(Named)), sigmax.softmax(x.numpy()))
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False):
        same_bits(st.softmax(x), sigmax.softmax(x.numpy()))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["jobs/train-with-pytorch.md", "reference/jax.md"])
def test_the_pages_run(name):
    """Here they are not skipped: this group installs both libraries."""
    if "jax" in name:
        pytest.importorskip("jax")
    page = Path(__file__).parent.parent / "docs" / name
    text = re.sub(r"(?m)^```.*", "", page.read_text())
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, page.name, 0)
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert test.examples
    assert "".join(report) == ""


# ---------------------------------------------------------------- derivatives


def check_derivatives(function, *arguments) -> None:
    arguments = tuple(a.clone().requires_grad_() for a in arguments)
    assert gradcheck(function, arguments)
    assert gradgradcheck(function, arguments)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_derivatives_of_one_number(name):
    check_derivatives(getattr(st, name), inputs_of(name)[:1])


@pytest.mark.parametrize(
    "options", [{}, *AXIS_OPTIONS], ids=[str(k) for k in range(len(AXIS_OPTIONS) + 1)]
)
@pytest.mark.parametrize("name", ALONG_AXIS)
def test_derivatives_along_an_axis(name, options):
    def finite(x):
        y = getattr(st, name)(x, **options)
        return torch.where(y == -torch.inf, 0.0, y)

    check_derivatives(finite, numbers(4, 4) if "temperature" in options else numbers(2, 4))


def test_derivatives_of_other_functions_along_an_axis():
    p = softened()[:2]
    check_derivatives(st.inverse_softmax, p)
    check_derivatives(lambda p: st.inverse_softmax(p, where=MASK[1:3])[MASK[1:3]], p)
    check_derivatives(lambda p: st.entropy(p, from_logits=False), p)
    x, weights = numbers(2, 4), unit(2, 4)
    check_derivatives(lambda x: st.logsumexp(x, weights=weights, temperature=2.0), x)
    check_derivatives(lambda x: st.logsumexp(x, axis=0, keepdims=True), x)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": TEMPERATURES, "class_weight": CLASS_WEIGHT, "label_smoothing": 0.1},
        {"sample_weight": ROW_WEIGHT, "ignore_index": 1, "z_loss": 0.1, "temperature": 2.0},
        {"where": MASK, "label_smoothing": 0.2},
    ],
    ids=["plain", "weighted", "z-loss", "masked"],
)
@pytest.mark.parametrize("labels", [LABELS, softened()], ids=["hard", "soft"])
def test_derivatives_of_cross_entropy(labels, options, reduction):
    if "where" in options and labels.ndim == 2:
        labels = torch.where(MASK, labels, 0.0)
        labels = labels / labels.sum(-1, keepdim=True)
    if "ignore_index" in options:
        labels = labels.clone()
        labels[1] = 1 if labels.ndim == 1 else torch.eye(4)[1]
    check_derivatives(
        lambda x: st.cross_entropy(x, labels, reduction=reduction, **options), numbers(4, 4)
    )


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_derivatives_of_the_other_losses(reduction):
    x, q, t = numbers(4, 4), softened(), numbers(4, 4, seed=5)
    u = unit(4, 4)
    options = {"reduction": reduction, "sample_weight": ROW_WEIGHT}
    of_p = options | {"from_logits": False}  # by logits: a step of gradcheck leaves the simplex
    check_derivatives(lambda x: st.cross_entropy(x.softmax(-1), q, **of_p), x)
    check_derivatives(lambda x: st.kl_divergence(x.softmax(-1), q, **of_p), x)
    check_derivatives(lambda x: st.kl_divergence(x, q, temperature=2.0, **options), x)
    check_derivatives(
        lambda x: st.kl_divergence(x, t, labels_from_logits=True, where=MASK, **options), x
    )
    for labels in (None, LABELS, q):
        mixed = {"alpha": 1.0 if labels is None else 0.3, "temperature": TEMPERATURES} | options
        mixed |= {} if labels is None else {"ignore_index": 2, "label_smoothing": 0.1}
        check_derivatives(lambda x, y=labels, o=mixed: st.distillation_loss(x, t, y, **o), x)
    for from_logits, given in ((True, x), (False, u)):
        binary = {"pos_weight": CLASS_WEIGHT, "where": MASK, "label_smoothing": 0.1}
        binary |= {"reduction": reduction, "from_logits": from_logits}
        check_derivatives(lambda x, o=binary: st.binary_cross_entropy(x, u, **o), given)
    layer = numbers(4, 2), numbers(4, 2, seed=7), numbers(4, seed=8)
    for more in ({}, {"z_loss": 0.1, "class_weight": CLASS_WEIGHT, "temperature": 2.0}):
        check_derivatives(
            lambda f, w, b, o=more: st.linear_cross_entropy(f, w, LABELS, bias=b, **options, **o),
            *layer,
        )


def test_first_derivative_is_exact():
    """Where PyTorch's is 0: the winner's is the sum of the others, never p - 1."""
    x = torch.tensor([[40.0, 0.0]], dtype=torch.float64, requires_grad=True)
    for graph in (False, True):
        (gradient,) = torch.autograd.grad(
            st.cross_entropy(x, torch.tensor([0])), x, create_graph=graph
        )
        assert gradient.tolist() == [[-4.248354255291589e-18, 4.248354255291589e-18]]
        (gradient,) = torch.autograd.grad(st.log_softmax(x)[0, 0], x, create_graph=graph)
        assert gradient.tolist() == [[4.248354255291589e-18, -4.248354255291589e-18]]


# ---------------------------------------------------------------- what PyTorch does to an operator


def operators() -> list:
    x, c, row = numbers(3, 4), numbers(3, 4, seed=1), numbers(3, seed=2)
    along = ([-1], 2.0, None, None)
    labels = (LABELS[:3], -1, True, 1.0, None, CLASS_WEIGHT, None, 0.1, None, None, None, 0.0)
    layer = (numbers(5, 4), None, LABELS[:3], 1.0, None, None, None, 0.0, None, None, None, 0.0)
    cases = [(name, inputs_of(name)) for name in ELEMENTWISE]
    cases += [(f"{name}_vjp", inputs_of(name)[:3], c) for name in ELEMENTWISE]
    cases += [(name, x, *along) for name in ("softmax", "log_softmax")]
    cases += [(f"{name}_vjp", x, c, *along) for name in ("softmax", "log_softmax")]
    cases += [
        ("logsumexp", x, [-2, -1], 1.0, None, None, c.exp(), True),
        ("logsumexp_vjp", x, row, [-1], 1.0, row.exp(), MASK[:3], None, False),
        ("entropy", x, [-2], 1.0, None, None, True, False),
        ("entropy_vjp", x, row, [-1], 1.0, None, None, True, False),
        ("inverse_softmax", x.softmax(-1), [-1], None),
        ("inverse_softmax_vjp", x.softmax(-1), c, [-1], None),
        ("cross_entropy_gradient", x, *labels, "mean", None),
        ("cross_entropy_gradient", x.bfloat16(), *labels, "none", None),
        ("kl_divergence_gradient", x, c, -1, True, True, 2.0, None, None, None, "sum", None),
        (
            "distillation_loss_gradient",
            *(x, c, None, -1, 2.0, None, 1.0),
            *(None, None, 0.0, None, None, None, 0.0, "mean", None),
        ),
        ("binary_cross_entropy_gradient", x, unit(3, 4), True, None, None, 0.0, None, "mean", None),
        ("linear_cross_entropy", x, *layer, "none", None),
        ("linear_cross_entropy_gradient", x, *layer, "mean", None),
    ]
    return [pytest.param(*case[:1], case[1:], id=f"{k}-{case[0]}") for k, case in enumerate(cases)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "arguments"), operators())
def test_operator_check(name, arguments):
    x, *others = arguments
    operator = getattr(torch.ops.sigmax, name).default
    for needed in (False, True):
        torch.library.opcheck(operator, (x.clone().requires_grad_(needed), *others))


LAYER = numbers(4, 4, seed=1, dtype=torch.float32)


def everything(x):
    layer = LAYER
    half = x.detach()
    return [
        st.softmax(x, temperature=2.0),
        st.log_softmax(x, 0, where=MASK),
        st.logsumexp(x, (0, 1)),
        st.entropy(x, temperature=[1.0, 2.0, 3.0, 4.0]),
        st.softmax(x.T, temperature=TEMPERATURES[:, None, None]),
        st.sigmoid(x),
        st.cross_entropy(x, LABELS, class_weight=CLASS_WEIGHT, label_smoothing=0.1),
        st.kl_divergence(x, st.softmax(layer), reduction="none"),
        st.distillation_loss(x, layer, LABELS, alpha=0.5, temperature=TEMPERATURES),
        st.binary_cross_entropy(x, layer.sigmoid(), reduction="sum"),
        st.linear_cross_entropy(x, layer, LABELS),
        st.softmax(half.bfloat16()),
        st.cross_entropy(half.half(), LABELS),
        st.softmax(half, dtype=torch.float64),
    ]


@pytest.mark.filterwarnings("ignore")
def test_compiled_bits_are_those_of_eager():
    def loss(x):
        parts = everything(x)
        return sum((k + 1) * part.float().sum() for k, part in enumerate(parts)), parts

    x = numbers(4, 4, dtype=torch.float32)
    results = []
    for function in (loss, torch.compile(loss, fullgraph=True)):
        leaf = x.clone().requires_grad_()
        value, parts = function(leaf)
        value.backward()
        results.append((parts, leaf.grad))
    for ours, expected in zip(*(parts for parts, _ in results), strict=True):
        assert ours.dtype is expected.dtype
        assert torch.equal(ours, expected)
    # Gradients of several losses are added up, in an order that is the compiler's.
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-6, atol=1e-5)
    for one in (lambda x: st.cross_entropy(x, LABELS), lambda x: st.softmax(x)[:, 0].sum()):
        gradients = []
        for function in (one, torch.compile(one, fullgraph=True, backend="aot_eager")):
            leaf = x.clone().requires_grad_()
            function(leaf).backward()
            gradients.append(leaf.grad)
        assert torch.equal(*gradients)


def test_transforms():
    func, x = torch.func, numbers(3, 4, 4)
    for name in ALONG_AXIS:
        one = getattr(st, name)
        assert torch.equal(func.vmap(one)(x), one(x))
        assert torch.equal(func.vmap(lambda v, f=one: f(v, 0))(x), one(x, 1))
        assert torch.equal(func.vmap(lambda v, f=one: f(v), in_dims=1)(x), one(x.movedim(1, 0)))
    each = func.vmap(lambda v, t: st.softmax(v, temperature=t))(x[0], TEMPERATURES)
    assert torch.equal(each, st.softmax(x[0], temperature=TEMPERATURES))
    assert torch.equal(func.vmap(st.sigmoid)(x), st.sigmoid(x))
    rows = func.vmap(st.cross_entropy)(x[0], LABELS)
    assert torch.equal(rows, st.cross_entropy(x[0], LABELS, reduction="none"))
    slopes = func.vmap(func.grad(st.cross_entropy))(x[0], LABELS)
    _, expected = sigmax.value_and_grad(sigmax.cross_entropy)(
        x[0].numpy(), LABELS.numpy(), reduction="sum"
    )
    same_bits(slopes, expected)

    def hessian(loss):
        return func.jacrev(func.jacrev(lambda r: loss(r, LABELS[0])))(x[0, 0])

    theirs = hessian(torch.nn.functional.cross_entropy)
    torch.testing.assert_close(hessian(st.cross_entropy), theirs, rtol=1e-12, atol=1e-15)
    jacobian = func.jacrev(st.softmax)(x[0, 0])
    torch.testing.assert_close(jacobian, func.jacrev(lambda v: v.softmax(-1))(x[0, 0]))


class Model(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.layer, self.loss = torch.nn.Linear(4, 4), loss

    def forward(self, x, y):
        return self.loss(self.layer(x), y)


@pytest.mark.filterwarnings("ignore")
def test_export():
    model, x = Model(st.CrossEntropyLoss()), numbers(4, 4, dtype=torch.float32)
    rows = torch.export.Dim("rows")
    shapes = {"x": {0: rows}, "y": {0: rows}}
    program = torch.export.export(model, (x, LABELS), dynamic_shapes=shapes)
    assert any("sigmax" in str(node.target) for node in program.graph.nodes)
    for part in (slice(None), slice(3)):
        assert torch.equal(program.module()(x[part], LABELS[part]), model(x[part], LABELS[part]))
    meta = st.softmax(torch.empty(2, 3, device="meta"))
    assert meta.is_meta
    assert meta.shape == (2, 3)


# ---------------------------------------------------------------- modules


def module_cases():
    from torch.testing._internal import common_modules

    for module in ("CrossEntropyLoss", "BCEWithLogitsLoss"):
        make = getattr(common_modules, f"module_inputs_torch_nn_{module}")
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            torch.manual_seed(0)
            for number, one in enumerate(make(None, "cpu", dtype, False, True)):
                options, arguments = one.constructor_input.kwargs, one.forward_input.args
                yield module, f"{module}-{dtype}-{number}-{one.desc}", options, arguments


@pytest.mark.parametrize("module", ["CrossEntropyLoss", "BCEWithLogitsLoss"])
def test_modules_are_those_of_torch(module):
    """PyTorch's own cases, but those that docs/results/conformance.json names."""
    count = 0
    for of_module, id, options, arguments in module_cases():  # noqa: A001
        name = conformance_cases.MODULES[of_module]
        case = conformance_cases.torch_case(of_module, id, name, arguments, options)
        if of_module != module or conformance_cases.deviation(case) is not None:
            continue
        theirs = getattr(torch.nn, module)(**options)
        ours = getattr(st, module)(**options)
        assert repr(ours) == repr(theirs)
        results = []
        wide = theirs.double()
        for loss, x in ((ours, arguments[0]), (wide, arguments[0].double())):
            x = x.detach().clone().requires_grad_()
            target = arguments[1]
            if loss is wide and target.is_floating_point():
                target = target.double()
            value = loss(x, target)
            value.sum().backward()
            results += [value.detach().double(), x.grad.double()]
        tolerance = (
            {"rtol": 2.0**-7, "atol": 2.0**-9} if "bfloat" in id else {"rtol": 2e-6, "atol": 1e-7}
        )
        torch.testing.assert_close(results[0], results[2], **tolerance)
        torch.testing.assert_close(results[1], results[3], **tolerance)
        count += 1
    assert count > 15


@pytest.mark.parametrize("shape", [(), (4,)], ids=["one", "rows"])
@pytest.mark.parametrize("out_features", [(), (2, 3)], ids=["flat", "k-dimensional"])
@pytest.mark.parametrize("soft", [False, True])
def test_linear_module(shape, out_features, soft):
    if out_features and not shape:
        return
    options = {"bias": True, "label_smoothing": 0.1, "weight": CLASS_WEIGHT[:3]}
    options |= {"out_features": out_features, "dtype": torch.float64}
    theirs = torch.nn.LinearCrossEntropyLoss(5, 3, **options)
    ours = st.LinearCrossEntropyLoss(5, 3, **options)
    ours.load_state_dict(theirs.state_dict())
    x = numbers(*shape, 5)
    target = torch.full((*shape, *out_features), 1)
    if soft:
        target = numbers(*shape, 3, *out_features).softmax(len(shape))
    results = []
    for loss in (ours, theirs):
        leaf = x.clone().requires_grad_()
        value = loss(leaf, target)
        value.backward()
        results.append((value, leaf.grad, loss.linear.weight.grad, loss.linear.bias.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_distillation_module():
    x, t = numbers(4, 3, 5), numbers(4, 3, 5, seed=1)
    labels = torch.randint(0, 3, (4, 5))
    loss = st.DistillationLoss(2.0, 0.5, weight=CLASS_WEIGHT[:3], label_smoothing=0.1)
    expected = sigmax.distillation_loss(
        x.numpy(),
        t.numpy(),
        labels.numpy(),
        1,
        temperature=2.0,
        alpha=0.5,
        class_weight=CLASS_WEIGHT[:3].numpy(),
        label_smoothing=0.1,
    )
    teacher = t.clone().requires_grad_()
    same_bits(loss(x, teacher, labels), expected)
    assert "temperature=2.0" in repr(loss)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin(x, t, labels) == loss(x, t, labels)


def test_training_goes_as_with_torch():
    results = []
    for module in (st.CrossEntropyLoss, torch.nn.CrossEntropyLoss):
        torch.manual_seed(0)
        model = Model(module(label_smoothing=0.1)).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(20):
            optimizer.zero_grad()
            model(numbers(4, 4), LABELS).backward()
            optimizer.step()
        results.append(model.layer.weight.detach())
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- errors


def test_errors():
    x = numbers(4, 4)
    with pytest.raises(
        TypeError, match=r"x must be a torch\.Tensor, got list: sigmax\.softmax takes"
    ):
        st.softmax([1.0, 2.0])
    with pytest.raises(TypeError, match="logits must be real numbers, got dtype torch"):
        st.cross_entropy(x.to(torch.complex64), LABELS)
    with pytest.raises(TypeError, match="x must be a dense tensor"):
        st.sigmoid(x.to_sparse())
    with pytest.raises(ValueError, match="class_weight must not require a gradient"):
        st.cross_entropy(x, LABELS, class_weight=CLASS_WEIGHT.clone().requires_grad_())
    with pytest.raises(ValueError, match="temperature must not require a gradient"):
        st.softmax(x, temperature=torch.ones(4, requires_grad=True))
    with pytest.raises(ValueError, match=r"labels must be in \[0, 4\), got 4 at index \(3,\)"):
        st.cross_entropy(x.clone().requires_grad_(), torch.tensor([0, 1, 2, 4]))
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight'"):
        st.cross_entropy(x.clone().requires_grad_(), LABELS, weight=CLASS_WEIGHT)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        st.softmax(x, nothing=1)
    with pytest.raises(IndexError, match=r"axis must be in \[-2, 2\) .*, got 2"):
        st.softmax(x.clone().requires_grad_(), 2)
    with pytest.raises(IndexError, match=r"axis must be in \[-2, 2\), got 2"):
        st.softmax(x, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="a tensor must not require a gradient"):
        st.brier_score(x.clone().requires_grad_(), LABELS)
    with pytest.raises(ValueError, match="does not broadcast against the batch shape"):
        st.softmax(x.clone().requires_grad_(), temperature=TEMPERATURES[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch._subclasses.FakeTensorMode():
            elsewhere = torch.empty(2, 3, device="cuda")
    with pytest.raises(
        ValueError, match=r"x must be on the CPU, got device cuda:0: pass x\.cpu\(\)"
    ):
        st.softmax(elsewhere)


def test_sparse_labels():
    x, z = numbers(4, 6), numbers(4, 6, seed=1)
    labels = sigmax.SparseLabels.from_logits(z.numpy(), 2, temperature=2.0)
    for name in ("kl_divergence", "cross_entropy"):
        value, gradient = sigmax.value_and_grad(getattr(sigmax, name))(
            x.numpy(), labels, temperature=2.0
        )
        leaf = x.clone().requires_grad_()
        loss = getattr(st, name)(leaf, labels, temperature=2.0)
        loss.backward()
        same_bits(loss, value)
        same_bits(leaf.grad, gradient)
        half = x.bfloat16().requires_grad_()
        loss = getattr(st, name)(half, labels, temperature=2.0)
        loss.backward()
        wide = half.detach().float().numpy()
        value, gradient = sigmax.value_and_grad(getattr(sigmax, name))(
            wide, labels, temperature=2.0
        )
        assert torch.equal(loss, torch.tensor(value).bfloat16())
        assert torch.equal(half.grad, torch.from_numpy(gradient).bfloat16())
        once = getattr(st, name)(leaf, labels, temperature=2.0)
        (slope,) = torch.autograd.grad(once, leaf, create_graph=True)
        with pytest.raises(TypeError, match="SparseLabels are not tensors"):
            slope.sum().backward()
        with pytest.raises(TypeError, match="SparseLabels are not tensors"):
            torch.func.grad(getattr(st, name))(x, labels, temperature=2.0)
