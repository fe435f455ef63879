"""From a teacher through a file to a student: handwritten digits, soft labels, and a report of both.

    python examples/distil_digits.py DIRECTORY

The teacher, a small network, has seen labels. The student, a softmax regression, sees only what the teacher said of
other rows, through a file of its three best classes. Written are the file, and a report for each of the two.
"""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import sigmax
from sigmax.sklearn import SoftmaxRegression

TEMPERATURE = 2.0


def command(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "sigmax", *map(str, arguments)], check=True)


def main(directory: Path) -> dict[str, float]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16, y[order]
    labelled, unlabelled, test = slice(0, 400), slice(400, 1200), slice(1200, None)

    # The teacher's logits of rows without labels go to a file ...
    teacher = MLPClassifier(64, max_iter=400, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        teacher.fit(x[labelled], y[labelled])
    np.save(directory / "teacher.npy", teacher.predict_log_proba(x[unlabelled]))
    options = ("--temperature", TEMPERATURE, "--top-k", 3)
    command("soften", directory / "teacher.npy", "-o", directory / "teacher.parquet", *options)

    # ... and from there to the student, softened as they are: its logits are divided by T in training, so W is T times
    # that of a regression on the soft labels.
    soft, classes = sigmax.read_soft_labels(directory / "teacher.parquet")
    student = SoftmaxRegression(C=10.0).fit(x[unlabelled], soft.dense(classes))
    logits = TEMPERATURE * student.decision_function(x[test])

    # What both know of rows that none of them has seen.
    np.save(directory / "labels.npy", y[test])
    results = {}
    for name, z in (("teacher", teacher.predict_log_proba(x[test])), ("student", logits)):
        np.save(directory / f"{name}_test.npy", z)
        files = directory / f"{name}_test.npy", directory / "labels.npy"
        command("report", *files, "-o", directory / f"{name}.html", "--resamples", 100)
        results[f"accuracy of the {name}"] = float(np.mean(z.argmax(axis=1) == y[test]))
        results[f"loss of the {name}"] = float(sigmax.cross_entropy(z, y[test]))
    return results


if __name__ == "__main__":
    for what, number in main(Path(sys.argv[1])).items():
        print(f"{what}: {number:.3f}")
