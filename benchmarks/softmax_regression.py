"""SoftmaxRegression beside LogisticRegression at the same optimum: python benchmarks/softmax_regression.py"""

import argparse
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

import sigmax
from sigmax.sklearn import SoftmaxRegression


def data(rows: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of different scales that hang together, and labels of a model of them."""
    rng = np.random.default_rng(0)
    mixing = np.eye(features) + rng.normal(size=(features, features)) / features
    x = rng.normal(size=(rows, features)) @ mixing * np.exp(rng.normal(size=features))
    weight = rng.normal(size=(classes, features)) / np.sqrt(features) / x.std(axis=0)
    logits = 2 * x @ weight.T
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return x, labels


def optimality(
    model: object, x: np.ndarray, labels: np.ndarray, strength: float
) -> tuple[float, float]:
    """What both minimise, per row, and the largest number of its gradient, which LogisticRegression's tol bounds."""
    both = sigmax.value_and_grad(sigmax.linear_cross_entropy)
    loss, (_, of_weight, of_bias) = both(x, model.coef_, labels, bias=model.intercept_)
    penalty = 1 / (strength * len(x))
    of_weight += penalty * model.coef_
    value = float(loss + 0.5 * penalty * (model.coef_**2).sum())
    return value, max(abs(of_weight).max(), abs(of_bias).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--tol", type=float, nargs="*", default=[1e-4, 1e-6])
    parser.add_argument("--max-iter", type=int, default=10_000, help="of LogisticRegression")
    options = parser.parse_args()
    x, labels = data(options.rows, options.features, options.classes)
    results = []
    ours = [SoftmaxRegression(tol=tol) for tol in (1.0, 0.5, 0.3, 0.1)] + [SoftmaxRegression()]
    theirs = [LogisticRegression(tol=tol, max_iter=options.max_iter) for tol in options.tol]
    for model in (*ours, *theirs):
        begin, worked = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x, labels)
        seconds = time.perf_counter() - begin, time.process_time() - worked
        results.append((model, *seconds, *optimality(model, x, labels, 1.0)))
        print(f"{model}: {seconds[0]:.2f} s, {results[-1][3]:.12f}", flush=True)
    least = min(value for *_, value, _ in results)
    print(
        "| | seconds | of processors | steps | above the least loss per row | largest of the gradient |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for model, seconds, worked, value, slope in results:
        steps = np.max(model.n_iter_)
        print(
            f"| `{model}` | {seconds:.2f} | {worked:.2f} | {steps} | {value - least:.1e} | {slope:.1e} |"
        )


if __name__ == "__main__":
    main()
