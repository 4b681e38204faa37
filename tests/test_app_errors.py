"""Views of the errors page: two models, weak slices and the feature map; the unit is kept from page to page."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from app_steps import errors, figure, said, visit

from dashboard.navigation import KEPT
from dashboard.views.errors import FILTERS
from her2core import open_run
from her2core.evidence.disagreement import outcome_counts, paired_rows

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def demo(models) -> Path:
    """The released demo run; its files are the repository's own: nothing may write into them."""
    return Path(shutil.copytree(ROOT / "models" / "demo", models / "demo", copy_function=os.link))


def test_without_a_model_of_the_same_cases_the_page_says_how_to_get_one(demo):
    at = visit("errors", errors_view="Two models", unit="patient")
    assert errors(at) == []
    assert "No other model was tested on the same cases" in said(at.info)


def test_two_models_are_compared_on_the_same_cases(demo, models):
    other = Path(shutil.copytree(ROOT / "models" / "study" / "demo-resnet50", models / "other", copy_function=os.link))
    at = visit("errors", errors_view="Two models", unit="patch")
    assert errors(at) == []
    first, second = (open_run(path).test_predictions() for path in (demo, other))
    expected = outcome_counts(paired_rows(first, second))
    table = at.dataframe[0].value
    assert table[""].tolist()[:2] == ["demo right, other wrong", "demo wrong, other right"]
    assert table["patches"].tolist() == expected["n"].tolist()
    assert len(at.dataframe[1].value) == expected["n"][0]


def test_weak_slices_say_that_none_can_be_shown(demo):
    at = visit("errors", errors_view="Weak slices", unit="patient")
    assert errors(at) == []
    assert "No weak subset can be shown: of " in said(at.info)
    table = at.dataframe[0].value
    assert set(table["statement"]) == {"no difference can be shown"}
    assert table["patients"].between(5, 19).all()


def test_the_feature_map_has_a_point_for_each_test_patch(demo):
    at = visit("errors", errors_view="Feature map")
    assert errors(at) == []
    points = figure(at)["data"]
    ids = [name for trace in points for name in trace["customdata"]]
    predictions = open_run(demo).test_predictions()
    assert sorted(ids) == sorted(predictions.frame["patch_id"])
    crosses = [name for t in points for name, s in zip(t["customdata"], t["marker"]["symbol"], strict=True) if s == "x"]
    wrong = predictions.frame.loc[predictions.predicted != predictions.labels, "patch_id"]
    assert sorted(crosses) == sorted(wrong)
    assert "Only neighbourhoods can be read" in said(at.main.caption)


def test_unit_and_filter_stand_once_in_the_address_and_are_kept(demo):
    assert {"run", "unit", *(f"errors_{name}" for name in FILTERS)} <= set(KEPT)
    for page in ("errors", "calibration", "subgroups", "decisions", "performance"):
        at = visit(page, unit="patient")
        assert errors(at) == []
        assert at.get("button_group")[0].value == "patient", page
        assert [name for name in at.query_params if name.endswith("unit")] == ["unit"]


def test_the_order_of_the_cases_stands_in_the_address(demo):
    at = visit("errors", errors_order="Least confident first")
    assert errors(at) == []
    table: pd.DataFrame = at.dataframe[0].value
    assert table["probability_predicted"].is_monotonic_increasing
