"""
What a temperature does to a row
================================

From the winner alone to all alike: the probabilities of six logits, and their entropy, over five orders of
magnitude of the temperature. All rows are one call: a temperature may be an array.
"""

import matplotlib.pyplot as plt
import numpy as np

import sigmax

logits = np.array([3.0, 2.5, 1.0, 0.0, -1.0, -4.0])
temperatures = np.geomspace(0.03, 300, 300)
p = sigmax.softmax(logits, temperature=temperatures)
entropy = sigmax.entropy(logits, temperature=temperatures)
print(f"entropy from {entropy[0]:.1e} to {entropy[-1]:.4f}; ln 6 = {np.log(6):.4f}")

figure, axes = plt.subplots(2, 1, figsize=(6, 5), sharex=True, layout="constrained")
axes[0].stackplot(temperatures, p.T, labels=[f"{x:g}" for x in logits])
axes[0].set(xscale="log", ylabel="probabilities", ylim=(0, 1), xlim=temperatures[[0, -1]])
axes[0].legend(title="logit", fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
axes[1].plot(temperatures, entropy, color="k")
axes[1].set(xlabel="temperature", ylabel="entropy")
plt.show()
