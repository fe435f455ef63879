"""
Which of two classifiers is better?
===================================

Two numbers from the same test rows share their luck. The interval of their *difference* is far narrower than their
own intervals suggest, and it is the one to decide by.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import sigmax

x, y = load_digits(return_X_y=True)
x = (x + np.random.default_rng(0).normal(0, 4, x.shape)) / 16
train, test = slice(0, 900), slice(900, None)
results = {}
for c in (1, 10):
    model = LogisticRegression(C=c, max_iter=200, tol=1e-3).fit(x[train], y[train])
    results[f"C = {c:g}"] = sigmax.evaluate(model.decision_function(x[test]), y[test])

(first, a), (second, b) = results.items()
difference = b.difference(a)
for name in ("accuracy", "nll", "brier", "ece"):
    low, high = difference[name].interval
    print(f"{name:9} {difference[name]:+.4f}   {low:+.4f} to {high:+.4f}")

# %%
# The intervals of both losses overlap; that of their difference is far from 0.

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for position, result in enumerate(results.values()):
    left.plot(result.nll.interval, [position] * 2, linewidth=3)
    left.plot(result.nll, position, "o", color=f"C{position}")
left.set(yticks=(0, 1), yticklabels=results, ylim=(-0.5, 1.5), xlabel="mean loss")
right.plot(difference["nll"].interval, [0, 0], color="C2", linewidth=3)
right.plot(difference["nll"], 0, "o", color="C2")
right.axvline(0, color="0.6", linestyle="--")
right.set(yticks=[0], yticklabels=[f"{second}\nless {first}"], xlabel="difference of the losses")
plt.show()
