"""
The temperature of a bandit
===========================

A Boltzmann policy draws its arm with probabilities softmax(value / T). A small T clings to the first arm that
looked well; a large one keeps paying for arms that it knows to be bad; a falling one does neither. All runs go side
by side as rows of one array, and ``sample`` draws the same arms on every machine.
"""

import matplotlib.pyplot as plt
import numpy as np

import sigmax

ARMS, RUNS, STEPS = 10, 400, 500
runs = np.arange(RUNS)


def regret(temperatures):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(RUNS, ARMS))
    value, count = np.zeros((RUNS, ARMS)), np.zeros((RUNS, ARMS))
    lost = np.empty(STEPS)
    for step, temperature in enumerate(temperatures):
        arm = sigmax.sample(value, temperature=temperature, seed=7, draw=step)
        reward = truth[runs, arm] + rng.normal(size=RUNS)
        count[runs, arm] += 1
        value[runs, arm] += (reward - value[runs, arm]) / count[runs, arm]
        lost[step] = np.mean(truth.max(axis=1) - truth[runs, arm])
    return lost.cumsum()


figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for name, temperatures in (
    ("T = 0.03", np.full(STEPS, 0.03)),
    ("T = 0.3", np.full(STEPS, 0.3)),
    ("T = 1", np.full(STEPS, 1.0)),
    ("T = 2 / √step", 2 / np.sqrt(np.arange(1, STEPS + 1))),
):
    found = regret(temperatures)
    print(f"{name:14} {found[-1]:.0f}")
    axes.plot(found, label=name)
axes.set(xlabel="step", ylabel="reward lost so far")
axes.legend()
plt.show()
