"""Notices of every page, and the choice of a model across pages, links and sessions."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from app_steps import OF_A_RUN, PAGES, edit_json, errors, rewrite, said, visit
from streamlit.testing.v1 import AppTest

from dashboard import cache
from dashboard.widgets import NOTICE, download_table, format_interval, value_and_bounds
from her2core.runs.export import export_run


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_research_use_only_and_synthetic(demo, page):
    at = visit(page)
    assert errors(at) == []
    assert at.title[0].value == ("HER2 status from H&E patches" if page == "home" else page.capitalize())
    assert said(at.main.caption).count(NOTICE) == 1
    if page not in ("your predictions", "leakage", "runs"):
        assert "trained on synthetic patches" in at.info[0].value


@pytest.mark.parametrize("page", OF_A_RUN)
def test_classes_that_are_no_her2_status_are_called_so(demo, page):
    card = json.loads((demo / "model.card.json").read_text())
    edit_json(demo / "model.card.json", scheme={**card["scheme"], "is_her2": False, "meaning": "tertiles of ERBB2"})
    at = visit(page)
    assert errors(at) == []
    assert "The classes of this model are not a HER2 status: tertiles of ERBB2." in said(at.info)


@pytest.mark.parametrize("page", OF_A_RUN)
def test_without_a_run_the_page_says_what_to_do(models, page):
    at = visit(page)
    assert errors(at) == []
    assert "her2 train" in at.main.info[0].value
    assert "her2 train" in at.sidebar.info[0].value
    assert NOTICE in said(at.main.caption)
    assert not at.main.selectbox
    assert not at.metric


@pytest.mark.parametrize("page", ["patch", "performance", "training"])
@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("model.card.json", "{", "valid JSON"),
        ("model.card.json", "[]", "a JSON object"),
        ("model.card.json", "{}", "no field 'title'"),
        ("run.json", '{"schema_version": 99}', "Update her2core to read it."),
        ("run.json", '{"version": "3"}', "a run of her2core"),
    ],
)
def test_a_broken_run_is_named_in_a_sentence_and_nothing_falls(demo, page, file, content, sentence):
    rewrite(demo / file, content)
    at = visit(page)
    assert errors(at) == []
    (problem,) = [line for line in said(at.sidebar.caption).splitlines() if line.startswith("Not a run: ")]
    assert sentence in problem
    assert demo.name in problem
    assert str(demo.parent) not in problem
    assert "her2 train" in at.main.info[0].value


@pytest.mark.parametrize(
    "path", [("title",), ("limits",), ("scheme",), ("scheme", "is_her2"), ("data", "patches"), ("stain", "reference")]
)
def test_a_card_that_lacks_what_a_page_shows_is_no_run(demo, path):
    card = json.loads((demo / "model.card.json").read_text())
    inner = card
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    rewrite(demo / "model.card.json", json.dumps(card))
    for page in PAGES if path == ("title",) else ("patch", "about"):
        assert errors(visit(page)) == []
    assert f"no field '{'.'.join(path)}'" in said(visit().sidebar.caption)


def test_a_broken_run_beside_a_good_one_does_no_harm(demo, models, tiny_run):
    shutil.copytree(tiny_run.path, models / "broken", copy_function=os.link)
    rewrite(models / "broken" / "model.card.json", "{")
    at = visit()
    assert errors(at) == []
    assert at.sidebar.selectbox[0].options == ["demo"]
    assert "Not a run: " in said(at.sidebar.caption)


def test_a_run_that_went_away_since_it_was_listed(demo):
    at = visit()
    shutil.rmtree(demo)
    at.run()
    (sentence,) = errors(at)
    assert "her2core needs a run folder, but found no such folder" in sentence
    assert "There is no trained model yet." in at.main.info[0].value


def test_the_link_opens_its_run_and_an_unknown_one_is_said(demo, models, tiny_run):
    shutil.copytree(tiny_run.path, models / "other", copy_function=os.link)
    at = visit(run="other")
    assert at.sidebar.selectbox[0].value == "other"
    at.switch_page(PAGES["performance"]).run()
    assert at.sidebar.selectbox[0].value == "other"
    at = visit(run="gone")
    assert errors(at) == []
    assert at.sidebar.selectbox[0].value == "demo"
    assert said(at.sidebar.warning) == "The model in the address was not found; showing demo."
    at.sidebar.selectbox[0].set_value("other").run()
    assert at.sidebar.selectbox[0].value == "other"
    assert not at.sidebar.warning


def test_two_runs_of_one_name_are_both_there_and_the_released_one_first(demo, tmp_path, tiny_run):
    shutil.copytree(tiny_run.path, tmp_path / "runs" / "demo", copy_function=os.link)
    at = visit()
    assert at.sidebar.selectbox[0].options == ["demo", "demo (runs)"]
    names, _ = cache.run_names()
    assert names == {"demo": str(demo), "demo (runs)": str(tmp_path / "runs" / "demo")}


def test_of_a_study_the_runs_that_can_be_served_stand_at_the_end(demo, models, tiny_run):
    study = models / "backbones"
    shutil.copytree(tiny_run.path, study / "kept-seed0", copy_function=os.link)
    export_run(tiny_run.path, study / "reviewed-seed0", weights=False)
    (study / "study.json").write_text("{}")
    names, problems = cache.run_names()
    assert list(names) == ["demo", "kept-seed0 (backbones)"]
    assert problems == []
    assert visit(run="kept-seed0 (backbones)").sidebar.selectbox[0].value == "kept-seed0 (backbones)"


def test_sessions_keep_their_own_run_and_page(demo, models, tiny_run):
    shutil.copytree(tiny_run.path, models / "other", copy_function=os.link)
    first, second = visit(), visit("performance")
    second.sidebar.selectbox[0].set_value("other").run()
    first.run()
    assert first.sidebar.selectbox[0].value == "demo"
    assert first.title[0].value == "Patch"
    assert second.sidebar.selectbox[0].value == "other"
    assert second.title[0].value == "Performance"


def test_intervals_as_text():
    row = pd.Series({"value": 0.5, "lower_95": 0.25, "upper_95": 0.75})
    assert format_interval(row) == "50.0% [25.0%, 75.0%]"
    assert format_interval(pd.Series({"value": 0.5, "lower_95": np.nan, "upper_95": np.nan})) == "50.0% (no interval)"
    nothing = pd.Series({"value": np.nan, "lower_95": np.nan, "upper_95": np.nan})
    assert format_interval(nothing) == "not computable"
    assert value_and_bounds(nothing) == ("-", "not computable")


def test_a_downloaded_table_carries_the_notice_in_every_row(monkeypatch):
    given = {}
    monkeypatch.setattr(st, "download_button", lambda label, data, **more: given.update(label=label, data=data, **more))
    table = pd.DataFrame({"class": ["a", "b"], "n": [1, 2]})
    download_table("Table (CSV)", table, "demo-patch-confusion")
    assert given["file_name"] == "demo-patch-confusion.csv"
    lines = given["data"].decode().splitlines()
    assert lines[0] == "class,n,notice"
    assert len(lines) == 3
    assert all(NOTICE in line for line in lines[1:])
    assert list(table.columns) == ["class", "n"]


def test_what_is_offered_for_download_is_there_already(demo):
    """Deferred files are deleted by other sessions' runs before the browser has fetched them."""
    for page in ("patch", "performance", "about"):
        at = visit(page)
        made = [b for b in at.button if b.label.startswith("Make ")]
        for button in made:
            button.click().run()
        assert errors(at) == []
        buttons = at.get("download_button")
        assert len(buttons) > 2 * len(made)
        assert not [b.label for b in buttons if b.proto.HasField("deferred_file_id") or not b.proto.url]


def test_a_cell_that_a_spreadsheet_would_run_is_shown_as_text():
    """The table's own toolbar exports the cells as they are shown."""

    def script():
        from dashboard.widgets import dataframe

        dataframe([{"=a": "=HYPERLINK(1)", "b": "-0.5 [-1.0, +0.2]"}], "A table")

    (table,) = AppTest.from_function(script).run().dataframe
    assert table.value.to_dict("list") == {"'=a": ["'=HYPERLINK(1)"], "b": ["-0.5 [-1.0, +0.2]"]}


def test_a_fault_of_the_program_is_one_sentence_without_what_it_held():
    def script():
        from dashboard.main import show_failure

        assert show_failure(ValueError("a secret")) is True

    at = AppTest.from_function(script).run()
    (told,) = errors(at)
    assert told.startswith("This is a fault of her2core, not yours: ValueError.")
    assert "secret" not in told
