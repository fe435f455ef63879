"""
The loss of a confident row is not 0
====================================

``x - logsumexp(x)`` cannot hold a result much smaller than x. So the usual formula of the loss reaches 0 where the
row is right by 37, and its gradient vanishes: training stops looking at it. The result itself is an ordinary
number.
"""

import matplotlib.pyplot as plt
import numpy as np

import sigmax

margin = np.linspace(0, 60, 400)
logits = np.column_stack([margin, np.zeros_like(margin)])
label = np.zeros(len(logits), int)


def textbook(x):
    top = x.max(axis=1)
    return top + np.log(np.exp(x - top[:, None]).sum(axis=1)) - x[:, 0]


exact = sigmax.cross_entropy(logits, label, reduction="none")
naive = textbook(logits)
print(f"at a margin of 40: {naive[margin >= 40][0]:.1e} and {exact[margin >= 40][0]:.1e}")

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(margin, exact, label="sigmax", linewidth=3)
axes.plot(margin, np.where(naive > 0, naive, np.nan), label="textbook, until it is 0")
axes.set(yscale="log", xlabel="how far the label is ahead", ylabel="loss")
axes.legend()
plt.show()
