"""Page Runs: figures, filters, saved views, and status, tags and note of a run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from app_steps import errors, said, visit

import her2core
from her2core import open_run
from her2core.runs.annotations import Annotation, read_annotation, write_annotation
from her2core.runs.views import save_view, saved_views

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def demo(models) -> Path:
    """The released demo run; its files are the repository's own: nothing may write into them."""
    return Path(shutil.copytree(ROOT / "models" / "demo", models / "demo", copy_function=os.link))


def listed(at) -> list[str]:
    return at.dataframe[0].value["Run"].tolist() if at.dataframe else []


def test_the_table_has_figures_with_interval_patients_and_verdict(demo):
    at = visit("runs")
    assert errors(at) == []
    (row,) = at.dataframe[0].value.to_dict("records")
    metrics = open_run(demo).evaluation["metrics"]
    own = metrics[(metrics["unit"] == "patient") & (metrics["metric"] == "balanced_accuracy")].iloc[0]
    assert row["Run"] == demo.name
    assert row["Verdict"] == her2core.verdict(demo).answer
    assert row["Balanced accuracy"] == pytest.approx(100 * own["value"])
    low = own["lower_95"]
    assert row["Balanced accuracy, 95% interval"].startswith("no interval" if pd.isna(low) else f"[{low:.1%}, ")
    assert row["Patients"] == own["n_clusters"]


def test_filters_stand_in_the_address(demo):
    write_annotation(demo, Annotation("candidate", ("site 2",)))
    assert listed(visit("runs", search="DEMO", status="candidate", tags="site 2")) == [demo.name]
    at = visit("runs", status="withdrawn")
    assert listed(at) == []
    assert "No run fits" in said(at.info)
    at = visit("runs", columns="Note")
    assert list(at.dataframe[0].value) == ["Run", "Note"]


def test_a_view_is_saved_and_restored(demo):
    at = visit("runs")
    at.text_input(key="search").set_value("absent").run()
    assert listed(at) == []
    next(box for box in at.text_input if box.label == "Name of the present view").set_value("mine")
    next(b for b in at.button if b.label == "Save the view").click().run()
    assert errors(at) == []
    assert saved_views(demo.parents[1] / "runs")[0]["mine"]["search"] == "absent"
    other = visit("runs")
    assert listed(other) == [demo.name]
    next(b for b in other.button if b.label == "mine").click().run()
    assert other.text_input(key="search").value == "absent"
    assert listed(other) == []
    next(b for b in other.button if b.label == "Delete").click().run()
    assert saved_views(demo.parents[1] / "runs") == ({}, [])


def test_a_setting_of_another_kind_is_left_out(demo):
    save_view(demo.parent, "odd", {"search": ["a list"], "descending": False})
    at = visit("runs")
    next(b for b in at.button if b.label == "odd").click().run()
    assert errors(at) == []
    assert listed(at) == [demo.name]
    assert at.toggle(key="descending").value is False


def test_a_server_for_others_without_sign_in_saves_nothing(demo, monkeypatch):
    monkeypatch.setattr("dashboard.access.LOOPBACK", ())
    at = visit("runs")
    assert errors(at) == []
    assert "without a sign-in" in said(at.caption)
    assert not [b for b in at.button if b.label == "Save the view"]


def test_the_form_writes_beside_the_run(demo, monkeypatch):
    from dashboard import widgets

    drawn = widgets.dataframe
    # A selection in a table cannot be made without a browser.
    monkeypatch.setattr(widgets, "dataframe", lambda *a, **o: (drawn(*a, **o), {"selection": {"rows": [0]}})[1])
    at = visit("runs")
    assert errors(at) == []
    next(box for box in at.selectbox if box.label == "Status").set_value("reference")
    next(box for box in at.text_input if box.label == "Tags").set_value("b, a")
    next(b for b in at.button if b.label == "Save").click().run()
    assert errors(at) == []
    assert read_annotation(demo) == Annotation("reference", ("a", "b"))
