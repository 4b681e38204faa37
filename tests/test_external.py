"""External validation: predictions against the predictor's, differences and drift against statsmodels and by hand."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from app_steps import errors, said, visit
from PIL import Image, ImageEnhance
from scipy.stats import t as student_t
from statsmodels.stats.proportion import confint_proportions_2indep

from her2core import ConfigError, RunError, import_dataset, load_predictor, open_run, read_manifest, validate_external
from her2core.cli import cli
from her2core.data.manifest import build_manifest
from her2core.evidence.drift import drift_sentences, drift_table
from her2core.evidence.external import external_statement, external_table
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import read_predictions
from her2core.labels import declared_scheme
from her2core.runs.export import export_run


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Nine other synthetic patients with two patches each, darker, at sites of their own."""
    root = tmp_path_factory.mktemp("elsewhere")
    made = import_dataset("demo", root / "made", patients=9, patches_per_patient=2, px=64, seed=77, workers=1)
    for path in made.frame["path"]:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        ImageEnhance.Brightness(Image.open(made.file(path))).enhance(0.7).save(target)
    frame = made.frame.drop(columns="mask_path")
    for name in ("patient_id", "slide_id", "site"):
        frame[name] = "E" + frame[name]
    return build_manifest(frame, root=root, scheme=made.scheme, facts=made.facts).write(root / "manifest.parquet")


@pytest.fixture(scope="module")
def validated(tiny_run, elsewhere, tmp_path_factory):
    out = tmp_path_factory.mktemp("external") / "tiny-on-elsewhere"
    return validate_external(tiny_run, elsewhere, out=out)


def test_the_predictions_are_those_of_the_served_model(validated, tiny_run, elsewhere):
    cohort = read_manifest(elsewhere)
    served = load_predictor(tiny_run).predict([cohort.file(p) for p in cohort.frame["path"]], mpp=0.7)
    test = validated.test_predictions()
    assert list(test.frame["patch_id"]) == list(cohort.frame["patch_id"])
    expected = np.array([p.probabilities for p in served])
    np.testing.assert_allclose(test.probs, expected, atol=2e-6)
    assert list(np.array(test.classes)[test.labels]) == list(cohort.frame["label"])
    marked = ["yes" if "out_of_distribution" in p.flags else "no" for p in served]
    assert validated.dataset.query("split == 'test'")["out_of_distribution"].tolist() == marked


def test_training_and_validation_are_those_of_the_run_and_nothing_is_fitted(validated, tiny_run):
    parts = validated.dataset.groupby("split")["patch_id"].nunique()
    own = tiny_run.dataset.groupby("split")["patch_id"].nunique()
    assert (parts["train"], parts["val"], parts["test"]) == (own["train"], own["val"], 18)
    assert validated.card["temperature"] == tiny_run.card["temperature"]
    assert validated.card["prediction_sets"] == tiny_run.card["prediction_sets"]
    assert validated.card["external"]["weights_sha256"] == tiny_run.card["weights_sha256"]
    assert not validated.has_weights
    assert validated.card["limits"][0].startswith("External validation of ")
    points, before = validated.table("operating_points"), tiny_run.table("operating_points")
    key = ["unit", "class", "rule"]
    joined = points.drop_duplicates(key).merge(before.drop_duplicates(key), on=key)
    assert len(joined)
    np.testing.assert_allclose(joined["threshold_x"], joined["threshold_y"])


def test_differences_are_movers(validated, tiny_run):
    table = validated.table("external")
    own, other = (metric_table(p.test_predictions(), metrics=["accuracy"]).iloc[0] for p in (tiny_run, validated))
    row = table.query("unit == 'patch' and metric == 'accuracy'").iloc[0]
    assert (row["development"], row["external"]) == pytest.approx((own["value"], other["value"]), abs=1e-6)
    change = other["value"] - own["value"]
    low = change - np.hypot(other["value"] - other["lower_95"], own["upper_95"] - own["value"])
    high = change + np.hypot(other["upper_95"] - other["value"], own["value"] - own["lower_95"])
    assert (row["difference"], row["lower_95"], row["upper_95"]) == pytest.approx((change, low, high), abs=2e-6)
    assert set(table["unit"]) == {"patch", "patient"}


def test_means_over_other_classes_are_not_compared():
    frame = pd.DataFrame({"label": list("aabb") * 10, "predicted": list("aaab") * 10})
    frame["patient_id"] = [f"P{i}" for i in range(40)]
    own = read_predictions(frame)
    other = read_predictions(frame[frame["label"] == "a"], classes=own.classes)
    table = external_table(own, other, metrics=["accuracy", "balanced_accuracy"]).set_index(["unit", "metric"])
    assert table.loc["patient", "difference"].round(2).fillna(-9).tolist() == [0.25, -9]
    said = external_statement(table.reset_index(), unit="patient")
    assert said.startswith("Balanced accuracy by patient cannot be compared with development: over other classes: no")


def test_shares_of_few_patients_rarely_drift_by_chance():
    rng = np.random.default_rng(1)
    p = []
    for _ in range(200):
        cohorts = [
            pd.DataFrame({"patient_id": [f"{n}-{i}" for i in range(n)], "of": rng.random(n) < 0.2}) for n in (3, 50)
        ]
        p.append(drift_table(*cohorts, kinds=pd.Series({"of": "class share"}))["p_value_holm"].iloc[0])
    assert np.mean(np.array(p) < 0.05) <= 0.08  # 0.6 by Welch's t, as 3 patients who are alike have no variance


def test_drift_of_shares_is_newcombes_and_of_means_welchs():
    rng = np.random.default_rng(5)
    first = pd.DataFrame({"patient_id": [f"a{i // 3}" for i in range(60)], "mean R": rng.normal(0, 1, 60)})
    other = pd.DataFrame({"patient_id": [f"b{i // 2}" for i in range(30)], "mean R": rng.normal(2, 2, 30)})
    first["labelled positive"] = [float(i // 3 < 5) for i in range(60)]
    other["labelled positive"] = [float(i // 2 < 9) for i in range(30)]
    table = drift_table(first, other, kinds=pd.Series({"labelled positive": "class share", "mean R": "image"}))
    share, image = (row for _, row in table.iterrows())
    low, high = confint_proportions_2indep(9, 15, 5, 20, method="newcomb", compare="diff")
    assert (share["lower_95"], share["upper_95"]) == pytest.approx((low, high))
    a, b = (of.groupby("patient_id")["mean R"].mean() for of in (first, other))
    va, vb = a.var() / 20, b.var() / 15
    degrees = (va + vb) ** 2 / (va**2 / 19 + vb**2 / 14)
    half = student_t.ppf(0.975, degrees) * np.sqrt(va + vb)
    change = b.mean() - a.mean()
    assert (image["lower_95"], image["upper_95"]) == pytest.approx((change - half, change + half))
    assert image["standardised_difference"] == pytest.approx(change / np.sqrt((a.var() + b.var()) / 2))
    assert drift_sentences(table) == (
        f"Image properties differ from development: mean R ({image['standardised_difference']:+.1f} standard "
        "deviations).",
    )


def test_drift_without_known_patients_or_with_few_has_no_interval():
    first = pd.DataFrame({"patient_id": list("aabbccdd"), "mean R": range(8)})
    kinds = pd.Series({"mean R": "image"})
    unknown = drift_table(first, first.assign(patient_id="unknown"), kinds=kinds).iloc[0]
    assert unknown["note"].startswith("no interval: patients unknown")
    few = drift_table(first, first.iloc[:4].assign(patient_id=list("eeff")), kinds=kinds).iloc[0]
    assert few["note"].startswith("no interval: only 2 patients in one cohort")
    same = drift_table(first.assign(**{"mean R": 1.0}), first.assign(**{"mean R": 1.0}), kinds=kinds).iloc[0]
    assert same["note"].startswith("no interval: the same")
    assert np.isnan([unknown["lower_95"], few["lower_95"], same["lower_95"]]).all()
    assert drift_sentences(pd.DataFrame([unknown, few, same])) == ()


def test_darker_images_are_named_as_drift(validated):
    table = validated.table("drift").set_index("property")
    assert table.loc["mean R", "standardised_difference"] > 0.8  # optical density
    assert any(said.startswith("Image properties differ") for said in drift_sentences(validated.table("drift")))


def test_the_command_predicts_evaluates_and_says_both(tiny_run, elsewhere, tmp_path, capsys):
    out = tmp_path / "new"
    cli.main(
        ["evaluate", str(tiny_run.path), "--on", str(elsewhere), "--out", str(out), "--json"], standalone_mode=False
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["external"]["run"] == tiny_run.name
    assert len(answer["external"]["drift"]) == len(open_run(out).table("drift"))
    cli.main(["evaluate", str(out)], standalone_mode=False)
    text = capsys.readouterr().out
    assert f"Against the test part of {tiny_run.name}" in text
    with pytest.raises(ConfigError, match="a folder that does not exist yet"):
        validate_external(tiny_run, elsewhere, out=out)
    command = ["evaluate", str(tiny_run.path), "--on", str(elsewhere), "--save"]
    with pytest.raises(ConfigError, match="--on without --save"):
        cli.main(command, standalone_mode=False)


def test_patients_of_the_development_data_are_named_first(tiny_run, elsewhere, tmp_path):
    cohort = read_manifest(elsewhere)
    frame = cohort.frame.copy()
    known = tiny_run.dataset["patient_id"].iloc[0]
    frame.loc[frame["patient_id"] == frame["patient_id"].iloc[0], "patient_id"] = known
    same = build_manifest(frame, root=cohort.root, scheme=cohort.scheme, facts=cohort.facts)
    run = validate_external(tiny_run, same, out=tmp_path / "same")
    assert run.warnings[0].startswith(f"Not external for 1 patient (such as {known})")


def test_the_cohort_that_was_trained_on_is_no_external_one(tiny_run, tiny_manifest, tmp_path):
    run = validate_external(tiny_run, tiny_manifest, out=tmp_path / "own")
    assert run.warnings[0].startswith("This is the data set that the run was trained on")


def test_what_cannot_be_evaluated_is_refused(tiny_run, elsewhere, tmp_path):
    cohort = read_manifest(elsewhere)
    foreign = build_manifest(cohort.frame.assign(label=["low", "high"] * 9), root=cohort.root)
    with pytest.raises(ConfigError, match="labels out of negative, equivocal, positive, the classes of .*high, low"):
        validate_external(tiny_run, foreign, out=tmp_path / "foreign")
    export_run(tiny_run.path, tmp_path / "review", weights=False)
    with pytest.raises(RunError, match="a run with its weights"):
        validate_external(tmp_path / "review", elsewhere, out=tmp_path / "no")
    assert not (tmp_path / "foreign").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_class_that_the_cohort_lacks_and_classes_of_another_meaning_are_said(tiny_run, elsewhere, tmp_path):
    cohort = read_manifest(elsewhere)
    kept = cohort.frame[cohort.frame["label"] != "equivocal"].reset_index(drop=True)
    scheme = declared_scheme("other", cohort.classes, "final HER2 status")
    run = validate_external(
        tiny_run, build_manifest(kept, root=cohort.root, scheme=scheme, facts=cohort.facts), out=tmp_path / "lacking"
    )
    assert any(said.startswith("The classes were defined differently.") for said in run.warnings)
    assert any(said.startswith("This cohort has no patch of equivocal") for said in run.warnings)
    table = run.table("external").query("unit == 'patch' and metric == 'balanced_accuracy'")
    assert table["lower_95"].isna().all()


def test_external_figures_by_patch_only_where_patients_are_unknown(validated, tiny_run):
    p = validated.test_predictions()
    unknown = type(p)(p.frame.assign(patient_id="unknown"), p.probs, p.labels, p.classes)
    table = external_table(tiny_run.test_predictions(), unknown, metrics=["accuracy"])
    assert table["unit"].tolist() == ["patch"]
    assert "external: patients unknown" in table["note"].iloc[0]


def test_the_page_shows_both_cohorts_and_says_so_of_other_runs(validated, tiny_run, models):
    shutil.copytree(validated.path, models / "external")
    shutil.copytree(tiny_run.path, models / "own")
    at = visit("external validation", run="external")
    assert errors(at) == []
    assert at.dataframe[0].value["metric"].tolist()[0] == "Accuracy"
    assert "Image properties differ" in " ".join(w.value for w in at.warning)
    at = visit("external validation", run="own")
    assert errors(at) == []
    assert "her2 evaluate" in at.code[0].value
    assert "own test part" in said(at.info)
