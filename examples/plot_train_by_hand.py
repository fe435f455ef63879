"""
Softmax regression without a framework
======================================

``value_and_grad`` gives a loss and its gradient with respect to the logits from one pass. That is all that training
needs: here plain gradient descent on irises, and the regions it learns.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

import sigmax

x, y = load_iris(return_X_y=True)
x = x[:, 2:]  # length and width of the petals
features = np.column_stack([x, np.ones(len(x))])
weight = np.zeros((3, 3))
loss_and_gradient = sigmax.value_and_grad(sigmax.cross_entropy)

losses = []
for _ in range(2000):
    loss, gradient = loss_and_gradient(features @ weight, y)
    weight -= 0.3 * features.T @ gradient
    losses.append(loss)
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")

# %%
# The colours are the probabilities of the three species.

length, width = np.meshgrid(np.linspace(0.5, 7.2, 200), np.linspace(-0.1, 2.7, 200))
grid = np.stack([length, width, np.ones_like(length)], axis=-1)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
axes[0].plot(losses)
axes[0].set(xlabel="step", ylabel="loss", xscale="log")
axes[1].imshow(
    sigmax.softmax(grid @ weight),
    extent=(0.5, 7.2, -0.1, 2.7),
    origin="lower",
    aspect="auto",
    alpha=0.6,
)
for k, color in enumerate(("darkred", "darkgreen", "darkblue")):
    axes[1].plot(*x[y == k].T, "o", color=color, markersize=3)
axes[1].set(xlabel="petal length, cm", ylabel="petal width, cm")
plt.show()
