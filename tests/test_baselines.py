"""Baselines of a run: their values, the network's difference to them, and where they are shown."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from app_steps import errors, said, visit
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from her2core import open_run
from her2core.data.baseline_features import baseline_features, table_features
from her2core.data.manifest import build_manifest
from her2core.evidence.baselines import (
    BASELINES,
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    BaselineData,
    baseline_sentences,
    baseline_table,
    not_below,
)
from her2core.evidence.predictions import Predictions
from her2core.evidence.statements import UNKNOWN_PATIENTS
from her2core.io.image_properties import image_properties
from her2core.report.run_document import report_document
from her2core.report.run_report import run_report

CLASSES = ("negative", "positive")


def cohort(patients: int = 40, patches: int = 4, seed: int = 0) -> pd.DataFrame:
    """Half of the patients for training and half for the test; one in four is positive."""
    number = np.repeat(np.arange(patients), patches)
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "patch_id": [f"{n}-{i}" for i, n in enumerate(number)],
            "patient_id": [f"P{n}" for n in number],
            "slide_id": [f"S{n}" for n in number],
            "site": rng.permutation(["A", "B"] * (patients // 2))[number],
            "label": np.where(number % 4 == 0, "positive", "negative"),
            "split": np.where(number < patients // 2, "train", "test"),
        }
    )


def network(rows: pd.DataFrame, signal: float, seed: int = 1) -> Predictions:
    """Probabilities whose logit is the class times ``signal`` plus noise."""
    score = signal * np.where(rows["label"] == "positive", 1, -1) + np.random.default_rng(seed).normal(size=len(rows))
    positive = 1 / (1 + np.exp(-score))
    return Predictions.from_frame(rows.assign(probability_negative=1 - positive, probability_positive=positive))


def value(found, baseline: str, metric: str, unit: str = "patch") -> pd.Series:
    frame = found.frame
    return frame[(frame["baseline"] == baseline) & (frame["metric"] == metric) & (frame["unit"] == unit)].iloc[0]


def test_the_majority_class_has_chance_values_and_the_share_of_its_class():
    rows = cohort(patients=160)
    found = baseline_table(network(rows, 0.5), BaselineData(rows, {}))
    share = (rows.loc[rows["split"] == "test", "label"] == "negative").mean()
    assert value(found, "prevalence", "accuracy")["value"] == share
    assert value(found, "prevalence", "balanced_accuracy")["value"] == 0.5
    assert value(found, "prevalence", "macro_auroc")["value"] == 0.5
    assert value(found, "prevalence", "balanced_accuracy", "patient")["statement"] == HIGHER
    assert set(found.missing["what"]) == set(BASELINES) - {"prevalence"}
    assert (found.missing["reason"] != "").all()


def test_a_site_that_goes_with_the_class_beats_a_network_that_knows_nothing():
    rows = cohort()
    rows["site"] = np.where(rows["label"] == "positive", "A", "B")
    found = baseline_table(network(rows, 0), BaselineData(rows, table_features(rows)))
    row = value(found, "site", "balanced_accuracy", "patient")
    assert row["value"] == 1.0
    assert row["statement"] == LOWER
    assert row["difference"] == pytest.approx(row["network"] - 1.0)
    assert row["difference_upper_95"] < 0
    (sentence,) = (s for s in baseline_sentences(found.frame, "patient") if "site only" in s)
    assert "is not shown to beat the baseline site only" in sentence
    beaten = baseline_table(network(cohort(), 4), BaselineData(cohort(), table_features(cohort()))).frame
    assert not any("site only" in sentence for sentence in baseline_sentences(beaten, "patch"))


def test_baselines_that_cannot_be_compared_stand_together_with_their_values():
    rows = [
        {"baseline": name, "unit": "patch", "metric": "balanced_accuracy", "value": value, "network": 0.79}
        for name, value in (("prevalence", 0.08), ("colour", 0.86))
    ]
    (sentence,) = baseline_sentences(pd.DataFrame(rows).assign(statement=UNKNOWN_PATIENTS), "patch")
    assert "network 0.79, majority class 0.08, colour only 0.86 (cannot be compared: patients unknown" in sentence
    assert not_below(pd.DataFrame(rows)) == ["colour only"]


def test_values_are_those_of_a_logistic_regression_fitted_on_the_training_part():
    rows = cohort(seed=3)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(len(rows), 3)) + 0.7 * (rows["label"] == "positive").to_numpy()[:, None]
    colour = pd.DataFrame(x, index=pd.Index(rows["patch_id"]), columns=list("abc"))
    found = baseline_table(network(rows, 1), BaselineData(rows, {"colour": colour}))
    train, test = (rows["split"] == part for part in ("train", "test"))
    centre, spread = np.median(x[train], axis=0), x[train].std(axis=0)
    model = LogisticRegression(class_weight="balanced").fit((x[train] - centre) / spread, rows.loc[train, "label"])
    expected = balanced_accuracy_score(rows.loc[test, "label"], model.predict((x[test] - centre) / spread))
    assert value(found, "colour", "balanced_accuracy")["value"] == pytest.approx(expected, abs=0.011)
    assert found.frame.equals(baseline_table(network(rows, 1), BaselineData(rows, {"colour": colour})).frame)


def test_permuted_labels_stay_near_chance_where_the_colours_tell_the_class():
    rows = cohort(patients=80)
    values = (rows["label"] == "positive").to_numpy(float) + np.random.default_rng(0).normal(0, 0.05, len(rows))
    colour = pd.DataFrame({"red": values}, index=pd.Index(rows["patch_id"]))
    found = baseline_table(network(rows, 0), BaselineData(rows, {"colour": colour}))
    assert value(found, "colour", "balanced_accuracy")["value"] == 1.0
    assert value(found, "colour", "balanced_accuracy")["statement"] == LOWER
    assert value(found, "prevalence", "balanced_accuracy")["statement"] == NO_DIFFERENCE
    rng, runs = np.random.default_rng(0), []
    for _ in range(6):
        noise = pd.DataFrame(rng.normal(size=(len(rows), 3)), index=colour.index)
        runs.append(
            baseline_table(network(rows, 0), BaselineData(rows, {"colour": noise.set_axis(list("abc"), axis=1)}))
        )
    assert abs(np.mean([value(r, "permuted_labels", "balanced_accuracy")["value"] for r in runs]) - 0.5) < 0.1


def test_what_cannot_be_computed_says_why():
    rows = cohort()
    one_site = table_features(rows.assign(site="A"))
    elsewhere = table_features(rows.assign(site=np.where(rows["split"] == "test", "C", rows["site"])))
    reasons = {}
    for name, features in (
        ("one", one_site),
        ("elsewhere", elsewhere),
        ("unknown", table_features(rows.assign(site="unknown"))),
    ):
        missing = baseline_table(network(rows, 1), BaselineData(rows, features)).missing
        reasons[name] = missing.loc[missing["what"] == "site", "reason"].iloc[0]
    assert reasons == {
        "one": "there is only one site",
        "elsewhere": "no site of the test part occurs in the training part",
        "unknown": "the site is unknown in every row",
    }
    no_patients = replace(network(rows, 1), frame=network(rows, 1).frame.assign(patient_id="unknown"))
    found = baseline_table(no_patients, BaselineData(rows.assign(patient_id="unknown"), {}))
    assert set(found.frame["unit"]) == {"patch"}
    assert "a patient id in every row" in found.missing.query("what == 'prevalence'")["reason"].iloc[0]


def test_grade_is_recognised_by_name():
    rows = cohort()
    for name in ("grade", "tumour_grade", "Histologic Grade", "Nottingham", "NHG"):
        assert isinstance(table_features(rows.assign(**{name: 2}))["grade"], pd.DataFrame), name
    for name in ("upgraded", "gradient", "age"):
        assert isinstance(table_features(rows.assign(**{name: 2}))["grade"], str), name


def test_file_properties_come_from_the_files(tmp_path):
    rows = cohort(patients=24, patches=1)
    rng = np.random.default_rng(0)
    for row in rows.itertuples():
        picture = Image.fromarray(rng.integers(90, 200, (32, 32, 3), np.uint8))
        picture.save(tmp_path / f"{row.patch_id}.jpg", quality=60 if row.label == "positive" else 90)
    manifest = build_manifest(rows.assign(path=rows["patch_id"] + ".jpg").drop(columns="split"), root=tmp_path)
    used, features = baseline_features(manifest, rows[["patch_id", "split"]])
    assert features["file_properties"]["JPEG quality"].round().isin([60, 90]).all()
    found = baseline_table(network(rows, 0), BaselineData(used, features))
    assert value(found, "file_properties", "balanced_accuracy", "patient")["value"] == 1.0


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_the_jpeg_quality_is_that_of_the_encoder(quality, tmp_path):
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.jpg", quality=quality)
    assert image_properties(tmp_path / "a.jpg").jpeg_quality == pytest.approx(quality, abs=1.0)


# A run


def test_a_training_computes_them_and_its_page_and_report_show_them(tiny_run, demo):
    found = tiny_run.baselines
    assert set(found["baseline"]) | set(tiny_run.table("missing").query("table == 'baselines'")["what"]) == set(
        BASELINES
    )
    metrics = tiny_run.table("metrics").set_index(["unit", "metric", "class"])["value"]
    for row in found.itertuples():
        assert row.network == pytest.approx(metrics[(row.unit, row.metric, "")], abs=1e-5)
    at = visit("performance")
    assert errors(at) == []
    first = found[(found["unit"] == "patient") & (found["metric"] == "balanced_accuracy")]
    lost = [BASELINES[name] for name in first.loc[first["statement"] != HIGHER, "baseline"]]
    assert lost, "a network of two epochs beats every baseline: the test says nothing"
    warnings = said(at.main.markdown)
    assert all(name in warnings for name in lost)
    inside = next(tab for tab in at.tabs if tab.label == "Baselines")
    assert inside.table or inside.dataframe or inside.markdown
    assert not inside.info
    report = report_document(run_report(tiny_run))
    first = report.sections[0]
    assert first.key == "verdict"
    assert all(name in str(first.blocks) for name in lost)


def test_the_command_computes_them_for_a_finished_run_and_evaluation_keeps_them(
    her2, tiny_run, tiny_manifest, tmp_path
):
    copy = shutil.copytree(tiny_run.path, tmp_path / "run")
    before = open_run(copy).baselines
    (copy / "evaluation" / "baselines.csv").unlink()
    assert open_run(copy).baselines is None
    code, out, err = her2("baselines", copy, "--manifest", tiny_manifest, "--save")
    assert code == 0, err
    assert "permuted labels" in out
    pd.testing.assert_frame_equal(open_run(copy).baselines, before, atol=1e-5)
    code, out, err = her2("evaluate", copy, "--save")
    assert code == 0, err
    again = open_run(copy)
    assert (again.table("missing")["table"] == "baselines").sum() == (
        tiny_run.table("missing")["table"] == "baselines"
    ).sum()
    out = her2("evaluate", copy)[1]
    assert out.index("majority class") < out.index("\nBy patch\n"), "above the figures"
    code, out, err = her2("baselines", copy)
    assert code == 0
    assert "the images were not read" in out
