"""
Four ways to write a sigmoid, and their errors
==============================================

Errors are in ULP, units in the last place: 0.5 is the nearest float32 there is. The reference is NumPy's float64.
"""

import matplotlib.pyplot as plt
import numpy as np

import sigmax

x = np.linspace(-100, 20, 60_001).astype(np.float32)
wide = np.where(x < 0, np.exp(x.astype(float)), 1) / (1 + np.exp(-np.abs(x.astype(float))))
ulp = np.spacing(wide.astype(np.float32)).astype(float)

with np.errstate(over="ignore", under="ignore"):
    ways = {
        "1 / (1 + exp(-x))": 1 / (1 + np.exp(-x)),
        "(1 + tanh(x/2)) / 2": (1 + np.tanh(x / 2)) / 2,
        "exp(x) / (1 + exp(x)), x < 0": np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x))),
        "sigmax.sigmoid": sigmax.sigmoid(x),
    }

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
for name, result in ways.items():
    error = np.abs(result - wide) / ulp
    print(f"{name:30} largest error {error.max():.3g} ULP")
    largest = error[: len(error) // 300 * 300].reshape(-1, 300).max(axis=1)
    axes.plot(x[: len(largest) * 300 : 300], np.maximum(largest, 0.1), label=name)
axes.set(yscale="log", xlabel="x", ylabel="largest error, ULP")
axes.axhline(0.5, color="0.6", linestyle="--")
axes.legend()
plt.show()
