"""
Label smoothing is no temperature
=================================

Both make a classifier less sure. Smoothing pulls the logits of the *others* together, whatever they were; a
temperature keeps their ratios. So smoothing forgets which mistakes are likely ones.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import sigmax

x, y = load_digits(return_X_y=True)
features = np.column_stack([x / 16, np.ones(len(x))])
train, test = slice(0, 900), slice(900, None)
loss_and_gradient = sigmax.value_and_grad(sigmax.cross_entropy)


def trained(label_smoothing):
    weight = np.zeros((features.shape[1], 10))
    for _ in range(300):
        logits = features[train] @ weight
        _, gradient = loss_and_gradient(logits, y[train], label_smoothing=label_smoothing)
        weight -= 2.0 * features[train].T @ gradient
    return features[test] @ weight


hard, smoothed = trained(0.0), trained(0.2)


def confidence(logits):
    return sigmax.softmax(logits).max(axis=1).mean()


# The temperature that makes the hard-trained model as sure as the smoothed one.
temperature = min(
    np.linspace(0.5, 5, 91), key=lambda t: abs(confidence(hard / t) - confidence(smoothed))
)
cooled = hard / temperature
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for name, logits in (("hard labels, cooler", cooled), ("smoothed labels", smoothed)):
    others = np.sort(sigmax.log_softmax(logits), axis=1)[:, :-1]
    spread = others.max(axis=1) - others.min(axis=1)
    print(f"{name}: the likeliest other class has {np.exp(np.median(spread)):.0f} times the least")
    axes.hist(spread, bins=40, alpha=0.6, label=name)
axes.set(xlabel="spread of log p over the other classes", ylabel="rows")
axes.legend()
plt.show()
