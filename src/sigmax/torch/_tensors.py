"""Between tensors and arrays: they share their memory. bfloat16, which NumPy does not have, goes by float32."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from sigmax import _core

HALVES = (torch.float16, torch.bfloat16)
_TYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)

NATIVE = frozenset(_TYPES) - {torch.bfloat16}


def array(x: Any) -> Any:
    """Return the array in the memory of a tensor; what is no tensor as it is."""
    if not isinstance(x, Tensor):
        return x
    if x.requires_grad:
        x = x.detach()
    if x.is_neg():
        x = x.resolve_neg()
    return x.float().numpy() if x.dtype is torch.bfloat16 else x.numpy()


def tensor(result: Any, like: Any = None) -> Any:
    """Return a tensor in the memory of an array or of a number; of bfloat16 where `like` is."""
    made = _core.tensor_of_array(result)
    if made is None:  # read-only, or with negative strides
        made = torch.from_numpy(np.asarray(result))
    return made.bfloat16() if like is torch.bfloat16 else made


def normalised(q: Any, axis: int) -> Any:
    """Return distributions of bfloat16, which sum to 1 as far as that type can, with sum 1 in float32.

    Rows that are further from 1 stay as they are, to be refused.
    """
    total = q.sum(axis, keepdims=True, dtype=np.float64)
    return np.where(abs(total - 1.0) <= 2.0**-3.5, q / total, q).astype(np.float32)


def result_type(x: Any) -> Any:
    """Return the type of a result: bool and integers become float64."""
    return x.dtype if x.is_floating_point() else torch.float64


def checked(x: Any, name: str, function: str) -> Any:
    """Return x if it is a tensor that can be computed with, or say why it is not."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(x).__name__}: "
            f"sigmax.{function} takes arrays and numbers"
        )
    if not (x.is_cpu or x.is_meta):
        raise ValueError(f"{name} must be on the CPU, got device {x.device}: pass {name}.cpu()")
    if x.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got layout {x.layout}")
    if x.dtype not in _TYPES:
        raise TypeError(f"{name} must be real numbers, got dtype {x.dtype}")
    return x


def constant(x: Any, name: str, like: Any, dtype: Any = None) -> Any:
    """Return an argument that no gradient is for as a tensor, None as it is."""
    if x is None:
        return None
    if not isinstance(x, Tensor):
        x = torch.as_tensor(np.asarray(x)).to(like.device)
    if x.requires_grad and torch.is_grad_enabled():
        raise ValueError(f"{name} must not require a gradient: pass {name}.detach()")
    if dtype is not None and x.dtype is not dtype and x.dtype in _TYPES:
        x = x.to(dtype)
    return checked(x, name, "")


def temperatures(value: Any, like: Any) -> tuple[float, Any]:
    """Return one temperature and None, or 1 and a tensor of several."""
    if type(value) is float:
        return value, None
    if isinstance(value, Tensor | np.ndarray | list | tuple):
        return 1.0, constant(value, "temperature", like, torch.float64)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"temperature must be real numbers, got {value!r}")
    return float(value), None


def is_plain(x: Any) -> bool:
    """Whether a tensor has values now: PyTorch is not compiling, exporting or transforming what it does."""
    return (
        (type(x) is Tensor or type(x) is Parameter)
        and x.is_cpu
        and x.layout is torch.strided
        and not (torch.compiler.is_compiling() or are_transforms_active() or modes())
    )


are_transforms_active = torch._C._are_functorch_transforms_active
# PyTorch looks at what is called: by torch.compile, or in a mode such as that of fake tensors.
is_traced, modes = torch.compiler.is_dynamo_compiling, torch._C._len_torch_dispatch_stack
_core.register_tensors(Tensor, Parameter)
