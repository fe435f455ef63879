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


def objective(model: object, x: np.ndarray, labels: np.ndarray, strength: float) -> float:
    """What both minimise, per row."""
    loss = sigmax.linear_cross_entropy(x, model.coef_, labels, bias=model.intercept_)
    return float(loss + 0.5 * (model.coef_**2).sum() / strength / len(x))


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
    ours = [SoftmaxRegression(tol=1.0), SoftmaxRegression()]
    theirs = [LogisticRegression(tol=tol, max_iter=options.max_iter) for tol in options.tol]
    for model in (*ours, *theirs):
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x, labels)
        seconds = time.perf_counter() - begin
        results.append((model, seconds, objective(model, x, labels, 1.0)))
        print(
            f"{model}: {seconds:.2f} s, {np.max(model.n_iter_)} steps, {results[-1][2]:.12f}",
            flush=True,
        )
    least = min(value for *_, value in results)
    print("| | seconds | steps | above the least loss per row |\n|---|---:|---:|---:|")
    for model, seconds, value in results:
        print(f"| `{model}` | {seconds:.2f} | {np.max(model.n_iter_)} | {value - least:.1e} |")


if __name__ == "__main__":
    main()
