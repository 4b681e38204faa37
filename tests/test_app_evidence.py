"""The evidence pages show the metrics of the run's tables by the selected unit."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from app_steps import (
    edit_json,
    errors,
    evaluate_again,
    figure,
    numbers,
    rename_classes,
    rewrite,
    said,
    unescaped,
    visit,
)

from dashboard.widgets import format_interval
from her2core.cli import cli
from her2core.data.splits import PATCH_RANDOM_WARNING
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.misclassified import confusion_cell, misclassified
from her2core.evidence.thresholds import RATES


def test_figures_are_those_of_the_runs_tables(demo, tiny_run):
    at = visit("performance")
    assert errors(at) == []
    labels = ["Accuracy", "Balanced accuracy", "Macro F1", "Macro AUROC"]
    shown_figures = [m for m in at.metric if m.label in labels]
    assert [m.label for m in shown_figures] == labels
    metrics = tiny_run.table("metrics").query("unit == 'patient'").set_index(["metric", "class"])
    for shown, name in zip(shown_figures, ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"), strict=True):
        row = metrics.loc[name].iloc[0]
        assert shown.value == f"{row['value']:.1%}"
        bounds = "(no interval)" if np.isnan(row["lower_95"]) else f"[{row['lower_95']:.1%}, {row['upper_95']:.1%}]"
        assert shown.delta == bounds
    assert f"Test set: {int(metrics['n'].iloc[0])} patients." in said(at.main.caption)
    assert said(at.main.warning).startswith("Intervals: ")


def test_both_readings_of_class_specific_accuracy_stand_by_name(demo, tiny_run):
    at = visit("performance")
    table = at.dataframe[0].value
    assert list(table["class"]) == list(tiny_run.classes)
    assert {"Sensitivity (recall)", "One-vs-rest accuracy"} <= set(table.columns)
    rows = tiny_run.table("metrics").query("unit == 'patient'").set_index(["metric", "class"])
    for column, metric in (("Sensitivity (recall)", "recall"), ("One-vs-rest accuracy", "one_vs_rest_accuracy")):
        assert list(table[column]) == [format_interval(rows.loc[metric, c]) for c in tiny_run.classes]
    assert "two readings in the literature" in said(at.main.caption)
    for metric in ("one_vs_rest_accuracy", "auroc"):
        at.selectbox(key="per_class_metric").set_value(metric).run()
        assert errors(at) == []
        points = figure(at, 2)["data"]
        assert [p["y"][0] for p in points] == list(tiny_run.classes)
        expected = [rows.loc[metric, c]["value"] for c in tiny_run.classes]
        np.testing.assert_allclose([numbers(p["x"])[0] for p in points], expected)


def test_confusion_stands_twice_as_counts_and_as_percent(demo, tiny_run):
    at = visit("performance")
    assert [m.value for m in at.main.markdown if m.value.startswith(("**Counts", "**Percentage"))] == [
        "**Counts**",
        "**Percentage of the true class**",
    ]
    stored = tiny_run.table("confusion").query("unit == 'patient'")
    counts = stored["count"].to_numpy().reshape(3, 3)
    cells = figure(at, 0)["data"][0]
    assert [[int(t) for t in row] for row in cells["text"]] == counts.tolist()
    cells = figure(at, 1)["data"][0]
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert cells["text"] == [[f"{v:.0%}" for v in row] for row in shares]
    offered = [b.label for b in at.get("download_button")]
    assert {"Confusion table (CSV)", "All metrics (CSV)", "Operating point (CSV)"} <= set(offered)
    assert {"ROC curves (CSV)", "Precision-recall curves (CSV)"} <= set(offered)


@pytest.mark.parametrize("unit", ["patch", "slide", "patient"])
def test_the_unit_switch_changes_every_number(demo, tiny_run, unit):
    at = visit("performance")
    switch = at.get("button_group")[0]
    assert switch.options == ["patch", "slide", "patient"]
    assert switch.value == "patient"
    switch.set_value(unit).run()
    assert errors(at) == []
    metrics = tiny_run.table("metrics").query("unit == @unit")
    n = int(metrics["n"].iloc[0])
    assert f"Test set: {n} {'patches' if unit == 'patch' else unit + 's'}." in said(at.main.caption)
    accuracy = metrics.loc[metrics["metric"] == "accuracy", "value"].iloc[0]
    assert next(m.value for m in at.metric if m.label == "Accuracy") == f"{accuracy:.1%}"
    cells = figure(at, 0)["data"][0]
    assert sum(int(t) for row in cells["text"] for t in row) == n


def test_pressing_the_chosen_unit_again_does_not_leave_the_page_without_one(demo):
    at = visit("performance")
    at.get("button_group")[0].set_value(None).run()
    assert errors(at) == []
    assert at.metric


def test_warnings_of_the_run_travel_with_its_figures(demo):
    edit_json(demo / "run.json", warnings=[PATCH_RANDOM_WARNING])
    at = visit("performance")
    assert errors(at) == []
    assert at.subheader[0].value == "Can this number be believed?"
    first_table = next(m.value for m in at.main.markdown if "| Grade |" in m.value)
    assert PATCH_RANDOM_WARNING.rstrip(".") in unescaped(first_table)


def test_a_unit_that_cannot_be_assessed_says_why(demo, tiny_run):
    evaluate_again(demo, tiny_run.predictions.assign(patient_id="unknown"))
    at = visit("performance")
    assert errors(at) == []
    assert at.get("button_group")[0].options == ["patch", "slide"]
    assert "a patient id in every row" in said(at.main.caption)
    assert "patients unknown; resamples slides, which are not independent" in said(at.main.warning)


def test_what_cannot_be_computed_is_not_a_number(demo, tiny_run):
    """No equivocal patch in the test part: its recall and the mean AUROC do not exist."""
    frame = tiny_run.predictions
    evaluate_again(demo, frame[(frame["split"] != "test") | (frame["label"] != "equivocal")])
    at = visit("performance")
    assert errors(at) == []
    shown = {m.label: m.value for m in at.metric}
    assert shown["Macro AUROC"] == "-"
    assert next(m.delta for m in at.metric if m.label == "Macro AUROC") == "not computable"
    table = at.dataframe[0].value.set_index("class")
    assert table.loc["equivocal", "Sensitivity (recall)"] == "not computable"
    cells = figure(at, 1)["data"][0]
    assert cells["text"][1] == ["", "", ""]


def test_classes_named_by_numbers(demo, tiny_run):
    """IHC 0 and the like: read back as text, not as 0.0."""
    names = dict(zip(tiny_run.classes, ("0", "1", "2"), strict=True))
    evaluate_again(demo, rename_classes(demo, tiny_run.predictions, names))
    for page in ("patch", "errors", "backbones", "dataset", "performance"):
        at = visit(page)
        assert errors(at) == []
    assert list(at.dataframe[0].value["class"]) == ["0", "1", "2"]
    assert figure(at, 0)["layout"]["xaxis"]["type"] == "category"


def test_a_run_without_evaluation_says_the_command_that_makes_it(demo):
    shutil.rmtree(demo / "evaluation")
    at = visit("performance")
    (sentence,) = errors(at)
    assert sentence.endswith(f"Run: her2 evaluate --save models/{demo.name}")
    assert not at.metric
    cli.main(["evaluate", str(demo), "--save"], standalone_mode=False)
    at.run()
    assert errors(at) == []
    assert at.metric


@pytest.mark.parametrize("table", ["metrics", "confusion", "units"])
@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", b"\xff\xfe\x00", "unit,metric\n"], ids=["empty", "foreign", "bytes", "head"]
)
def test_a_broken_evaluation_is_one_sentence(demo, table, content):
    rewrite(demo / "evaluation" / f"{table}.csv", content)
    at = visit("performance")
    (sentence,) = errors(at)
    assert f"{table}.csv" in sentence
    assert not at.metric


def test_data_partition_and_limits_are_told(demo, tiny_run):
    edit_json(demo / "model.card.json", limits=["It knows nothing of tissue."])
    at = visit("performance")
    assert errors(at) == []
    inside = next(tab for tab in at.tabs if tab.label == "Data and maps")
    assert "Split **by patient**." in said(inside.markdown)
    assert "- It knows nothing of tissue." in said(inside.markdown)
    table = inside.dataframe[0].value.set_index("split")
    parts = tiny_run.card["data"]["patches"]
    assert {part: table.loc[part].to_dict() for part in parts} == parts


def test_a_cell_shows_its_patches_with_their_maps(demo, tiny_run):
    found = confusion_cell(tiny_run.test_predictions(), true="negative", predicted=tiny_run.classes[0])
    at = visit("performance", unit="patch", cell=f"negative as {tiny_run.classes[0]}")
    assert errors(at) == []
    assert at.selectbox(key="cell").value == f"negative as {tiny_run.classes[0]}"
    assert list(at.dataframe[0].value["patch_id"]) == list(found["patch_id"])
    pictures = [image for image in at.image if len(image.captions) >= 2]
    assert len(pictures) == min(6, len(found))
    assert "synthetic patches: generated images, not tissue." in said(at.main.info)


def test_units_above_the_patch_say_where_pictures_are(demo):
    at = visit("performance", cell="negative as negative")
    assert "set the unit of analysis to patch" in said(at.main.caption)
    assert not at.image


def test_errors_are_the_most_confident_first_and_can_be_filtered(demo, tiny_run):
    predictions = tiny_run.test_predictions()
    expected = misclassified(predictions)
    assert len(expected) > 1
    at = visit("errors")
    assert errors(at) == []
    shown = at.dataframe[0].value
    assert list(shown["patch_id"]) == list(expected["patch_id"])
    assert list(shown["probability_predicted"]) == sorted(shown["probability_predicted"], reverse=True)
    patient = expected["patient_id"].iloc[0]
    at.multiselect(key="errors_patient_id").set_value([patient]).run()
    assert errors(at) == []
    assert set(at.dataframe[0].value["patient_id"]) == {patient}


def test_a_run_without_a_mistake_is_said(demo, tiny_run):
    frame = tiny_run.predictions
    right = {f"logit_{c}": (frame["label"] == c).astype("float32") * 9 for c in tiny_run.classes}
    evaluate_again(demo, frame.assign(**right))
    assert "of the test set is misclassified" in said(visit("errors").main.success)


def test_threshold_explorer_counts_at_the_threshold(demo, tiny_run):
    at = visit("performance", unit="patch")
    predictions = tiny_run.test_predictions()
    shown = {m.label: m.value for m in at.metric}
    of = next(box for box in at.selectbox if box.label == "Positive class").value
    cut = at.slider[0].value
    called = predictions.probs[:, tiny_run.classes.index(of)] >= cut
    assert shown[metric_label(RATES[-1])] == f"{called.mean():.1%}"


@pytest.mark.parametrize("page", ["performance", "errors", "backbones", "dataset", "patch", "about"])
@pytest.mark.parametrize(
    "query",
    [
        {"unit": "<script>alert(1)</script>", "errors_view": "planet"},
        {"cell": "a as b", "cost": "../../etc", "first": "x", "second": "y", "by": "z", "counted": "q"},
        {"run": "../../../etc/passwd", "patch": "../../../etc/passwd"},
        {"errors_true": "nobody", "errors_patient_id": "'; drop table", "unit": "patch,slide"},
        {"patch": "**a**" * 5000, "run": "\u202e\x00"},
    ],
    ids=["unit", "choices", "paths", "filters", "long"],
)
def test_a_hostile_address_harms_no_page(demo, page, query):
    at = visit(page, **query)
    assert len(errors(at)) <= 1
    for sentence in errors(at):
        assert "Traceback" not in sentence
        assert len(sentence) < 2500
    assert at.title[0].value == page.capitalize()


def test_scores_of_the_maps_stand_on_the_page_where_they_were_measured(demo):
    assert "Evaluation of the class-activation maps" not in [h.value for h in visit("performance").subheader]
    table = pd.DataFrame(
        {
            "method": ["gradcam", "chance"],
            "measure": "overlap",
            "value": [0.5, 0.25],
            "lower_95": [0.4, 0.2],
            "upper_95": [0.6, 0.3],
            "n": 12,
            "n_clusters": 12,
            "note": "",
        }
    )
    table.to_csv(demo / "evaluation" / "maps.csv", index=False)
    at = visit("performance")
    assert errors(at) == []
    assert "Evaluation of the class-activation maps" in [h.value for h in at.subheader]
    shown = next(d.value for d in at.dataframe if "overlap" in d.value.columns)
    assert list(shown.index) == ["Grad-CAM", "chance"]
    assert shown.loc["Grad-CAM", "overlap"] == "0.50 [0.40, 0.60]"
