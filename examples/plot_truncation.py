"""
Which classes do top-k, top-p and min-p keep?
=============================================

The same options, two rows: one where the model is sure, one where it is not. Top-k keeps as many classes in both;
top-p and min-p follow the distribution.
"""

import matplotlib.pyplot as plt
import numpy as np

import sigmax

classes = np.arange(1, 31)
rows = {"sure": -1.5 * classes, "unsure": -0.1 * classes}
options = {
    "top_k=5": {"top_k": 5},
    "top_p=0.9": {"top_p": 0.9},
    "min_p=0.1": {"min_p": 0.1},
    "typical_p=0.9": {"typical_p": 0.9},
}

figure, axes = plt.subplots(len(options), 2, figsize=(8, 7), sharex=True, layout="constrained")
for line, (name, option) in zip(axes, options.items(), strict=True):
    for ax, (title, logits) in zip(line, rows.items(), strict=True):
        before = sigmax.softmax(logits)
        after = sigmax.filter_probabilities(logits, **option)
        kept = after.probabilities > 0
        ax.bar(classes, before, color=np.where(kept, "C0", "0.8"))
        mass = np.exp(after.log_mass)
        ax.set_title(f"{title}, {name}: {kept.sum()} classes, {mass:.0%} of the mass", fontsize=9)
for ax in axes[-1]:
    ax.set_xlabel("class, the likeliest first")
plt.show()
