"""What a call of sigmax.torch on one row of ten costs above that of NumPy, and a training step beside PyTorch's.

Processor time on one thread; the calls of a line take turns, and the least of many short runs counts.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import torch

import sigmax
import sigmax.torch as st

ROUNDS = 30
Call = Callable[[], object]


def microseconds(calls: list[Call], number: int) -> list[float]:
    least = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for k, call in enumerate(calls):
            begin = time.process_time()
            for _ in range(number):
                call()
            least[k] = min(least[k], (time.process_time() - begin) / number * 1e6)
    return least


def array(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value


def both(name: str, *arguments: Any, **options: Any) -> list[Call]:
    """The call with arrays and that with tensors."""
    named = {key: array(value) for key, value in options.items()}
    return [
        functools.partial(getattr(sigmax, name), *map(array, arguments), **named),
        functools.partial(getattr(st, name), *arguments, **options),
    ]


def step(function: Callable[..., torch.Tensor], x: torch.Tensor, *arguments: Any) -> Call:
    """Forward and backward."""
    leaf = x.clone().requires_grad_()
    ones = torch.ones_like(function(leaf, *arguments))

    def run() -> None:
        leaf.grad = None
        function(leaf, *arguments).backward(ones)

    return run


def derivative(name: str, x: torch.Tensor, *arguments: Any) -> Call:
    """Value and gradient with arrays."""
    function, given = getattr(sigmax, name), [array(a) for a in (x, *arguments)]
    if arguments:
        return lambda: sigmax.value_and_grad(function)(*given)
    ones = 0 * function(given[0]) + 1
    return lambda: (function(given[0]), sigmax.vjp(function, given[0], ones))


def main() -> None:
    torch.set_num_threads(1)
    sigmax.set_num_threads(1)
    torch.manual_seed(0)
    x, z, u = torch.randn(1, 10), torch.randn(1, 10), torch.rand(1, 10)
    q, y, weight = z.softmax(-1), torch.tensor([3]), torch.randn(10, 10)
    calls = {name: both(name, x) for name in ("sigmoid", "log_sigmoid", "softplus")}
    calls |= {"logit": both("logit", u), "log1mexp": both("log1mexp", -u)}
    calls |= {name: both(name, x) for name in ("softmax", "log_softmax", "logsumexp", "entropy")}
    calls |= {
        "softmax, where": both("softmax", x, where=x > -1),
        "inverse_softmax": both("inverse_softmax", q),
        "cross_entropy, an index": both("cross_entropy", x, y),
        "cross_entropy, a distribution": both("cross_entropy", x, q),
        "kl_divergence": both("kl_divergence", x, q),
        "distillation_loss": both("distillation_loss", x, z, y, alpha=0.5, temperature=2.0),
        "binary_cross_entropy": both("binary_cross_entropy", x, u),
        "linear_cross_entropy": both("linear_cross_entropy", x, weight, y),
        "one_hot": both("one_hot", y, 10),
        "smooth_labels": both("smooth_labels", q, 0.1),
        "brier_score": both("brier_score", x, y),
        "linear_softmax": both("linear_softmax", x, weight),
    }
    print("| microseconds | NumPy | sigmax.torch | above |\n|---|---:|---:|---:|")
    for name, pair in calls.items():
        ours, through = microseconds(pair, 200)
        print(f"| {name} | {ours:.1f} | {through:.1f} | {through - ours:.1f} |", flush=True)
    functional = torch.nn.functional
    steps: dict[str, tuple[Any, ...]] = {
        "sigmoid": (torch.sigmoid,),
        "softmax": (lambda x: x.softmax(-1),),
        "logsumexp": (lambda x: x.logsumexp(-1),),
        "cross_entropy": (functional.cross_entropy, y),
        "binary_cross_entropy": (functional.binary_cross_entropy_with_logits, u),
        "kl_divergence": (lambda x, q: functional.kl_div(x.log_softmax(-1), q, reduction="sum"), q),
        "linear_cross_entropy": (lambda x, w, y: functional.cross_entropy(x @ w.T, y), weight, y),
    }
    print("\n| forward and backward | NumPy | sigmax.torch | torch |\n|---|---:|---:|---:|")
    for name, (theirs, *arguments) in steps.items():
        three = [derivative(name, x, *arguments), step(getattr(st, name), x, *arguments)]
        least = microseconds([*three, step(theirs, x, *arguments)], 100)
        print(f"| {name} | {' | '.join(f'{t:.1f}' for t in least)} |", flush=True)


if __name__ == "__main__":
    main()
