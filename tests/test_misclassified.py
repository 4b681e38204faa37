"""Misclassified rows: all of them, most confident first, each with its own ids and probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from her2core.errors import ConfigError
from her2core.evidence.misclassified import COLUMNS, confusion_cell, misclassified
from her2core.evidence.predictions import read_predictions

CLASSES = ("negative", "equivocal", "positive")


def predictions(n=200, seed=0):
    rng = np.random.default_rng(seed)
    probs = np.round(rng.dirichlet(np.ones(3), n), 2)
    probs[:, 2] = 1 - probs[:, 0] - probs[:, 1]
    frame = pd.DataFrame(
        {
            "patch_id": [f"q{i}" for i in range(n)],
            "patient_id": [f"p{i % 20}" for i in range(n)],
            "slide_id": [f"s{i % 40}" for i in range(n)],
            "site": [f"site {i % 2}" for i in range(n)],
            "split": "test",
            "label": np.array(CLASSES)[rng.integers(0, 3, n)],
            **{f"probability_{c}": probs[:, i] for i, c in enumerate(CLASSES)},
        }
    )
    return read_predictions(frame), frame


def by_hand(frame: pd.DataFrame) -> pd.DataFrame:
    probs = frame[[f"probability_{c}" for c in CLASSES]].set_axis(CLASSES, axis=1)
    rows = frame.assign(
        true=frame["label"],
        predicted=probs.idxmax(axis=1),
        probability_predicted=probs.max(axis=1),
        probability_true=[probs.loc[i, c] for i, c in frame["label"].items()],
    )
    return rows.sort_values("probability_predicted", ascending=False, kind="stable")[list(COLUMNS)]


def test_misclassified_rows_come_most_confident_first():
    p, frame = predictions()
    expected = by_hand(frame)
    expected = expected[expected["true"] != expected["predicted"]].reset_index(drop=True)
    found = misclassified(p)
    assert 50 < len(found) < 200
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found["probability_predicted"].is_monotonic_decreasing
    assert (found["probability_true"] <= found["probability_predicted"]).all()


def test_the_cells_share_out_all_rows_and_the_diagonal_is_right():
    p, frame = predictions()
    expected = by_hand(frame)
    total = 0
    for true in CLASSES:
        for guess in CLASSES:
            found = confusion_cell(p, true=true, predicted=guess)
            wanted = expected[(expected["true"] == true) & (expected["predicted"] == guess)].reset_index(drop=True)
            pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
            total += len(found)
    assert total == len(p)


def test_no_mistake_is_an_empty_table_with_its_columns():
    p, _ = predictions()
    right = p.where(p.predicted == p.labels)
    assert misclassified(right).empty
    assert tuple(misclassified(right)) == COLUMNS
    assert tuple(confusion_cell(right, true="negative", predicted="positive")) == COLUMNS


@pytest.mark.parametrize(
    "wrong", [{"true": "Negative", "predicted": "positive"}, {"true": "negative", "predicted": ""}]
)
def test_an_unknown_class_is_refused(wrong):
    with pytest.raises(ConfigError, match="to be one of 'negative', 'equivocal', 'positive'"):
        confusion_cell(predictions()[0], **wrong)
