"""Calibration, decisions, subgroups and leakage pages show their tables, of a run and of an uploaded file."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from app_steps import PAGES, errors, evaluate_again, figure, numbers, said, visit
from cohorts import table

from dashboard.widgets import format_interval, format_number
from her2core.evidence.inputs import inputs_from_folder
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.planning import effective_sample, patients_for_width
from her2core.evidence.result_tables import result_table
from her2core.evidence.run_sets import refit_run_sets
from her2core.runs.folder import open_run
from her2core.runs.provenance import provenance
from her2core.study.leakage import LeakageConfig

EXHIBITS = ("calibration", "decisions", "subgroups")


def brought(rows: int = 240, *, patients: bool = True, validation: bool = True) -> bytes:
    rng = np.random.default_rng(1)
    label = np.arange(rows) // 6 % 2
    p = np.clip(0.5 + (label - 0.5) * 0.6 + rng.normal(0, 0.25, rows), 0.01, 0.99)
    table = pd.DataFrame(
        {"label": np.where(label, "positive", "negative"), "probability_negative": 1 - p, "probability_positive": p}
    )
    if patients:
        table.insert(0, "patient_id", [f"P{i // 6}" for i in range(rows)])
        table["site"] = [f"site {i // 12 % 2}" for i in range(rows)]
    if validation:
        table["split"] = np.where(np.arange(rows) < rows // 2, "val", "test")
    return table.to_csv(index=False).encode()


def bring(data: bytes):
    at = visit("your predictions")
    at.file_uploader(key="table").set_value(("theirs.csv", data, "text/csv")).run()
    next(b for b in at.main.button if b.label == "Show the evidence").click().run(timeout=120)
    assert errors(at) == []
    return at


@pytest.mark.parametrize("unit", ["patch", "patient"])
def test_calibration_is_that_of_the_runs_table(demo, tiny_run, unit):
    at = visit("calibration", unit=unit)
    assert errors(at) == []
    rows = tiny_run.table("calibration").query("unit == @unit")
    whole = rows[rows["class"].fillna("") == ""].set_index(["scores", "metric"])
    shown = at.dataframe[0].value.set_index("metric")
    assert shown.loc["Brier score", "before scaling"] == format_number(whole.loc[("uncalibrated", "brier")])
    after = format_number(whole.loc[("calibrated", "ece_equal_mass")])
    assert shown.loc["ECE, equal-mass bins", "after scaling"] == after
    bins = tiny_run.table("reliability").query("unit == @unit and `class`.isna() or unit == @unit and `class` == ''")
    np.testing.assert_allclose(numbers(figure(at, 0)["data"][0]["y"]), bins["value"])


def test_sets_that_validation_is_too_small_for_are_not_given_and_the_page_says_why(demo):
    at = visit("decisions")
    assert errors(at) == []
    assert "no prediction sets: validation has only 3 patients (9 are needed at 90%)" in said(at.main.info)


def test_decisions_are_those_of_the_runs_tables(demo):
    predictions = table(n=1200, patients=120)
    (demo / "predictions.parquet").unlink()
    predictions.to_parquet(demo / "predictions.parquet", index=False)
    refit_run_sets(demo)
    evaluate_again(demo, predictions)
    tiny_run = open_run(demo)
    at = visit("decisions")
    assert errors(at) == []
    assert "A set of equivocal alone is a referral" in said(at.main.info)
    rows = tiny_run.table("referral").query("unit == 'patch'").set_index(["class", "metric"])
    shown = at.dataframe[0].value.set_index("true class")
    for name, metric in product(tiny_run.classes, rows.index.get_level_values("metric").unique()):
        assert shown.loc[name, metric_label(metric)] == format_interval(rows.loc[(name, metric)])
    curve = tiny_run.table("decisions").query("unit == 'patch' and strategy == 'model'")
    lines = {line.get("name"): line for line in figure(at, 2)["data"]}
    np.testing.assert_allclose(numbers(lines["model"]["y"]), curve["value"])
    assert "referred to IHC/ISH" in said(at.main.caption)


def test_subgroups_are_those_of_the_runs_table_with_a_warning_when_small(demo, tiny_run):
    at = visit("subgroups", groups_by="site")
    assert errors(at) == []
    rows = tiny_run.table("subgroups").query("unit == 'patch' and by == 'site' and metric == 'accuracy'")
    shown = at.dataframe[0].value.set_index("site")
    for _, row in rows.iterrows():
        assert shown.loc[row["group"], "Accuracy"] == format_interval(row)
    assert "Too few patients for a reliable estimate" in said(at.main.warning)


@pytest.mark.parametrize("page", EXHIBITS)
def test_a_run_of_an_older_version_says_what_to_do(demo, page):
    for name in ("calibration", "reliability", "referral", "risk_coverage", "decisions", "subgroups"):
        (demo / "evaluation" / f"{name}.csv").unlink()
    (sentence,) = errors(visit(page))
    assert "her2 evaluate --save" in sentence


def test_a_file_brought_has_the_same_pages(models):
    at = bring(brought())
    for page in EXHIBITS:
        at.switch_page(PAGES[page]).run(timeout=120)
        assert errors(at) == []
        assert at.get("plotly_chart")
    at.switch_page(PAGES["decisions"]).run()
    assert "prediction sets come with a run" in said(at.main.info)


def test_a_file_without_patients_or_validation_is_told_so(models):
    at = bring(brought(patients=False, validation=False))
    at.switch_page(PAGES["calibration"]).run()
    assert errors(at) == []
    assert "single rows are taken as independent" in said(at.main.warning)
    at.switch_page(PAGES["decisions"]).run()
    assert "a validation part to choose a threshold on" in said(at.main.info)
    at.switch_page(PAGES["subgroups"]).run()
    assert "unknown in all" in said(at.main.info)


METRICS = [(metric, "") for metric in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")]
METRICS += list(product(("recall", "one_vs_rest_accuracy"), ("negative", "equivocal", "positive")))


def leakage(folder) -> None:
    """The tables of a finished leakage study; their numbers are made up, the page only shows them."""
    rows = [
        {
            "unit": unit,
            "group": group,
            "metric": metric,
            "class": name,
            "value": value,
            "lower_95": value - 0.1,
            "upper_95": value + 0.08,
            "lowest": value - 0.02,
            "highest": value + 0.02,
            "seeds": 2,
            "resampling_unit": "patient",
            "n_clusters": 30,
            "n": 400,
            "note": "",
        }
        for unit in ("patch", "patient")
        for group, value in (("patch_random", 0.9), ("patient", 0.6))
        for metric, name in METRICS
    ]
    gaps = [
        {
            "unit": r["unit"],
            "group": "patch_random",
            "reference": "patient",
            "metric": r["metric"],
            "role": "primary" if r["metric"] == "balanced_accuracy" else "descriptive",
            "difference": 0.3,
            "lower_95": 0.2,
            "upper_95": 0.4,
            "detectable_difference": 0.2,
            "p_value_holm": 0.01,
            "note": "",
            "statement": "higher than patient" if r["metric"] == "balanced_accuracy" else "",
        }
        for r in rows
        if r["group"] == "patient" and not r["class"]
    ]
    study = LeakageConfig(title="A study", run={"name": "x", "manifest": "x"}, splits=("patch_random", "patient"))
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "leakage.csv", index=False)
    pd.DataFrame(gaps).to_csv(folder / "gaps.csv", index=False)
    facts = {
        "kind": "leakage",
        "classes": ["negative", "equivocal", "positive"],
        "study": study.model_dump(mode="json"),
        "scheme": {"meaning": "m", "is_her2": True},
        "network": {"name": "her2_resnet50"},
        "data": {"facts": {"synthetic": True, "spec": {}}},
        "made": provenance(),
    }
    (folder / "study.json").write_text(json.dumps(facts))


def cross_validated(folder) -> None:
    """The tables of a finished cross-validation of two networks on real tissue; made up as well."""
    leakage(folder)
    figures, gaps = (pd.read_csv(folder / f"{name}.csv") for name in ("leakage", "gaps"))
    designs = {"patch_random": "patch-random", "patient": "patient"}
    parts, changes, folds = [], [], []
    for shift, network in ((0.0, "a"), (-0.05, "a-deep")):
        names = {old: f"{network}-{new}" for old, new in designs.items()}
        parts.append(figures.assign(group=figures["group"].map(names), value=figures["value"] + shift))
        changes.append(gaps.assign(group=names["patch_random"], reference=names["patient"]))
        folds += [(group, 0, fold, f"fold {fold}", 2, 10, 100, 1.0, 10) for group in names.values() for fold in (1, 2)]
    changes.append(gaps.assign(group="a-deep-patient", reference="a-patient"))
    columns = ["group", "seed", "fold", "held_out", "sites", "patients", "patches", "temperature", "patients_negative"]
    pd.concat(parts).to_csv(folder / "cv.csv", index=False)
    pd.concat(changes).to_csv(folder / "differences.csv", index=False)
    pd.DataFrame(folds, columns=columns).to_csv(folder / "folds.csv", index=False)
    facts = json.loads((folder / "study.json").read_text())
    facts["study"] |= {"title": "Real", "reference": "a-patient", "networks": [{"label": "a"}, {"label": "a-deep"}]}
    facts |= {"kind": "cv", "data": {}, "limits": ["Only 20 patients, class confounded with site."]}
    (folder / "study.json").write_text(json.dumps(facts))


def test_real_tissue_comes_first_with_its_limit_above_the_figures_and_a_gap_of_each_network(models):
    leakage(models / "leakage")
    cross_validated(models / "real")
    at = visit("leakage")
    assert errors(at) == []
    assert at.selectbox(key="leakage_study").value == "Real (real)"
    assert "Only 20 patients, class confounded with site." in said(at.main.warning)
    shown, gaps, classes, folds = (table.value for table in at.dataframe[:4])
    assert list(shown["test patches"]) == ["by random patches", "by patient"]
    assert shown["Balanced accuracy"].iloc[0] == "90.0% [80.0%, 98.0%]"
    assert list(gaps["test patches"]) == ["by random patches"]
    assert list(classes["Joshi et al. 2025"]) == ["97.73%", "97.73%", "99.70%", "99.70%", "98.93%", "98.93%"]
    assert list(classes["reading"][:2]) == ["Sensitivity (recall)", "One-vs-rest accuracy"]
    assert list(folds["test patches"].unique()) == ["by random patches", "by patient"]
    (network,) = [box for box in at.selectbox if box.label == "Network"]
    assert network.options == ["a", "a-deep"]
    network.set_value("a-deep").run()
    assert at.dataframe[0].value["Balanced accuracy"].iloc[0].startswith("85.0%")
    at.selectbox(key="leakage_study").set_value("A study (leakage)").run()
    assert errors(at) == []
    assert "synthetic" in said(at.main.info)


def test_the_leakage_page_shows_the_splits_side_by_side(models):
    leakage(models / "leakage")
    at = visit("leakage")
    assert errors(at) == []
    shown = at.dataframe[0].value
    assert list(shown["test patches"]) == ["by random patches", "by patient"]
    assert shown["Balanced accuracy"].iloc[0] == "90.0% [80.0%, 98.0%]"
    assert at.dataframe[1].value["difference from the design by patient (points)"].iloc[0] == "+30.0 [+20.0, +40.0]"
    assert "synthetic" in said(at.main.info)
    assert "+30.0 [+20.0, +40.0] points, higher than by patient" in said(at.main.markdown)
    at.selectbox(key="leakage_metric").set_value("macro_auroc").run()
    assert errors(at) == []


def test_without_a_study_the_page_says_how_to_make_one(models):
    at = visit("leakage")
    assert errors(at) == []
    assert "her2 study leakage" in said(at.main.info)


def test_a_broken_study_is_one_sentence(models):
    leakage(models / "leakage")
    leakage(models / "other")
    (models / "leakage" / "gaps.csv").write_text("a,b\n1,2\n")
    at = visit("leakage")
    assert errors(at) == []
    assert "her2 study leakage --table" in said(at.main.warning)
    assert at.dataframe


def test_a_study_of_networks_stands_on_the_backbones_page(demo, models):
    leakage(models / "study")
    folder = models / "study"
    for old, new, column in (("leakage", "backbones", "group"), ("gaps", "differences", "group")):
        table = pd.read_csv(folder / f"{old}.csv")
        table[column] = table[column].map({"patch_random": "resnet50", "patient": "her2-resnet50"})
        table.assign(reference="her2-resnet50").to_csv(folder / f"{new}.csv", index=False)
        (folder / f"{old}.csv").unlink()
    networks = pd.DataFrame(
        {
            "network": ["her2-resnet50", "resnet50", "huge"],
            "name": ["her2_resnet50", "resnet50", "timm:huge"],
            "init": ["none", "package:some", "none"],
            "frozen": ["", "linear", ""],
            "px": [64, 112, 64],
            "epochs": [6, None, 6],
            "runs": [2, 2, 0],
            "asked": 2,
            "state": ["finished", "finished", "failed"],
            "reason": ["", "", "MemoryError: too large"],
            "train_seconds": [5400.0, None, None],
        }
    )
    networks.to_csv(folder / "networks.csv", index=False)
    costs = pd.DataFrame(
        {
            "network": networks["network"],
            "parameters": [25e6, 23e6, None],
            "flops": [3e9, 2e9, None],
            "memory_bytes": [2**28, 2**27, None],
            "latency_ratio": [1.2, 1.0, None],
            "throughput_ratio": [0.8, 1.0, None],
            "processor": "a processor",
            "reason": ["", "", "too large"],
        }
    )
    costs.to_csv(folder / "costs.csv", index=False)
    facts = json.loads((folder / "study.json").read_text())
    facts |= {"kind": "backbones", "study": {**facts["study"], "reference": "her2-resnet50"}, "warnings": ["a warning"]}
    facts["scheme"] = {**facts["scheme"], "is_her2": True}
    (folder / "study.json").write_text(json.dumps(facts))
    at = visit("backbones", unit="patch")
    assert errors(at) == []
    shown = next(d.value for d in at.dataframe if "result (Holm-adjusted)" in d.value)
    assert list(shown["network"]) == ["resnet50", "her2-resnet50"]
    assert list(shown["result (Holm-adjusted)"]) == ["higher than patient", "reference"]
    assert shown["difference from her2-resnet50 (points)"].iloc[0] == "+30.0 [+20.0, +40.0]"
    assert list(shown["initial weights"]) == ["package:some", "random"]
    assert list(shown["trained"]) == ["last layer (linear)", "all layers"]
    cost = next(d.value for d in at.dataframe if "memory" in d.value)
    assert list(cost["memory"]) == ["256 MiB", "128 MiB"]
    assert "1.5 hours of training in total; 1 with frozen features; 64 and 112 px" in said(at.main.markdown)
    lost = next(d.value for d in at.dataframe if "reason" in d.value)
    assert list(lost["reason"]) == ["MemoryError: too large"]
    assert "a warning" in said(at.main.warning)
    assert "The patches of this study are synthetic" in said(at.main.info)
    assert "not a HER2 status" not in said(at.main.info)
    facts["scheme"] = {**facts["scheme"], "is_her2": False, "meaning": "levels of mRNA"}
    (folder / "study.json").write_text(json.dumps(facts))
    st.cache_data.clear()
    assert "not a HER2 status: levels of mRNA" in said(visit("backbones", unit="patch").main.info)
    at = visit("backbones", unit="slide")
    assert errors(at) == []
    assert "Not available by slide; shown by patient" in said(at.main.caption)


def test_planning_takes_the_run_as_pilot_or_typed_numbers(demo, tiny_run):
    at = visit("planning")
    assert not errors(at)
    test = tiny_run.test_predictions()
    found = effective_sample(test)
    assert found is None or found.sentence in said(at.caption)
    value = {box.label: box.value for box in at.number_input}
    assert value["Expected value (%)"] == pytest.approx(100 * (test.predicted == test.labels).mean(), abs=0.051)
    by_key = {box.label: box for box in at.number_input}
    by_key["Width of the interval (points)"].set_value(10.0)
    by_key["Expected value (%)"].set_value(90.0)
    by_key["Patches per patient"].set_value(25.0)
    by_key["Intraclass correlation"].set_value(0.3).run()
    expected = patients_for_width(0.1, proportion=0.9, patches=25, correlation=0.3)
    assert at.metric[0].value == f"{expected:,}"
    assert figure(at)["data"][1]["x"] == [expected]


def test_subgroups_says_of_sites_what_the_table_does(demo, tiny_run):
    at = visit("subgroups")
    assert errors(at) == []
    inputs = inputs_from_folder(tiny_run.path, tiny_run.card)
    found = result_table(inputs, "between_sites")
    if found.frame.empty:
        assert "Not available: " in said(at.info)
        assert "known sites" in said(at.info)
    else:
        shown = next(d.value for d in at.dataframe if "homogeneity p" in d.value)
        assert shown["sites"].tolist() == found.frame.loc[found.frame["value"].notna(), "sites"].tolist()
