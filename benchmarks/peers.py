"""sigmax and the libraries it is compared with, each reduced to one question: give me a call.

The losses are in ``losses.py`` and ``linear.py``.

``library.prepare(task)`` returns a function of no arguments that does the whole job and returns its
result, or None where the library has no such function, type or ``out=``. What a patient user would
do once (wrap the array, compile, build a session, bind memory) is done in ``prepare`` and therefore
not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

ELEMENTWISE = ("sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp")
ALONG_AXIS = ("logsumexp", "softmax", "log_softmax", "entropy")
GRADIENTS = ("softmax_vjp", "log_softmax_vjp")
TAKES_OUT = (*ELEMENTWISE, "logsumexp", "softmax", "log_softmax")

Call = Callable[[], Any]


@dataclass
class Task:
    """One job: ``function`` of ``x``, into ``out`` if it is given.

    ``operands`` are what it reads besides: the cotangent of a gradient, the labels of a loss.
    """

    function: str
    x: np.ndarray
    axis: int
    out: np.ndarray | None = None
    operands: tuple[np.ndarray, ...] = ()


class Sigmax:
    name = "sigmax"

    def __init__(self, threads: int):
        import sigmax

        sigmax.set_num_threads(threads)
        self.package = sigmax

    def config(self) -> dict:
        return self.package.show_config(mode="dicts")

    def prepare(self, task: Task) -> Call | None:
        name = task.function.removesuffix("_vjp")
        function = getattr(self.package, name)
        if task.function in GRADIENTS:
            return partial(self.package.vjp, function, task.x, *task.operands, axis=task.axis)
        options = {} if task.out is None else {"out": task.out}
        if task.function not in ELEMENTWISE:
            options["axis"] = task.axis
        return partial(function, task.x, **options)


class NumPy:
    """The stable expression that a careful user writes, with as few temporaries as it allows."""

    name = "NumPy"

    def __init__(self, _threads: int):
        pass

    def prepare(self, task: Task) -> Call | None:
        expression = getattr(self, task.function)
        if task.function in GRADIENTS:
            return partial(expression, task.x, *task.operands, task.axis)
        axis = () if task.function in ELEMENTWISE else (task.axis,)
        out = () if task.out is None else (task.out,)
        return partial(expression, task.x, *axis, *out)

    @staticmethod
    def sigmoid(x, out=None):
        y = np.negative(x, out)
        np.exp(y, y)
        y += 1
        return np.divide(1, y, y)

    @staticmethod
    def softplus(x, out=None):
        y = np.abs(x, out)
        np.log1p(np.exp(np.negative(y, y), y), y)
        y += np.maximum(x, 0)
        return y

    @staticmethod
    def log_sigmoid(x, out=None):
        y = np.abs(x, out)
        np.log1p(np.exp(np.negative(y, y), y), y)
        return np.subtract(np.minimum(x, 0), y, y)

    @staticmethod
    def logit(p, out=None):
        y = np.subtract(1, p, out)
        return np.log(np.divide(p, y, y), y)

    @staticmethod
    def log1mexp(x, out=None):
        y = np.expm1(x, out)
        return np.log(np.negative(y, y), y)

    @staticmethod
    def logsumexp(x, axis, out=None):
        peak = x.max(axis, keepdims=True)
        e = x - peak
        return np.add(np.log(np.exp(e, e).sum(axis)), peak.squeeze(axis), out)

    @staticmethod
    def softmax(x, axis, out=None):
        e = np.subtract(x, x.max(axis, keepdims=True), out)
        np.exp(e, e)
        e /= e.sum(axis, keepdims=True)
        return e

    @staticmethod
    def log_softmax(x, axis, out=None):
        y = np.subtract(x, x.max(axis, keepdims=True), out)
        y -= np.log(np.exp(y).sum(axis, keepdims=True))
        return y

    @staticmethod
    def entropy(x, axis):
        y = x - x.max(axis, keepdims=True)
        e = np.exp(y)
        total = e.sum(axis)
        e *= y
        return np.log(total) - e.sum(axis) / total

    @staticmethod
    def softmax_vjp(x, cotangent, axis):
        p = NumPy.softmax(x, axis)
        y = cotangent - (p * cotangent).sum(axis, keepdims=True)
        y *= p
        return y

    @staticmethod
    def log_softmax_vjp(x, cotangent, axis):
        p = NumPy.softmax(x, axis)
        p *= cotangent.sum(axis, keepdims=True)
        return np.subtract(cotangent, p, p)


class SciPy:
    name = "SciPy"

    def __init__(self, _threads: int):
        from scipy import special

        self.ufuncs = {
            "sigmoid": special.expit,
            "log_sigmoid": special.log_expit,
            "softplus": special.softplus,
            "logit": special.logit,
        }
        self.axis_functions = {
            "logsumexp": special.logsumexp,
            "softmax": special.softmax,
            "log_softmax": special.log_softmax,
            "entropy": lambda x, axis: special.entr(special.softmax(x, axis)).sum(axis),
        }

    def prepare(self, task: Task) -> Call | None:
        if ufunc := self.ufuncs.get(task.function):
            return partial(ufunc, task.x, **({} if task.out is None else {"out": task.out}))
        function = self.axis_functions.get(task.function)
        return partial(function, task.x, axis=task.axis) if function and task.out is None else None


class PyTorch:
    name = "PyTorch"

    def __init__(self, threads: int):
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch = torch

    def prepare(self, task: Task) -> Call | None:
        torch, x, axis = self.torch, self.torch.from_numpy(task.x), task.axis
        if task.function in GRADIENTS:
            cotangent = torch.from_numpy(*task.operands)
            return partial(self.gradient, task.function, x, cotangent, axis)
        calls = {
            "sigmoid": partial(torch.sigmoid, x),
            "log_sigmoid": partial(torch._C._nn.log_sigmoid, x),
            "softplus": partial(torch._C._nn.softplus, x),
            "logit": partial(torch.logit, x),
            "logsumexp": partial(torch.logsumexp, x, axis),
            "softmax": partial(torch.softmax, x, axis),
            "log_softmax": partial(torch.log_softmax, x, axis),
            # PyTorch has no function for these two.
            "log1mexp": lambda out=None: torch.log(torch.expm1(x, out=out).neg_(), out=out),
            "entropy": lambda: torch.special.entr(torch.softmax(x, axis)).sum(axis),
        }
        call = calls[task.function]
        return call if task.out is None else partial(call, out=torch.from_numpy(task.out))

    def gradient(self, function, x, cotangent, axis):
        """What autograd runs, without its graph: the value, then the private backward kernel."""
        torch = self.torch
        if function == "softmax_vjp":
            y = torch.softmax(x, axis)
            return torch._softmax_backward_data(cotangent, y, axis, x.dtype)
        y = torch.log_softmax(x, axis)
        return torch._log_softmax_backward_data(cotangent, y, axis, x.dtype)


class Jax:
    name = "JAX"

    def __init__(self, _threads: int):
        import jax

        # JAX has as many threads as this process may use CPUs: compare.py sees to that.
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        self.jax = jax

    def prepare(self, task: Task) -> Call | None:
        if task.out is not None:
            return None  # JAX arrays are immutable
        arguments = [self.jax.numpy.asarray(array) for array in (task.x, *task.operands)]
        compiled = self.jax.jit(self.function(task.function, task.axis))
        compiled(*arguments).block_until_ready()
        return lambda: compiled(*arguments).block_until_ready()

    def function(self, name: str, axis: int) -> Callable:
        nn = self.jax.nn
        if name in GRADIENTS:
            forward = self.function(name.removesuffix("_vjp"), axis)
            return lambda x, cotangent: self.jax.vjp(forward, x)[1](cotangent)[0]
        if name == "entropy":
            return lambda x: -(nn.softmax(x, axis) * nn.log_softmax(x, axis)).sum(axis)
        if name == "log1mexp":
            return lambda x: nn.log1mexp(-x)  # JAX's is log(1 - exp(-x))
        if name in ALONG_AXIS:
            return partial(getattr(nn, name), axis=axis)
        return self.jax.scipy.special.logit if name == "logit" else getattr(nn, name)


OPERATORS = {
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "logsumexp": "ReduceLogSumExp",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
}


class OnnxRuntime:
    """A model of one node."""

    name = "onnxruntime"

    def __init__(self, threads: int):
        import onnx
        import onnxruntime

        self.onnx, self.runtime, self.threads = onnx, onnxruntime, threads

    def prepare(self, task: Task) -> Call | None:
        if task.function not in OPERATORS:
            return None
        session = self.session(task)
        if task.out is None:
            return lambda: session.run(None, {"x": task.x})[0]
        binding = session.io_binding()
        binding.bind_cpu_input("x", task.x)
        # On the CPU this value shares the memory of the array.
        binding.bind_ortvalue_output("y", self.runtime.OrtValue.ortvalue_from_numpy(task.out))

        def run():
            session.run_with_iobinding(binding)
            return task.out

        return run

    def session(self, task: Task):
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return self.runtime.InferenceSession(
            self.model(task).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def model(self, task: Task):
        helper = self.onnx.helper
        element = helper.np_dtype_to_tensor_dtype(task.x.dtype)
        inputs, attributes, constants, shape = ["x"], {}, [], task.x.shape
        if task.function == "logsumexp":  # its axes are an input
            inputs, attributes = ["x", "axes"], {"keepdims": 0}
            constants = [helper.make_tensor("axes", self.onnx.TensorProto.INT64, [1], [task.axis])]
            shape = np.delete(shape, task.axis).tolist()
        elif task.function in ALONG_AXIS:
            attributes = {"axis": task.axis}
        graph = helper.make_graph(
            [helper.make_node(OPERATORS[task.function], inputs, ["y"], **attributes)],
            "one_node",
            [helper.make_tensor_value_info("x", element, task.x.shape)],
            [helper.make_tensor_value_info("y", element, shape)],
            initializer=constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


LIBRARIES = (Sigmax, NumPy, SciPy, PyTorch, Jax, OnnxRuntime)
