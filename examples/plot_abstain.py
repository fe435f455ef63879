"""
Leave the rest to people
========================

A classifier that answers only where it is sure makes fewer mistakes. How sure it has to be for one mistake in a
hundred can be read from its probabilities, if they are honest: the promised error is the mean of 1 − confidence
over what is answered.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import sigmax

x, y = load_digits(return_X_y=True)
order = np.random.default_rng(1).permutation(len(y))
train, held, test = np.split(order, (600, 1100))
logits = GaussianNB(var_smoothing=1e-2).fit(x[train], y[train]).predict_joint_log_proba(x)
fit = sigmax.fit_temperature(logits[held], y[held])


def by_coverage(p):
    """Promised and true error of the rows that are answered, the surest first."""
    surest_first = np.argsort(-p.max(axis=1), kind="stable")
    count = np.arange(1, len(p) + 1)
    promised = np.cumsum(1 - p.max(axis=1)[surest_first]) / count
    wrong = (p.argmax(axis=1) != y[test])[surest_first]
    return count / len(p), promised, np.cumsum(wrong) / count


figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
for ax, name, p in (
    (axes[0], "as it is", sigmax.softmax(logits[test])),
    (axes[1], "calibrated", fit.apply(logits[test])),
):
    coverage, promised, true = by_coverage(p)
    ax.plot(coverage, true, label="true error")
    ax.plot(coverage, promised, label="promised error")
    ax.set(title=name, xlabel="share of rows that are answered")
    answered = coverage[promised <= 0.01]
    share = answered.max() if answered.size else 0
    print(f"{name:10} answers {share:.0%} of the rows with 1 % of promised error; ", end="")
    print(f"the true error is {true[np.count_nonzero(promised <= 0.01) - 1]:.1%}")
axes[0].set_ylabel("share of mistakes")
axes[0].legend()
plt.show()
