"""Chapter 9 of the lesson: its table is part of the parity page, and what it says of Keras is what Keras does."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from lesson_pages import (
    needs_browser,
    run,
    visit,
)

import sigmax
from sigmax.lesson.site import STATIC

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "parity.md").read_text()
SCRIPT = (STATIC / "chapters" / "frameworks.js").read_text(encoding="utf-8")
TABLE = json.loads(re.search(r"^const TABLE = (\{.*?^\});", SCRIPT, re.MULTILINE | re.DOTALL)[1])
ROWS = [
    (library, *row)
    for library, functions in TABLE.items()
    for rows in functions.values()
    for row in rows
]
NAMED = {
    "tf.keras.losses.CategoricalCrossentropy": "from_logits label_smoothing axis reduction",
    "tf.keras.losses.SparseCategoricalCrossentropy": "from_logits ignore_class",
    "tf.keras.losses.BinaryCrossentropy": "from_logits label_smoothing",
    "tf.nn.sigmoid_cross_entropy_with_logits": "labels logits",
    "tf.nn.softmax_cross_entropy_with_logits": "labels logits",
    "tf.nn.sparse_softmax_cross_entropy_with_logits": "labels logits",
    "tf.nn.softmax": "",
    "tf.keras.layers.Dense": "",
    "torch.nn.CrossEntropyLoss": "weight ignore_index reduction label_smoothing",
    "torch.nn.BCEWithLogitsLoss": "weight pos_weight reduction",
}


@pytest.mark.parametrize(("library", "there", "here"), ROWS)
def test_every_row_is_a_row_of_the_parity_page(library, there, here):
    section = re.search(rf"^## {library} .*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)[0]
    assert f"| `{there}` | `{here}` |" in section


def test_the_table_has_every_function_with_its_options():
    groups = {name: rows for functions in TABLE.values() for name, rows in functions.items()}
    assert groups.keys() == NAMED.keys()
    for name, options in NAMED.items():
        calls = [there for there, _ in groups[name]]
        assert all(name.rpartition(".")[2] + "(" in call for call in calls)
        for option in options.split():
            assert any(f"{option}=" in call for call in calls), (name, option)


@pytest.mark.conformance
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("keras", "tensorflow"))), reason="needs Keras"
)
class TestKeras:
    @needs_browser
    def test_the_four_results_are_those_of_keras(self, browser, address):
        import tensorflow as tf

        random = np.random.default_rng(0)
        rows = [[200.0, 0.0], [2.0, 1.0, -1.0], [-2.0, -1.0, -3.0]]
        rows += random.normal(0, 30, (50, 3)).tolist()
        page = browser.new_page()
        visit(page, address, "glossary")
        for row, cells in zip(rows, run(page, "cells", rows), strict=True):
            for cell in cells:
                loss = tf.keras.losses.CategoricalCrossentropy(from_logits=cell["from_logits"])
                x = tf.Variable([row], dtype=tf.float32)
                with tf.GradientTape() as tape:
                    given = tf.nn.softmax(x) if cell["softmax"] else x
                    value = loss(tf.one_hot([1], len(row)), given)
                np.testing.assert_allclose(cell["loss"], value.numpy(), rtol=1e-5, atol=2e-7)
                theirs = tape.gradient(value, x).numpy()[0]
                np.testing.assert_allclose(cell["gradient"], theirs, rtol=1e-4, atol=1e-6)
        page.close()

    def test_a_graph_has_another_result(self):
        import tensorflow as tf

        loss = tf.keras.losses.CategoricalCrossentropy()

        def far():
            return loss(tf.constant([[0.0, 1.0]]), tf.nn.softmax([[200.0, 0.0]]))

        assert far().numpy() == pytest.approx(16.118, abs=1e-3)
        assert tf.function(far)().numpy() == 200

    def test_the_old_signature_is_gone(self):
        import keras

        with pytest.raises(ValueError, match="auto"):
            keras.losses.CategoricalCrossentropy(reduction="auto")
        assert not hasattr(keras.utils, "losses_utils")

    def test_an_index_that_is_no_integer_is_truncated(self):
        import keras

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        x = np.array([[2.0, 1.0, -1.0, 0.5]])
        assert loss(np.array([0.7]), x) == loss(np.array([0]), x)


def test_the_library_refuses_what_is_no_distribution():
    with pytest.raises(ValueError, match="logits must"):
        sigmax.cross_entropy([2.0, 1.0, -1.0], 1, from_logits=False)
    with pytest.raises(ValueError, match="labels must"):
        sigmax.cross_entropy([2.0, 1.0, -1.0], [0.0, 2.0, 0.0])


@pytest.mark.conformance
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_pytorch_takes_labels_that_sum_to_2():
    import torch

    loss = torch.nn.functional.cross_entropy
    x = torch.tensor([[2.0, 1.0, -1.0]])
    twice, once = (loss(x, torch.tensor([[0.0, many, 0.0]])).item() for many in (2.0, 1.0))
    assert twice == pytest.approx(2 * once)
