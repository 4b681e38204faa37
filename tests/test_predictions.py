"""Reading of tables of predictions: scores, probabilities, class order, identifiers, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from her2core.errors import TableError
from her2core.evidence.predictions import calibrated_predictions, read_predictions


def plain(**changes) -> pd.DataFrame:
    columns = {
        "patch_id": ["q1", "q2", "q3"],
        "label": ["a", "b", "a"],
        "logit_a": [2.0, -1.0, 0.5],
        "logit_b": [0.0, 1.0, 0.5],
    } | changes
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


def test_logits_and_probabilities_are_both_read():
    p = read_predictions(plain(), temperature=2.0)
    np.testing.assert_allclose(p.probs, softmax(plain()[["logit_a", "logit_b"]].to_numpy() / 2, axis=1))
    assert p.classes == ("a", "b")
    assert list(p.labels) == [0, 1, 0]
    assert list(p.predicted) == [0, 1, 0]
    assert set(p.frame["split"]) == {"test"}
    assert set(p.frame["patient_id"]) == {"unknown"}
    assert not p.patients_known
    given_probs = plain(logit_a=None, logit_b=None, probability_a=[0.9, 0.2, 0.5], probability_b=[0.1, 0.8, 0.5])
    q = read_predictions(given_probs, temperature=7.0)
    np.testing.assert_array_equal(q.probs, given_probs[["probability_a", "probability_b"]])


def test_the_order_of_classes_is_the_caller_s():
    p = read_predictions(plain(), classes=("b", "a"))
    assert list(p.labels) == [1, 0, 1]
    assert list(p.predicted[:2]) == [1, 0]


def test_ids_that_are_numbers_with_gaps_are_text_or_unknown():
    p = read_predictions(plain(patient_id=[1, None, 3], slide_id=[7, 8, 9]))
    assert p.frame["patient_id"].iloc[1] == "unknown"
    assert not p.patients_known
    assert list(p.frame["slide_id"]) == ["7", "8", "9"]


def test_rows_are_chosen_by_mask_by_part_and_by_position():
    p = read_predictions(plain(split=["val", "test", "test"]))
    assert list(p.part("test").frame["patch_id"]) == ["q2", "q3"]
    assert list(p.part("test").labels) == [1, 0]
    turned = p.where(np.array([2, 0]))
    assert list(turned.frame["patch_id"]) == ["q3", "q1"]
    np.testing.assert_array_equal(turned.probs, p.probs[[2, 0]])


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"label": None}, {}, "a column for the label, but got no column chosen"),
        ({"logit_b": None}, {"classes": ("a", "b", "c")}, "one score and one class without any"),
        ({}, {"classes": ("a", "c")}, "every class once, each with its column, but got no column for 'c'"),
        ({"logit_a": [1, np.nan, 2]}, {}, "Expected a finite number in every row, but got an empty cell"),
        ({"logit_a": [1, 2, np.inf]}, {}, "Expected a finite number in every row, but got an infinity"),
        ({"logit_a": ["1", "2", "upper_95"]}, {}, "Expected a finite number in every row, but got 'upper_95'"),
        ({"label": ["a", "c", "c"]}, {}, r"Expected labels out of a, b, but got 'c' \(2 rows\)"),
        ({"label": ["a", "b", None]}, {}, "Expected a true label in every row"),
        ({"patch_id": ["q1", "q2", "q1"]}, {}, r"Expected each patch once, but got 'q1' in rows 1, 3"),
        (
            {"logit_a": None, "logit_b": None, "probability_a": [0.9, 0.2, 0.5], "probability_b": [0.1, 0.2, 0.5]},
            {},
            r"Expected probabilities that sum to one.*row 2",
        ),
        (
            {"logit_a": None, "logit_b": None, "probability_a": [1.2, 0.2, 0.5], "probability_b": [-0.2, 0.8, 0.5]},
            {},
            "Expected probabilities from 0 to 1",
        ),
    ],
)
def test_predictions_that_cannot_be_used_are_refused_by_row(changes, options, message):
    with pytest.raises(TableError, match=message):
        read_predictions(plain(**changes), **options)


def test_a_run_whose_table_lacks_the_scores_of_a_class_is_refused():
    with pytest.raises(TableError, match="no column 'logit_b'"):
        calibrated_predictions(plain(logit_b=None), {"classes": ["a", "b"], "temperature": 1.0})


def test_an_empty_table_of_predictions_is_refused():
    with pytest.raises(TableError, match="at least one prediction"):
        read_predictions(plain().head(0))


def test_patches_without_a_name_are_no_duplicates():
    assert len(read_predictions(plain(patch_id=None))) == 3
