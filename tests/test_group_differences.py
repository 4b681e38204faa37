"""Differences between groups: Newcombe's intervals at the corrected level, few false statements, small groups named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from her2core.errors import EvaluationError
from her2core.evidence.group_differences import group_differences
from her2core.evidence.inputs import inputs_from_predictions
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.evidence.result_tables import result_table
from her2core.evidence.subgroups import MIN_PATIENTS, subgroup_table


def patients(sizes, *, right=0.8, seed=0, **further) -> Predictions:
    """One row a patient, two classes in turn."""
    rng = np.random.default_rng(seed)
    race = np.repeat(list(sizes), list(sizes.values()))
    label = np.where(np.arange(len(race)) % 2 == 0, "negative", "positive")
    correct = rng.random(len(race)) < right
    other = np.where(label == "negative", "positive", "negative")
    frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(len(race))], "label": label, "race": race})
    return read_predictions(frame.assign(predicted=np.where(correct, label, other), **further))


def newcombe(first, second, level):
    """Method 10 of Newcombe 1998 with scipy's Wilson intervals; each a pair of successes and trials."""
    (a, m), (b, n) = first, second
    one, two = (binomtest(k, of).proportion_ci(level, method="wilson") for k, of in (first, second))
    p, q = a / m, b / n
    return p - q - np.hypot(p - one.low, two.high - q), p - q + np.hypot(one.high - p, q - two.low)


def test_intervals_are_newcombe_s_at_the_level_that_bonferroni_asks():
    p = patients({"asian": 20, "black": 30, "white": 60})
    found = group_differences(p, by="race")
    assert set(found["reference"]) == {"white"}
    assert set(found["comparisons"]) == {2 * (1 + 2 * 2)}
    for row in found[found["metric"] == "recall"].itertuples():
        counts = []
        for group in (row.group, "white"):
            mine = ((p.frame["race"] == group) & (p.labels == p.classes.index(row._6))).to_numpy()
            counts.append((int((p.predicted == p.labels)[mine].sum()), int(mine.sum())))
        expected = newcombe(*counts, level=1 - 0.05 / 10)
        assert (row.lower_simultaneous, row.upper_simultaneous) == pytest.approx(expected, abs=1e-9)


def test_a_large_difference_is_stated_and_equal_groups_rarely_differ():
    far = patients({"a": 60, "b": 60})
    wrong = (far.frame["race"] == "b").to_numpy() & (np.arange(120) % 10 < 8)
    far = read_predictions(
        pd.DataFrame(
            {
                "patient_id": far.frame["patient_id"],
                "race": far.frame["race"],
                "label": np.array(far.classes)[far.labels],
                "predicted": np.array(far.classes)[np.where(wrong, 1 - far.labels, far.labels)],
            }
        )
    )
    assert (group_differences(far, by="race")["statement"] == "differs").all()
    cohorts = [group_differences(patients({"a": 25, "b": 40, "c": 60}, seed=s), by="race") for s in range(80)]
    assert np.mean([(c["statement"] == "differs").any() for c in cohorts]) <= 0.08


def test_small_groups_are_named_and_not_estimated():
    p = patients({"asian": MIN_PATIENTS - 1, "black": 20, "white": 30})
    for table in (subgroup_table(p, by="race").rename(columns={"value": "figure"}),
                  group_differences(p, by="race").rename(columns={"difference": "figure"})):  # fmt: skip
        small = table[table["group"] == "asian"]
        assert small["figure"].isna().all()
        assert set(small["patients"]) == {4}
        assert small["note"].str.startswith("only 4 patients: too few to estimate").all()
        assert table.loc[table["group"] == "black", "figure"].notna().all()
    assert set(group_differences(p, by="race")["comparisons"]) == {1 + 2 * 2}


def test_subgroup_intervals_hold_together():
    p = patients({"asian": 4, "black": 20, "white": 30})
    table = subgroup_table(p, by="race", metrics=["accuracy"]).set_index("group")
    for group in ("black", "white"):
        mine = (p.frame["race"] == group).to_numpy()
        k, n = int((p.predicted == p.labels)[mine].sum()), int(mine.sum())
        for level, bounds in ((0.95, "95"), (0.975, "simultaneous")):  # two groups are estimated
            expected = binomtest(k, n).proportion_ci(level, method="wilson")
            found = table.loc[group, [f"lower_{bounds}", f"upper_{bounds}"]].tolist()
            assert found == pytest.approx([expected.low, expected.high], abs=1e-9)
    assert "lower_simultaneous" not in metric_table(p, metrics=["accuracy"])


def test_means_over_other_classes_are_not_compared():
    """Every positive is missed at both sites, and one of them has none: balanced accuracies of 0.5 and 1 are alike."""
    p = patients({"a": 60, "b": 60}, right=1.0)
    kept = (p.frame["race"] == "a").to_numpy() | (p.labels == 0)
    frame = p.frame.assign(label="negative", predicted="negative")
    frame.loc[p.labels == 1, "label"] = "positive"
    found = group_differences(read_predictions(frame[kept], classes=p.classes), by="race")
    row = found[found["metric"] == "balanced_accuracy"].iloc[0]
    assert (row["value"], row["reference_value"]) == (1.0, 0.5)
    assert (row["statement"], np.isnan(row["difference"])) == ("not compared", True)
    assert row["note"] == "over other classes: no patch is truly positive in one of the two"


def test_what_cannot_be_compared_is_refused_with_the_reason():
    p = patients({"a": 20, "b": 4})
    with pytest.raises(EvaluationError, match="two groups of at least 5 patients, but got a 20, b 4"):
        group_differences(p, by="race")
    two = patients({"a": 20, "b": 20})
    twice = pd.concat([two.frame] * 2).assign(
        label=np.tile(np.array(two.classes)[two.labels], 2), race=["a"] * 40 + ["b"] * 40, patch_id=range(80)
    )
    both = read_predictions(twice.assign(predicted=twice["label"]))
    with pytest.raises(EvaluationError, match="patients in a and in b"):
        group_differences(both, by="race")
    unknown = read_predictions(pd.DataFrame({"label": list("ab") * 9, "predicted": list("ab") * 9, "race": "x"}))
    with pytest.raises(EvaluationError, match="known patients"):
        group_differences(unknown, by="race")


def test_columns_on_people_of_an_uploaded_table_are_groups():
    p = patients({"a": 20, "b": 20}, **{"Age group": ["under 50", "65 and over"] * 20, "Ethnicity": ["x"] * 40})
    inputs = inputs_from_predictions(p)
    found = result_table(inputs, "subgroups")
    assert set(found.frame["by"]) == {"race", "age_group"}
    reasons = found.missing.set_index(["unit", "what"])["reason"]
    assert reasons["patient", "ethnicity"] == "one group only: x"
    differences = result_table(inputs, "group_differences")
    assert set(differences.frame["by"]) == {"race", "age_group"}
