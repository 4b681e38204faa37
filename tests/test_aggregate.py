"""Aggregation of patch predictions to slides and patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cohorts import simulated

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import clusters


@pytest.mark.parametrize(("unit", "column"), [("patient", "patient_id"), ("slide", "slide_id")])
def test_a_unit_has_the_mean_of_its_patches_probabilities(unit, column):
    p = simulated()
    order = np.random.default_rng(0).permutation(len(p))
    for given_rows in (p, p.where(order)):
        a = aggregate(given_rows, unit)
        expected = pd.DataFrame(p.probs).groupby(p.frame[column].to_numpy()).mean()
        assert a.unit == unit
        assert len(a) == len(expected)
        assert set(a.frame["patch_id"]) == set(expected.index)
        np.testing.assert_allclose(a.probs, expected.loc[a.frame["patch_id"]])
        label = dict(zip(p.frame[column], p.labels, strict=True))
        assert [label[i] for i in a.frame["patch_id"]] == list(a.labels)
    assert set(a.frame["split"]) == {"test"}


def test_a_slide_keeps_its_patient_so_that_patients_are_resampled():
    a = aggregate(simulated(), "slide")
    assert a.patients_known
    assert clusters(a).count == 24
    assert len(a) == 48
    assert (a.frame["slide_id"].str.split("s").str[0] == a.frame["patient_id"]).all()


def test_a_patient_on_both_sides_of_the_split_is_one_row_a_side():
    p = simulated(split=["val", "test"] * 120, patients=15)
    a = aggregate(p, "patient")
    assert len(a) == 30
    assert a.frame.groupby("patient_id")["split"].nunique().eq(2).all()


def test_aggregation_is_refused_for_unknown_ids_and_for_several_labels():
    with pytest.raises(EvaluationError, match="Expected a patient id in every row, but got 240 rows without"):
        aggregate(simulated(patient_id="unknown"), "patient")
    p = simulated()
    labels = p.labels.copy()
    labels[0] = (labels[0] + 1) % 3
    mixed = Predictions(p.frame, p.probs, labels, p.classes)
    with pytest.raises(EvaluationError, match="Expected one label per slide, but got 1 with several, the first: p0s0"):
        aggregate(mixed, "slide")
