"""
One temperature, and how well it is known
=========================================

The loss of held-out rows as a function of the temperature has one minimum. ``fit_temperature`` finds it to the last
bits, with an interval; the more rows, the narrower.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import sigmax

x, y = load_digits(return_X_y=True)
model = GaussianNB(var_smoothing=1e-2).fit(x[:900], y[:900])
logits, labels = model.predict_joint_log_proba(x[900:]), y[900:]

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
temperatures = np.geomspace(1, 100, 200)
for rows, color in ((60, "C1"), (len(labels), "C0")):
    fit = sigmax.fit_temperature(logits[:rows], labels[:rows])
    print(fit.message)
    losses = [
        sigmax.cross_entropy(logits[:rows], labels[:rows], temperature=t) for t in temperatures
    ]
    axes.plot(temperatures, losses, color=color, label=f"{rows} rows")
    axes.axvspan(*fit.interval, color=color, alpha=0.2)
    axes.axvline(fit.temperature, color=color, linestyle=":")
axes.set(xscale="log", yscale="log", xlabel="temperature", ylabel="mean loss")
axes.legend(title="best temperature and interval")
plt.show()
