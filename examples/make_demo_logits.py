"""Write the logits of `sigmax demo`: a small network that was trained for too long on scikit-learn's digits.

Needs scikit-learn. The network is trained on 200 of the 1,797 images of handwritten digits; the file has the logits of
the other 1,597, as float32, and their labels. The same versions of NumPy and scikit-learn give the same file.

    python examples/make_demo_logits.py src/sigmax/report/demo.npz
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

TRAINING = 200


def demo_logits() -> tuple[np.ndarray, np.ndarray]:
    """Return logits (rows, 10) and labels of the images that the network has not seen."""
    images, digits = load_digits(return_X_y=True)
    seen, unseen, seen_digits, unseen_digits = train_test_split(
        images / 16, digits, train_size=TRAINING, random_state=0, stratify=digits
    )
    network = MLPClassifier(
        (64,),
        alpha=0.0,
        learning_rate_init=0.01,
        max_iter=2000,
        n_iter_no_change=2000,
        random_state=0,
    )
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        network.fit(seen, seen_digits)
    hidden = np.maximum(unseen @ network.coefs_[0] + network.intercepts_[0], 0)
    logits = hidden @ network.coefs_[1] + network.intercepts_[1]
    return logits.astype(np.float32), unseen_digits


if __name__ == "__main__":
    logits, labels = demo_logits()
    np.savez_compressed(Path(sys.argv[1]), logits=logits, labels=labels.astype(np.uint8))
