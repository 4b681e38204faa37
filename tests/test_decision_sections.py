"""Three-way curve, ISH tests and predictive values on the pages, in the report and in the figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from app_steps import errors, figure, numbers, said, visit
from cohorts import table

from dashboard.widgets import format_interval
from her2core.evidence.ish_referral import ISH_LABELS, ish_table
from her2core.evidence.predictions import read_predictions
from her2core.evidence.prevalence import PREVALENCE_LABELS, predictive_value_table
from her2core.evidence.three_way import three_way_curve
from her2core.plots.three_way import three_way_description, three_way_figure
from her2core.report.run_report import predictions_report
from her2core.report.run_tables import figure as written
from her2core.report.sections_decisions import decisions

CLASSES = ("negative", "equivocal", "positive")


@pytest.fixture(scope="module")
def predictions():
    return read_predictions(table(n=480, patients=48), classes=CLASSES)


def shown(at, column: str) -> pd.DataFrame:
    """The tables of a page that have a column, side by side."""
    found = [d.value for d in at.dataframe if column in d.value]
    assert found, column
    return pd.concat([f.set_index(column) for f in found], axis=1)


def test_sections_of_decisions_show_their_tables_for_an_uploaded_file(predictions):
    at = visit("your predictions")
    content = table(n=480, patients=48).to_csv(index=False).encode()
    at.file_uploader(key="table").set_value(("theirs.csv", content, "text/csv")).run()
    next(b for b in at.main.button if b.label == "Show the evidence").click().run(timeout=120)
    at.switch_page("pages/evidence/decisions.py").run(timeout=120)
    assert errors(at) == []
    test = predictions.part("test")
    values = predictive_value_table(test, prevalence=0.15).set_index(["class", "metric"])
    page = shown(at, "class")
    names = {**PREVALENCE_LABELS, "ppv": "PPV at 15.0%", "npv": "NPV at 15.0%"}
    for of in CLASSES:
        for metric, label in names.items():
            assert page.loc[of, label] == format_interval(values.loc[(of, metric)])
    tests = ish_table(test, prevalence=0.15).set_index(["policy", "metric"])
    page = shown(at, "policy")
    assert page.loc["most probable class", ISH_LABELS["positives_missed"]] == format_interval(
        tests.loc[("most probable class", "positives_missed")]
    )
    next(n for n in at.number_input if n.label.startswith("Prevalence")).set_value(40.0).run(timeout=60)
    assert "PPV at 40.0%" in shown(at, "class")
    curve = three_way_curve(test, resamples=20)
    harm = sorted(curve["harm"].unique())[len(curve["harm"].unique()) // 2]
    expected = curve[(curve["harm"] == harm) & (curve["strategy"] == "model, three-way")]["value"]
    every = [figure(at, i) for i in range(len(at.get("plotly_chart")))]
    lines = [line for f in every for line in f["data"] if line.get("name") == "model: negative, refer or positive"]
    np.testing.assert_allclose(numbers(lines[0]["y"]), expected)


def test_label_shift_is_made_only_when_asked_and_said(predictions):
    at = visit("your predictions")
    content = table(n=480, patients=48).to_csv(index=False).encode()
    at.file_uploader(key="table").set_value(("shifted.csv", content, "text/csv")).run()
    next(c for c in at.checkbox if c.label == "Correct for label shift").check().run()
    box = next(t for t in at.text_input if t.label.startswith("Class shares"))
    box.set_value("negative=0.8").run()
    next(b for b in at.main.button if b.label == "Show the evidence").click().run(timeout=120)
    assert "a share in training for each of negative, equivocal, positive" in " ".join(errors(at))
    next(t for t in at.text_input if t.label.startswith("Class shares")).set_value(
        "negative=0.6, equivocal=0.2, positive=0.2"
    ).run()
    next(b for b in at.main.button if b.label == "Show the evidence").click().run(timeout=120)
    assert errors(at) == []
    everything = said([*at.main.info, *at.main.caption, *at.main.markdown, *at.main.warning])
    assert "Corrected for label shift (Saerens et al. 2002), as asked" in everything


def test_the_figure_draws_the_table(predictions):
    curve = three_way_curve(predictions.part("test"), harms=[0.05], resamples=20)
    drawn = {line.name: line for line in three_way_figure(curve).data if line.name}
    for strategy, name in (("test every case", "test every case"), ("model, two-way", "model: negative or positive")):
        assert list(drawn[name].y) == pytest.approx(curve.loc[curve["strategy"] == strategy, "value"].tolist())
    text = three_way_description(curve)
    at = curve[(curve["strategy"] == "model, three-way") & (curve["threshold"].round(6) == 0.2)]["value"].iloc[0]
    assert f"{at:.3f} at 20%" in text


def test_the_report_has_the_figures_of_the_tables(predictions):
    report = predictions_report(predictions, name="theirs.csv", resamples=20)
    grids = {block.caption: block for block in decisions(report).blocks if hasattr(block, "caption")}
    curve = report.table("three_way", "patient")
    harms = sorted(curve["harm"].unique())
    caption = next(c for c in grids if c.startswith("Net benefit of three-way decisions by patient"))
    row = next(r for r in grids[caption].rows if r[0].startswith("0.20"))
    at = curve[
        (curve["harm"] == harms[len(harms) // 2])
        & (curve["threshold"].round(6) == 0.2)
        & (curve["strategy"] == "model, three-way")
    ].iloc[0]
    assert row[1].startswith(written(at["value"], at["lower_95"], at["upper_95"]))
    tests = report.table("ish_referral", "patch")
    caption = next(c for c in grids if c.startswith("ISH tests saved against positives missed by patch"))
    assert [r[0].split(" (")[0] for r in grids[caption].rows] == list(dict.fromkeys(tests["policy"]))
    values = report.predictive["patient"].set_index(["class", "metric"])
    caption = next(c for c in grids if c.startswith("Predictive values") and "by patient" in c)
    ppv = values.loc[("positive", "ppv")]
    row = next(r for r in grids[caption].rows if r[0].startswith("positive"))
    assert row[1].startswith(written(ppv["value"], ppv["lower_95"], ppv["upper_95"]))
