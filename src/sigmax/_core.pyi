from collections.abc import Callable
from typing import Any

import numpy as np

sigmoid: np.ufunc
log_sigmoid: np.ufunc
softplus: np.ufunc
logit: np.ufunc
log1mexp: np.ufunc
sigmoid_vjp: np.ufunc
log_sigmoid_vjp: np.ufunc
softplus_vjp: np.ufunc
logit_vjp: np.ufunc
log1mexp_vjp: np.ufunc

binary_cross_entropy: np.ufunc
binary_cross_entropy_of_probabilities: np.ufunc
binary_cross_entropy_gradient: np.ufunc
binary_cross_entropy_of_probabilities_gradient: np.ufunc

softmax: np.ufunc
log_softmax: np.ufunc
logsumexp: np.ufunc
logsumexp_weighted: np.ufunc
entropy: np.ufunc
inverse_softmax: np.ufunc
entropy_of_probabilities: np.ufunc
softmax_vjp: np.ufunc
log_softmax_vjp: np.ufunc
logsumexp_vjp: np.ufunc
logsumexp_weighted_vjp: np.ufunc
entropy_vjp: np.ufunc
inverse_softmax_vjp: np.ufunc
entropy_of_probabilities_vjp: np.ufunc

cross_entropy: np.ufunc
cross_entropy_gradient: np.ufunc
soft_cross_entropy: np.ufunc
soft_cross_entropy_gradient: np.ufunc
cross_entropy_of_probabilities: np.ufunc
cross_entropy_of_probabilities_gradient: np.ufunc
soft_cross_entropy_of_probabilities: np.ufunc
soft_cross_entropy_of_probabilities_gradient: np.ufunc
mass: np.ufunc
logit_moments: np.ufunc
relative_entropy: np.ufunc
relative_entropy_gradient: np.ufunc
relative_entropy_of_probabilities: np.ufunc
relative_entropy_of_probabilities_gradient: np.ufunc
divergence: np.ufunc
divergence_gradient: np.ufunc
distillation: np.ufunc
distillation_gradient: np.ufunc

rows_functions: dict[str, int]
binary_loss_functions: dict[str, int]

def direct(function: int, axis: Any, /, *operands: Any) -> Any: ...
def spans(x: Any, /) -> tuple[Any, Any, Any]: ...
def winners(x: Any, /) -> Any: ...
def squared_distances(p: Any, labels: Any, /) -> Any: ...
def bin_of(p: Any, bins: int, /) -> Any: ...
def spread_over(units: Any, groups: int, /) -> Any: ...
def sums_by(keys: Any, size: int, /, *values: Any) -> Any: ...
def add_by_class(
    table: Any, groups: Any, p: Any, terms: Any, weights: Any, labels: Any, /
) -> None: ...
def of_logits(
    table: Any, groups: Any, x: Any, temperature: Any, weights: Any, labels: Any, /
) -> tuple[Any, Any, Any, Any]: ...
def absolute_sums(counts: Any, table: Any, /) -> Any: ...
def product(counts: Any, table: Any, /) -> Any: ...
def loss(name: str, arguments: tuple[Any, ...], options: dict[str, Any], /) -> Any: ...
def loss_and_gradient(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any], out: Any, /
) -> Any: ...
def binary_loss_sum(
    function: int,
    x: Any,
    labels: Any,
    weight: Any,
    pos_weight: Any,
    smoothing: Any,
    divisor: Any,
    out: Any,
    /,
) -> Any: ...
def in_unit_interval(x: Any, /) -> bool: ...
def total(x: Any, /) -> float: ...
def class_indices(labels: Any, classes: int, /) -> Any: ...

default_float_environment: int

def set_float_environment(control: int, /) -> int: ...
def get_num_threads() -> int: ...
def set_num_threads(count: int, /) -> None: ...
def provide_correct_rounding(exact: Callable[..., float], /) -> None: ...
def get_correct_rounding() -> bool: ...
def set_correct_rounding(on: bool, /) -> None: ...
def release_memory() -> int: ...
def empty_like(prototype: np.ndarray, /) -> np.ndarray: ...
def level() -> str: ...
def levels() -> list[str]: ...
def set_doc(ufunc: np.ufunc, text: str, /) -> None: ...
def register_tensors(tensor: type, parameter: type, /) -> None: ...
def arrays_of_tensors(values: tuple[Any, ...], /) -> list[Any] | None: ...
def tensor_of_array(array: Any, /) -> Any: ...
def call_with_tensors(function: Any, values: tuple[Any, ...], names: tuple[str, ...], /) -> Any: ...
def register_bfloat16(module: object, type_number: int, /) -> None: ...
