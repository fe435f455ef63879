"""
Decisions with costs
====================

To miss a tumour costs twenty times as much as a false alarm. With honest probabilities the best rule needs no
search: act where the expected cost of acting is smaller, here above p = 1/21. With probabilities that are too sure
the same rule costs more, however well they rank.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.naive_bayes import GaussianNB

import sigmax

x, y = load_breast_cancer(return_X_y=True)
y = 1 - y  # 1: malignant
order = np.random.default_rng(4).permutation(len(y))
train, held, test = np.split(order, (170, 370))
logits = GaussianNB().fit(x[train], y[train]).predict_joint_log_proba(x)

MISS, ALARM = 20, 1
best_threshold = ALARM / (ALARM + MISS)
fit = sigmax.fit_temperature(logits[held], y[held])
print(fit.message)


def cost(p, threshold):
    """Mean cost over the test rows of acting above the threshold."""
    act = p[:, None] >= threshold
    sick = y[test][:, None] == 1
    return np.where(act, ALARM * ~sick, MISS * sick).mean(axis=0)


thresholds = np.geomspace(1e-4, 0.999, 300)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for name, p in (
    ("as it is", sigmax.softmax(logits[test])[:, 1]),
    ("calibrated", fit.apply(logits[test])[:, 1]),
):
    print(
        f"{name:10} cost at the threshold of the costs: {cost(p, np.array([best_threshold]))[0]:.3f}"
    )
    axes.plot(thresholds, cost(p, thresholds), label=name)
axes.axvline(best_threshold, color="0.5", linestyle="--", label="threshold of the costs")
axes.set(xscale="log", xlabel="threshold", ylabel="mean cost")
axes.legend()
plt.show()
