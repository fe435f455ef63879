"""
Is 90 % sure right 90 % of the time?
====================================

Naive Bayes ranks handwritten digits well and is far too sure of itself. A reliability curve shows it: how often a
prediction is right, by how sure it was, each with the interval that the number of rows allows.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import sigmax

x, y = load_digits(return_X_y=True)
train, test = slice(0, 900), slice(900, None)
model = GaussianNB(var_smoothing=1e-2).fit(x[train], y[train])
logits = model.predict_joint_log_proba(x[test])

evaluation = sigmax.evaluate(logits, y[test])
low, high = evaluation.ece.interval
print(f"accuracy {evaluation.accuracy:.3f}")
print(f"calibration error {evaluation.ece:.3f} ({low:.3f} to {high:.3f})")
print(f"a perfectly calibrated model of this size would show {evaluation.null_ece:.3f}")

# %%
# Bins of equal numbers of rows say more than bins of equal width where most rows are sure.

curve = sigmax.reliability_curve(logits, y[test], bins=8, equal_mass=True)
figure, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
low, high = curve.interval
spread = [curve.accuracy - low, high - curve.accuracy]
axes.errorbar(curve.confidence, curve.accuracy, spread, fmt="o", capsize=3, label="naive Bayes")
axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="calibrated")
axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0.3, 1.02), ylim=(0.3, 1.02))
axes.legend()
plt.show()
