"""
What several annotators said
============================

Where people disagree, one label per row throws away what they know. ``SoftmaxRegression`` takes the shares of their
votes as labels; its probabilities are then those of the next vote.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

import sigmax
from sigmax.sklearn import SoftmaxRegression

x, y = load_wine(return_X_y=True)
x = StandardScaler().fit_transform(x)[:, :2]  # two measurements do not settle the cultivar
rng = np.random.default_rng(0)
opinion = sigmax.softmax(x @ rng.normal(size=(2, 3)) + 0.5 * np.eye(3)[y])
votes = rng.multinomial(5, opinion)
train, test = slice(0, None, 2), slice(1, None, 2)

by_share = SoftmaxRegression().fit(x[train], votes[train] / 5)
by_majority = SoftmaxRegression().fit(x[train], votes[train].argmax(axis=1))

figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
for ax, name, model in ((axes[0], "majority", by_majority), (axes[1], "shares", by_share)):
    p = model.predict_proba(x[test])
    print(
        f"{name:9} loss of a new vote {sigmax.cross_entropy(p, opinion[test], from_logits=False):.3f}"
    )
    ax.plot(opinion[test].ravel(), p.ravel(), ".", alpha=0.5)
    ax.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    ax.set(title=f"trained on the {name}", xlabel="true probability of a vote")
axes[0].set_ylabel("what the model says")
plt.show()
