"""Search for weak slices: nothing is named where nothing is weak, and a planted weak site is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from benchmarks.weak_slices import NULL, SITE, Regime, named, simulate
from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.predictions import Predictions
from her2core.evidence.slice_conditions import MIN_PATIENTS, single_conditions, with_pairs
from her2core.evidence.weak_slices import COLUMNS, WEAKER, weak_slices, weak_slices_sentence

HARD = (
    "12 patients",
    "24 patients, very unequal",
    "24 patients, errors of whole patients",
    "24 patients, accuracy 0.97",
)


def small(patients: int, *, each: int = 4, wrong: str = "") -> tuple[Predictions, pd.DataFrame]:
    """Half of the patients of each class at site x, half at y; at the site ``wrong`` every second patch is wrong."""
    patient = np.repeat(np.arange(patients), each)
    label = np.where(patient % 2, "a", "b")
    site = np.where(patient % 4 < 2, "x", "y")
    mistaken = (site == wrong) & (np.arange(len(patient)) % 2 == 0)
    predicted = np.where(mistaken, np.where(label == "a", "b", "a"), label)
    frame = pd.DataFrame({"patient_id": [f"P{i:03}" for i in patient], "label": label, "predicted": predicted})
    return Predictions.from_frame(frame), pd.DataFrame({"site": site})


def test_where_nothing_is_weak_a_subset_is_named_in_at_most_5_percent():
    answers = [named(NULL[regime], seed, resamples=200)[0] for regime in HARD for seed in range(10)]
    # A true share of 5 % exceeds this in one of 10,000 samples.
    assert sum(answers) <= binom.isf(1e-4, len(answers), 0.05)


def test_a_weak_site_is_found():
    answers = [named(Regime(60, lost=0.4, clustering=0.05), seed, resamples=200) for seed in range(4)]
    assert all(found for _, found, _ in answers)


def test_one_patient_of_most_rows_makes_no_subset_of_the_others_weak():
    """All patients are right in 8 of 10 patches but one at site x, who has 2,000 patches, all right."""
    patient = np.r_[np.repeat(np.arange(1, 17), 10), np.zeros(2000, int)]
    right = np.r_[np.tile(np.arange(10) < 8, 16), np.ones(2000, bool)]
    frame = pd.DataFrame({"patient_id": [f"P{i:02}" for i in patient], "label": "a"})
    frame["predicted"] = np.where(right, "a", "b")
    columns = pd.DataFrame({"site": np.where(patient % 2, "y", "x")})
    frame.loc[len(frame)] = ["P16", "b", "b"]
    columns.loc[len(columns)] = ["x"]
    row = weak_slices(Predictions.from_frame(frame), columns).set_index("subset").loc["site = y"]
    assert (row["value"], row["rest"] > 0.99) == (0.8, True)
    assert row["upper_95"] > 0
    assert row["p_value_adjusted"] > 0.05 > row["p_value"]
    assert row["statement"] != WEAKER


def test_the_figures_of_a_subset_are_plain_arithmetic():
    predictions, columns = small(20, wrong="y")
    row = weak_slices(predictions, columns).set_index("subset").loc["site = y"]
    assert (row["value"], row["rest"], row["difference"]) == (0.5, 1.0, -0.5)
    assert (row["n"], row["patients"], row["n_clusters"], row["searched"]) == (40, 10, 20, 2)
    assert row["statement"] == WEAKER
    # Ten patients of equal terms at each site: the terms of y are all negative, those of x all positive by half.
    assert row["p_value"] <= row["p_value_adjusted"] <= 0.05


def test_a_subset_of_a_difficult_class_is_not_weak_by_that():
    patient = np.repeat(np.arange(40), 4)
    label = np.where(patient < 20, "easy", "hard")
    wrong = (label == "hard") & (np.arange(160) % 2 == 0)
    frame = pd.DataFrame(
        {"patient_id": patient.astype(str), "label": label, "predicted": np.where(wrong, "easy", label)}
    )
    score = pd.DataFrame({"ihc": np.where(label == "hard", "2+", "0")})
    assert weak_slices(Predictions.from_frame(frame), score).empty


def test_without_a_weak_subset_the_sentence_says_so():
    predictions, columns = small(20)
    columns["grey"] = np.arange(80) % 13
    predicted = predictions.predicted.copy()
    predicted[[3, 30, 41, 70]] = 1 - predicted[[3, 30, 41, 70]]
    frame = predictions.frame.assign(label=predictions.labels, predicted=predicted)
    found = weak_slices(Predictions.from_frame(frame), columns)
    assert not (found["statement"] == WEAKER).any()
    assert "No weak subset can be shown: of " in weak_slices_sentence(found)
    assert list(found) == list(COLUMNS)


def test_the_same_seed_gives_the_same_table():
    predictions, columns = simulate(Regime(24), 3)
    first, second, other = (weak_slices(predictions, columns, resamples=100, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, second)
    assert not first["p_value"].equals(other["p_value"])


def test_subsets_follow_from_columns_and_have_enough_patients():
    _, columns = simulate(Regime(24), 0)
    patients = np.repeat(np.arange(24), 1 + len(columns) // 24)[: len(columns)]
    found, left_out = with_pairs(single_conditions(columns, patients), patients)
    assert left_out == 0
    assert len({c.rows.tobytes() for c in found}) == len(found)
    for condition in found:
        assert min(len(set(patients[side])) for side in (condition.rows, ~condition.rows)) >= MIN_PATIENTS
        assert 1 <= len(condition.columns) <= 2


def test_unknown_cells_belong_to_no_subset():
    columns = pd.DataFrame({"site": ["unknown"] * 5 + ["a"] * 5 + ["b"] * 5, "grey": [np.nan] * 3 + [*range(12)]})
    found = {c.text: c.rows for c in single_conditions(columns, np.arange(15))}
    assert set(found) == {"site = a", "site = b", "grey at most 5", "grey above 5"}
    assert not found["grey at most 5"][:3].any()
    assert not found["grey above 5"][:3].any()


@pytest.mark.parametrize("patients", [9, 0])
def test_too_few_or_unknown_patients_are_refused(patients):
    predictions, columns = small(max(patients, 10))
    if patients:
        keep = predictions.patients[0] < patients
        predictions, columns = predictions.where(keep), columns[keep]
    else:
        frame = predictions.frame.assign(
            label=predictions.labels, predicted=predictions.predicted, patient_id="unknown"
        )
        predictions = Predictions.from_frame(frame)
    with pytest.raises(EvaluationError, match="at least 10 known patients"):
        weak_slices(predictions, columns)


def test_no_flips_are_refused():
    with pytest.raises(ConfigError, match="resamples"):
        weak_slices(*small(20), resamples=0)


def test_every_regime_of_the_benchmark_has_the_site_that_is_planted():
    assert all(SITE in set(simulate(regime, 0)[1]["site"]) for regime in NULL.values())
