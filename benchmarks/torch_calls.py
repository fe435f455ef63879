"""What a call through sigmax.torch costs beside that of NumPy, and beside PyTorch's own."""

import timeit
from collections.abc import Callable

import torch

import sigmax
import sigmax.torch as st


def microseconds(call: Callable[[], object]) -> float:
    """The least of many short runs, so that what else the machine does counts least."""
    number = 2000
    call()
    return min(timeit.repeat(call, number=number, repeat=25)) / number * 1e6


def train(loss: Callable[..., torch.Tensor], x: torch.Tensor, labels: torch.Tensor) -> None:
    x.grad = None
    loss(x, labels).backward()


def main() -> None:
    torch.set_num_threads(1)
    sigmax.set_num_threads(1)
    row, x, labels = torch.randn(10), torch.randn(32, 10), torch.randint(0, 10, (32,))
    leaf = x.clone().requires_grad_()
    a, b, c = row.numpy(), x.numpy(), labels.numpy()
    functional = torch.nn.functional
    cases = {
        "sigmoid, 10": (
            lambda: sigmax.sigmoid(a),
            lambda: st.sigmoid(row),
            lambda: torch.sigmoid(row),
        ),
        "softmax, 10": (
            lambda: sigmax.softmax(a),
            lambda: st.softmax(row),
            lambda: row.softmax(-1),
        ),
        "logsumexp, 10": (
            lambda: sigmax.logsumexp(a),
            lambda: st.logsumexp(row),
            lambda: row.logsumexp(-1),
        ),
        "cross_entropy, 32 × 10": (
            lambda: sigmax.cross_entropy(b, c),
            lambda: st.cross_entropy(x, labels),
            lambda: functional.cross_entropy(x, labels),
        ),
        "the same and backward": (
            lambda: sigmax.value_and_grad(sigmax.cross_entropy)(b, c),
            lambda: train(st.cross_entropy, leaf, labels),
            lambda: train(functional.cross_entropy, leaf, labels),
        ),
    }
    print("| call | sigmax | sigmax.torch | above | torch |\n|---|---:|---:|---:|---:|")
    for name, calls in cases.items():
        ours, through, theirs = map(microseconds, calls)
        print(f"| {name} | {ours:.1f} | {through:.1f} | {through - ours:.1f} | {theirs:.1f} |")


if __name__ == "__main__":
    main()
