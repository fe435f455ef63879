"""
A student that learns from probabilities
========================================

A teacher's probabilities say more than labels: how like a 7 this 1 looks. With few rows a student learns more from
them, at a temperature that makes the small ones visible.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import sigmax

x, y = load_digits(return_X_y=True)
x = x / 16
order = np.random.default_rng(0).permutation(len(y))
for_teacher, pool, test = np.split(order, (900, 1300))
teacher = LogisticRegression(max_iter=300).fit(x[for_teacher], y[for_teacher])
soft = teacher.decision_function(x)
loss_and_gradient = sigmax.value_and_grad(sigmax.distillation_loss)


def accuracy(rows, alpha):
    weight = np.zeros((x.shape[1], 10))
    for _ in range(150):
        _, gradient = loss_and_gradient(
            x[rows] @ weight, soft[rows], y[rows], temperature=3.0, alpha=alpha
        )
        weight -= 2.0 * x[rows].T @ gradient
    return np.mean((x[test] @ weight).argmax(axis=1) == y[test])


counts = (10, 20, 40, 80, 160, 320)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for alpha, name in ((0.0, "labels alone"), (0.5, "both"), (1.0, "the teacher alone")):
    found = [accuracy(pool[:count], alpha) for count in counts]
    print(f"{name:18}", *(f"{value:.3f}" for value in found))
    axes.plot(counts, found, "o-", label=name)
axes.set(xscale="log", xlabel="rows that the student sees", ylabel="accuracy on others")
axes.legend()
plt.show()
