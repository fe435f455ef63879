"""
When one temperature is not enough
==================================

A classifier that learned from equally many of each digit meets a world where two of them are rare. No temperature
mends that: it treats all classes alike. Vector scaling has a scale and a bias for each class.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import sigmax

x, y = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
x = x + rng.normal(0, 5, x.shape)
model = LogisticRegression(C=0.01, max_iter=500).fit(x[:700], y[:700])

world = np.arange(700, len(y))
world = world[~np.isin(y[world], (3, 8)) | (rng.random(len(world)) < 0.1)]
seen, new = world[::2], world[1::2]
logits = model.decision_function(x)

temperature = sigmax.fit_temperature(logits[seen], y[seen])
vector = sigmax.fit_vector_scaling(logits[seen], y[seen])
probabilities = {
    "as it is": sigmax.softmax(logits[new]),
    "temperature": temperature.apply(logits[new]),
    "vector scaling": vector.apply(logits[new]),
}
for name, p in probabilities.items():
    print(f"{name:15} loss {sigmax.cross_entropy(p, y[new], from_logits=False):.3f}")

# %%
# How often each digit is expected, and how often it comes.

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
digits = np.arange(10)
for shift, (name, p) in zip((-0.27, 0, 0.27), probabilities.items(), strict=True):
    axes.bar(digits + shift, p.mean(axis=0), 0.25, label=name)
axes.plot(digits, np.bincount(y[new], minlength=10) / len(new), "k_", markersize=24, label="truth")
axes.set(xlabel="digit", ylabel="share", xticks=digits)
axes.legend()
plt.show()
