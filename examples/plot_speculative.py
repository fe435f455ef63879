"""
A draft that a larger model corrects
====================================

A small model drafts a few tokens, the large one accepts those it could have drawn itself. What comes out is
distributed as the large model alone would have it; how many tokens stand depends on how alike the two are.
"""

import matplotlib.pyplot as plt
import numpy as np

import sigmax

SEQUENCES, LENGTH, CLASSES = 20_000, 5, 8
rng = np.random.default_rng(0)
target = rng.normal(0, 1.5, (LENGTH + 1, CLASSES))
positions = np.arange(LENGTH)

noises, means, first = (0.0, 0.3, 0.6, 1.0, 2.0), [], {}
for noise in noises:
    draft = target[:LENGTH] + rng.normal(0, noise, (LENGTH, CLASSES))
    rows = np.broadcast_to(draft, (SEQUENCES, LENGTH, CLASSES))
    tokens = sigmax.sample(rows, seed=1)
    accepted = sigmax.speculative_accept(
        rows, np.broadcast_to(target, (SEQUENCES, LENGTH + 1, CLASSES)), tokens, seed=2
    )
    means.append(accepted.count.mean())
    first[noise] = np.where(accepted.count > 0, tokens[:, 0], accepted.token)
print(*(f"{mean:.2f}" for mean in means), "of 5 tokens stand")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(noises, means, "o-")
left.set(
    xlabel="how far the draft is from the target", ylabel="tokens that stand, of 5", ylim=(0, 5.2)
)
counts = np.bincount(first[2.0], minlength=CLASSES) / SEQUENCES
right.bar(np.arange(CLASSES), counts, label="what comes out, worst draft")
right.plot(sigmax.softmax(target[0]), "k_", markersize=22, label="the target")
right.set(xlabel="first token", ylabel="share")
right.legend()
plt.show()
