"""The test cases that ship with PyTorch and ONNX, as calls of sigmax, and where sigmax differs on purpose.

PyTorch: the module inputs and the operator samples of torch.testing._internal, in four types; the expected value and
gradient are PyTorch's own in float64 at the same point, and the value is compared with the reference function of the
module too. ONNX: the node tests of onnx.backend, with the outputs they come with.
"""

import functools
import importlib
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import sigmax

TYPES = ("float16", "bfloat16", "float32", "float64")
# type: relative tolerance; PyTorch's float64 is itself some ULP off
TOLERANCE = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-22, "float64": 1e-12}
Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Case:
    suite: str
    name: str
    function: str
    arguments: Arrays
    options: dict[str, Any]
    expected: Callable[[], tuple[Any, Any]]  # value, and gradient or None
    tolerance: float = 0.0  # relative and absolute; that of the type if 0

    def __str__(self) -> str:
        return f"{self.suite}-{self.name}"

    def outcome(self) -> str:
        """What came of it: "same"; the name of the error; or what differs: the "value", which may be "zero", the
        "gradient", or the "bits" of the value beside the gradient."""
        function = getattr(sigmax, self.function)
        try:
            value = function(*self.arguments, **self.options)
        except (TypeError, ValueError) as error:
            return "ValueError" if isinstance(error, ValueError) else "TypeError"
        expected, expected_gradient = self.expected()
        if not self.close(value, expected):
            return "value" if np.any(value) else "zero"
        if expected_gradient is None:
            return "same"
        again, gradient = sigmax.value_and_grad(function)(*self.arguments, **self.options)
        if np.asarray(again).tobytes() != np.asarray(value).tobytes():
            return "bits"
        same = all(map(self.close, as_tuple(gradient), as_tuple(expected_gradient)))
        return "same" if same else "gradient"

    def close(self, result: Any, expected: Any) -> bool:
        result, dtype = np.asarray(result), self.arguments[0].dtype
        if result.shape != np.shape(expected) or result.dtype != dtype:
            return False
        with np.errstate(over="ignore"):
            expected = np.asarray(expected).astype(dtype).astype(np.float64)
        largest = np.max(np.abs(expected[np.isfinite(expected)]), initial=0)
        subnormal = 2.0**-24 if dtype == np.float16 else 0
        relative = self.tolerance or TOLERANCE[dtype.name]
        absolute = self.tolerance or max(1e-12 * largest, subnormal)
        if self.function == "linear_cross_entropy":  # terms of both signs cancel in its products
            relative, absolute = 16 * relative, 16 * relative * largest
        result = result.astype(np.float64)
        return np.allclose(result, expected, rtol=relative, atol=absolute, equal_nan=True)


def as_tuple(gradient: Any) -> Arrays:
    """The gradients that there are: without a bias it has none."""
    gradients = gradient if isinstance(gradient, tuple) else (gradient,)
    return tuple(g for g in gradients if g is not None)


# ---------------------------------------------------------------- where sigmax differs


@dataclass(frozen=True)
class Deviation:
    what: str
    applies: Callable[[Case], bool]
    outcome: str
    reason: str


def has_negative_weight(case: Case) -> bool:
    weight = case.options.get("class_weight")
    return weight is not None and bool(np.any(weight < 0))


def has_nothing_to_average(case: Case) -> bool:
    ignored = case.options.get("ignore_index")
    mean = case.options.get("reduction") == "mean"
    return ignored is not None and mean and bool(np.all(case.arguments[-1] == ignored))


def are_distributions(rows: np.ndarray, axis: int) -> np.ndarray:
    tolerance = np.sqrt(TOLERANCE[rows.dtype.name])
    return np.isclose(rows.sum(axis, dtype=np.float64), 1, rtol=0, atol=tolerance)


def has_no_probabilities(case: Case) -> bool:
    if case.function == "binary_cross_entropy" or case.options.get("from_logits", True):
        return False
    (x, labels), axis = case.arguments, case.options["axis"]
    ignored = case.options.get("ignore_index")
    kept = True if ignored is None else labels != ignored
    return not np.all(are_distributions(x, axis) | ~np.asarray(kept))


def has_no_distributions(case: Case) -> bool:
    labels, options = case.arguments[-1], case.options
    if "binary" in case.function or "cross" not in case.function or labels.dtype.kind in "iu":
        return False
    return not np.all(are_distributions(labels, options.get("axis", -1)))


def has_no_class_axis(case: Case) -> bool:
    return case.function == "kl_divergence" and case.arguments[0].ndim == 0


def has_weight_per_position(case: Case) -> bool:
    return case.function == "linear_cross_entropy" and case.arguments[1].ndim > 2


DEVIATIONS = [
    Deviation(
        "class weights below 0",
        has_negative_weight,
        "ValueError",
        "Their sum divides the mean. Sample weights may be negative, `normalizer` given.",
    ),
    Deviation(
        "the mean of a batch whose rows are all ignored",
        has_nothing_to_average,
        "zero",
        "They give NaN, 0/0.",
    ),
    Deviation(
        "KLDivLoss of a scalar",
        has_no_class_axis,
        "ValueError",
        "A divergence is between distributions over classes; there is one term, and no class axis.",
    ),
    Deviation(
        "linear_cross_entropy with a weight of more than two dimensions",
        has_weight_per_position,
        "ValueError",
        "One matrix of classes × features; several of them are several calls.",
    ),
    Deviation(
        "log-probabilities that are not the logarithms of probabilities",
        has_no_probabilities,
        "ValueError",
        "Their data are any numbers, NaN included; probabilities are checked here.",
    ),
    Deviation(
        "labels that do not sum to 1",
        has_no_distributions,
        "ValueError",
        "They are no distributions; a weight of the row is `sample_weight`.",
    ),
]


def deviation(case: Case) -> Deviation | None:
    return next((d for d in DEVIATIONS if d.applies(case)), None)


# ---------------------------------------------------------------- PyTorch


def cross_entropy(x, labels, *, weight=None, ignore_index=None, reduction="mean", **options):
    axis = min(1, x.ndim - 1)
    if x.shape == labels.shape and reduction == "mean":
        options["normalizer"] = x.size // x.shape[axis]  # PyTorch divides by the number of rows
    options |= {"axis": axis, "class_weight": weight, "ignore_index": ignore_index}
    return "cross_entropy", (x, labels), options | {"reduction": reduction}


def nll_loss(p, labels, **options):
    name, arguments, options = cross_entropy(p, labels, **options)
    return name, arguments, options | {"from_logits": False}


def binary_cross_entropy_with_logits(x, labels, *, weight=None, reduction="mean", **options):
    if reduction == "mean":
        options["normalizer"] = x.size  # the weights are not in PyTorch's divisor
    options |= {"sample_weight": weight, "reduction": reduction}
    return "binary_cross_entropy", (x, labels), options


def binary_cross_entropy(p, labels, **options):
    name, arguments, options = binary_cross_entropy_with_logits(p, labels, **options)
    return name, arguments, options | {"from_logits": False}


def kl_div(p, labels, *, log_target=False, reduction="mean"):
    options = {"axis": -1, "from_logits": False, "labels_from_logits": log_target}
    if reduction in ("mean", "batchmean"):
        options["normalizer"] = p.size if reduction == "mean" or not p.ndim else len(p)
        reduction = "mean"
    return "kl_divergence", (p, labels), options | {"reduction": reduction}


def linear_cross_entropy(features, matrix, labels, *, linear_bias=None, **options):
    rows = features if features.ndim == 1 else features[:, :1]
    logits = np.broadcast_to(rows[..., :1], (*features.shape[:-1], len(matrix)))
    _, _, options = cross_entropy(logits, labels, **options)
    del options["axis"]
    return "linear_cross_entropy", (features, matrix, labels), options | {"bias": linear_bias}


OURS = {
    f.__name__: f
    for f in (
        cross_entropy,
        nll_loss,
        binary_cross_entropy,
        binary_cross_entropy_with_logits,
        kl_div,
        linear_cross_entropy,
    )
}
MODULES = {
    "CrossEntropyLoss": "cross_entropy",
    "NLLLoss": "nll_loss",
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "KLDivLoss": "kl_div",
}
OF_LOG_PROBABILITIES = ("nll_loss", "kl_div")  # the argument is log p there, p here


def to_numpy(value: Any) -> Any:
    import ml_dtypes
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.bfloat16:
        return value.float().numpy().astype(ml_dtypes.bfloat16)
    return value.detach().numpy()


def in_float64(value: Any) -> Any:
    import torch

    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.detach().double() if floating else value


def theirs(name: str, arguments: tuple, options: dict[str, Any]) -> tuple[Any, Any]:
    """PyTorch's value and gradient in float64, with respect to p where they take log p."""
    from torch.nn import functional

    arguments = tuple(map(in_float64, arguments))
    options = {key: in_float64(value) for key, value in options.items()}
    if name in OF_LOG_PROBABILITIES:
        p = arguments[0].numpy()
        arguments = (arguments[0].log(), *arguments[1:])
    wanted = [arguments[0].requires_grad_()]
    if name == "linear_cross_entropy":
        wanted.append(arguments[1].requires_grad_())
        if options.get("linear_bias") is not None:
            wanted.append(options["linear_bias"].requires_grad_())
    if options.get("log_target"):  # log-probabilities of half precision do not sum to 1
        arguments = (arguments[0], arguments[1].log_softmax(-1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on reduction="mean" of kl_div
        value = getattr(functional, name)(*arguments, **options)
    if name == "kl_div" and options.get("reduction") == "none":
        value = value.sum(-1)
    value.sum().backward()
    gradient = tuple(x.grad.numpy() for x in wanted)
    if name in OF_LOG_PROBABILITIES:
        with np.errstate(all="ignore"):
            gradient = (np.where(gradient[0] == 0, 0, gradient[0] / p),)
    return value.detach().numpy(), gradient if len(gradient) > 1 else gradient[0]


def torch_case(suite: str, id: str, name: str, arguments: tuple, options: dict) -> Case:  # noqa: A002
    if name in OF_LOG_PROBABILITIES:
        arguments = (arguments[0].exp(), *arguments[1:])
    arrays = map(to_numpy, arguments)
    function, ours, kwargs = OURS[name](*arrays, **{k: to_numpy(v) for k, v in options.items()})
    expected = functools.partial(theirs, name, arguments, options)
    return Case(suite, id, function, ours, kwargs, expected)


def legal(name: str, arguments: tuple, options: dict) -> tuple[tuple, dict]:
    """The same case with class weights positive, and log-probabilities and labels normalised."""
    x, *others, labels = arguments
    axis = min(1, labels.ndim - 1)
    if name in ("cross_entropy", "nll_loss") and (weight := options.get("weight")) is not None:
        options = options | {"weight": weight.abs()}
    if name == "nll_loss":
        x = x.log_softmax(min(1, x.ndim - 1))
    elif labels.is_floating_point():
        labels = labels / labels.sum(axis, keepdim=True)
    return (x, *others, labels), options


def both(suite: str, id: str, name: str, arguments: tuple, options: dict) -> Iterator[Case]:  # noqa: A002
    """The case, and a legal one beside it where its weights, log-probabilities or labels are not."""
    case = torch_case(suite, id, name, arguments, options)
    yield case
    if deviation(case) is not None:
        repaired = torch_case(suite, f"{id}-legal", name, *legal(name, arguments, options))
        if deviation(repaired) is None:
            yield repaired


def with_reference(case: Case, reference: Callable[[], Any]) -> Case:
    """The value by the reference function of the module, in the type of the case."""
    return replace(
        case,
        name=f"{case.name}-reference",
        expected=lambda: (to_numpy(reference()), None),
        tolerance=1e-5,
    )


def module_cases() -> Iterator[Case]:
    import torch
    from torch.testing._internal import common_modules

    for module, name in MODULES.items():
        for dtype in TYPES:
            torch.manual_seed(0)
            make = getattr(common_modules, f"module_inputs_torch_nn_{module}")
            for number, one in enumerate(make(None, "cpu", getattr(torch, dtype), False, True)):
                options, arguments = one.constructor_input.kwargs, one.forward_input.args
                id = f"{dtype}-{number}-{one.desc}"  # noqa: A001
                yield from both(f"torch.nn.{module}", id, name, arguments, options)
                case = torch_case(f"torch.nn.{module}", id, name, arguments, options)
                if dtype in ("float32", "float64") and deviation(case) is None:
                    layer = getattr(torch.nn, module)(**options)
                    reference = functools.partial(one.reference_fn, layer, *arguments)
                    yield with_reference(case, reference)


def operator_cases() -> Iterator[Case]:
    import torch
    from torch.testing._internal import common_methods_invocations

    for operator in common_methods_invocations.op_db:
        name = operator.name.removeprefix("nn.functional.")
        if name not in OURS or operator.variant_test_name:
            continue
        for dtype in TYPES:
            torch.manual_seed(0)
            random.seed(0)
            samples = operator.sample_inputs("cpu", getattr(torch, dtype))
            for number, sample in enumerate(samples):
                arguments = (sample.input, *sample.args)
                yield from both(
                    f"torch {name}", f"{dtype}-{number}", name, arguments, dict(sample.kwargs)
                )


def torch_cases() -> list[Case]:
    return [*module_cases(), *operator_cases()]


# ---------------------------------------------------------------- ONNX

ELEMENTWISE = {"Sigmoid": "sigmoid", "Softplus": "softplus"}
PER_CLASS = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}
LOSSES = ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
ONNX_MODULES = (
    "logsoftmax",
    "negativeloglikelihoodloss",
    "reduce_log_sum_exp",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy_loss",
    "softplus",
)


def onnx_case(suite, name, function, arguments, options, value) -> Case:
    return Case(suite, name, function, arguments, options, lambda: (value, None), 1e-5)


def onnx_loss(operator, name, inputs, attributes, outputs) -> Iterator[Case]:
    suite = f"onnx {operator}"
    x, labels = inputs[:2]
    options = {
        "axis": 1,
        "class_weight": inputs[2] if len(inputs) > 2 else None,
        "ignore_index": attributes.get("ignore_index"),
        "reduction": attributes.get("reduction", b"mean").decode(),
    }
    if operator == "SoftmaxCrossEntropyLoss":
        yield onnx_case(suite, name, "cross_entropy", (x, labels), options, outputs[0])
        if len(outputs) > 1:
            yield onnx_case(suite, f"{name}-output", "log_softmax", (x,), {"axis": 1}, outputs[1])
        return
    of_p = options | {"from_logits": False}
    yield onnx_case(suite, name, "cross_entropy", (np.exp(x), labels), of_p, outputs[0])
    module = importlib.import_module("onnx.backend.test.case.node.negativeloglikelihoodloss")
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    value = module.compute_negative_log_likelihood_loss(
        np.log(p), labels, options["class_weight"], options["reduction"], options["ignore_index"]
    )
    yield onnx_case(suite, f"{name}-legal", "cross_entropy", (p, labels), of_p, value)


def onnx_cases() -> list[Case]:
    import onnx
    import onnx.backend.test.case.node as nodes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a logarithm of 0
        for module in ONNX_MODULES:
            importlib.import_module(f"onnx.backend.test.case.node.{module}")
    cases: list[Case] = []
    for test in nodes._NodeTestCases:
        operator = test.model.graph.node[0].op_type
        if len(test.model.graph.node) > 1 or test.name.endswith("_expanded"):
            continue  # the same case, spelled in smaller operators
        attributes = {
            a.name: onnx.helper.get_attribute_value(a) for a in test.model.graph.node[0].attribute
        }
        (inputs, outputs), *_ = test.data_sets
        suite, x = f"onnx {operator}", inputs[0]
        if operator in ELEMENTWISE:
            function, options = ELEMENTWISE[operator], {}
        elif operator in PER_CLASS:
            function, options = PER_CLASS[operator], {"axis": attributes.get("axis", -1)}
        elif operator == "ReduceLogSumExp":
            axes = tuple(map(int, inputs[1])) if len(inputs) > 1 and inputs[1].size else None
            function = "logsumexp"
            options = {"axis": axes, "keepdims": bool(attributes.get("keepdims", 1))}
        elif operator in LOSSES:
            cases += onnx_loss(operator, test.name, inputs, attributes, outputs)
            continue
        else:
            continue
        cases.append(onnx_case(suite, test.name, function, (x,), options, outputs[0]))
    return cases
