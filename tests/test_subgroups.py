"""Subgroup metrics: those of the rows of a group alone, with warnings for few patients and missing classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from her2core.errors import EvaluationError
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.subgroups import FEW_PATIENTS, MAX_GROUPS, METRICS, subgroup_table

CLASSES = ("negative", "equivocal", "positive")
COUNTED = ["metric", "class", "value", "lower_95", "upper_95", "resampling_unit", "n_clusters", "n"]


def predictions(n=360, patients=36, *, site=None, known=True, **columns) -> Predictions:
    rng = np.random.default_rng(0)
    patient = np.arange(n) % patients
    labels = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    ids = {"site": pd.Series(np.where(patient % 3 == 0, "b", "a") if site is None else np.broadcast_to(site, n))}
    if known:
        ids["patient_id"] = pd.Series(patient).astype("str")
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(id_table(ids, n).assign(**columns), probs, labels, CLASSES)


def test_a_group_s_figures_are_those_of_its_rows_and_patients():
    p = predictions()
    table = subgroup_table(p)
    assert table["group"].unique().tolist() == ["a", "b"]
    assert set(table["by"]) == {"site"}
    for name, patients in (("a", 24), ("b", 12)):
        here = table[table["group"] == name]
        alone = p.where((p.frame["site"] == name).to_numpy())
        expected = metric_table(alone, metrics=METRICS)
        pd.testing.assert_frame_equal(here[COUNTED].reset_index(drop=True), expected[COUNTED].reset_index(drop=True))
        assert set(here["patients"]) == set(here["n_clusters"]) == {patients}
        assert set(here["n"]) == {10 * patients}
        assert set(here["note"]) == {""}
        figures = here.set_index(["metric", "class"])["value"]
        assert figures["accuracy", ""] == pytest.approx(sk.accuracy_score(alone.labels, alone.predicted))
        recall = sk.recall_score(alone.labels, alone.predicted, average=None)
        assert [figures["recall", c] for c in CLASSES] == pytest.approx(list(recall))
        assert figures["macro_auroc", ""] == pytest.approx(
            sk.roc_auc_score(alone.labels, alone.probs, multi_class="ovr")
        )


def test_any_column_of_the_table_makes_groups_also_numbers_and_gaps():
    scanner = np.array([1.0, 2.0, np.nan])[np.arange(360) // 120]
    table = subgroup_table(predictions(scanner=scanner), by="scanner")
    assert table["group"].unique().tolist() == ["1.0", "2.0", "unknown"]
    unknown = table["group"] == "unknown"
    assert table.loc[unknown, "note"].str.startswith("scanner is unknown").all()
    assert not table.loc[~unknown, "note"].str.contains("scanner is unknown").any()


@pytest.mark.parametrize("blank", ["", "  ", None, np.nan])
def test_an_empty_cell_is_an_unknown_group(blank):
    p = predictions(conflict=[blank, "score and status"] * 180)
    table = subgroup_table(p, by="conflict")
    assert table["group"].unique().tolist() == ["score and status", "unknown"]
    unknown = table[table["group"] == "unknown"]
    assert unknown["note"].str.contains("conflict is unknown").all()
    assert set(unknown["n"]) == {180}


@pytest.mark.parametrize(("patients", "few"), [(FEW_PATIENTS - 1, True), (FEW_PATIENTS, False)])
def test_few_patients_are_said(patients, few):
    table = subgroup_table(predictions(patients=patients, site="a"))
    assert table["note"].str.contains(f"only {patients} patients: too few for a reliable estimate").all() == few
    assert set(table["patients"]) == {patients}
    one = subgroup_table(predictions(patients=1, site="a"))
    assert one["note"].str.startswith("only 1 patient: too few").all()


def test_a_group_that_lacks_a_class_says_so_and_has_no_macro_auroc():
    p = predictions()
    site = np.where(p.labels == 1, "a", p.frame["site"])
    table = subgroup_table(predictions(site=site))
    there, lacking = (table[table["group"] == name] for name in "ab")
    assert lacking["note"].str.contains("no patch is truly equivocal: balanced accuracy is over the other").all()
    assert not there["note"].str.contains("no patch").any()
    figures = lacking.set_index(["metric", "class"])["value"]
    assert np.isnan(figures["macro_auroc", ""])
    assert np.isnan(figures["recall", "equivocal"])
    assert figures["balanced_accuracy", ""] == pytest.approx(
        np.mean([figures["recall", c] for c in ("negative", "positive")])
    )


def test_unknown_patients_are_said_and_not_counted():
    table = subgroup_table(predictions(known=False))
    assert table["patients"].isna().all()
    assert table["note"].str.contains("patients unknown; resamples patches").all()


def test_what_makes_no_groups_is_refused_with_the_way_out():
    p = predictions()
    with pytest.raises(EvaluationError, match=r"a column out of patch_id.*got 'scanner'.*add a column scanner"):
        subgroup_table(p, by="scanner")
    with pytest.raises(EvaluationError, match="a site in at least one row, but got unknown in all"):
        subgroup_table(predictions(site="unknown"))
    with pytest.raises(EvaluationError, match=f"at most {MAX_GROUPS} groups, but got 360 different block"):
        subgroup_table(predictions(block=np.arange(360)), by="block")
    with pytest.raises(EvaluationError, match="at least one prediction"):
        subgroup_table(p.where(np.zeros(360, bool)))
