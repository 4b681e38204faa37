"""Reporting guidelines: every item is assessed from the content of the report only."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from cohorts import read

from her2core import open_run
from her2core.errors import ConfigError
from her2core.evidence.partition import partition_of_run
from her2core.report.checklist import CHECKLISTS, CLAIM, STATES, TRIPOD, fill, read_checklist, read_rules
from her2core.report.checklist_facts import facts_of
from her2core.report.document import Grid, Words
from her2core.report.run_report import RunReport, predictions_report, run_report
from her2core.report.sections import TITLES, where
from her2core.report.sections_end import checklists

ROOT = Path(__file__).resolve().parents[1]
#: Items on how the data were divided, and on what can be claimed under that.
PARTITION = {"TRIPOD+AI 2024": {"12a"}, "CLAIM 2024 update": {"19", "20", "32", "38"}}


@pytest.fixture(scope="module")
def demo() -> RunReport:
    return run_report(open_run(ROOT / "models" / "demo"))


@pytest.fixture(scope="module")
def tissue() -> RunReport:
    return run_report(open_run(ROOT / "models" / "tissue12"))


@pytest.fixture(scope="module")
def brought() -> RunReport:
    return predictions_report(read(), name="theirs.csv", resamples=200)


def states(report: RunReport) -> dict[tuple[str, str], str]:
    return {(c.name, row.number): row.state for c in CHECKLISTS for row in fill(c, report)}


def test_both_guidelines_have_all_their_items_in_order():
    assert [item.number for item in CLAIM.items] == [str(i) for i in range(1, 45)]
    numbers = [item.number for item in TRIPOD.items]
    assert len(numbers) == len(set(numbers)) == 52
    main = list(dict.fromkeys(n.rstrip("abcdefg") for n in numbers))
    assert main == [str(i) for i in range(1, 28)]
    assert "10.1136/bmj-2023-078378" in TRIPOD.citation
    assert "10.1148/ryai.240300" in CLAIM.citation
    assert all(item.text and item.topic for c in CHECKLISTS for item in c.items)


@pytest.mark.parametrize("which", ["demo", "tissue", "brought"])
def test_every_item_has_a_state_and_a_place_or_a_reason(which, request):
    report = request.getfixturevalue(which)
    for checklist in CHECKLISTS:
        for row in fill(checklist, report):
            assert row.state in STATES
            assert len(row.where) > 8, row
            if row.state == "met":
                assert any(row.where.startswith(where(key)) for key in TITLES), row
            if row.state in ("not reported", "not applicable"):
                assert "Section" not in row.where, row


def test_what_only_authors_know_is_never_met(demo, tissue, brought):
    authors = {
        "TRIPOD+AI 2024": {"2", "3a", "3c", "4", "18a", "18b", "18c", "18d", "25", "27b", "27c", "10"},
        "CLAIM 2024 update": {"2", "3", "4", "21", "33", "41", "42", "44"},
    }
    for report in (demo, tissue, brought):
        found = states(report)
        assert {found[name, n] for name, items in authors.items() for n in items} == {"not reported"}
    people = {("TRIPOD+AI 2024", n) for n in ("5b", "6a", "6b", "6c", "8b", "8c", "14", "17", "19")}
    assert {states(tissue)[key] for key in people} == {"not reported"}
    assert {states(demo)[key] for key in people} == {"not applicable"}, "nobody took part in a synthetic cohort"


def test_a_patient_split_that_the_ids_show_is_met(demo):
    found = states(demo)
    assert {found[name, n] for name, items in PARTITION.items() for n in items} == {"met"}


def test_a_random_split_is_not_met_for_any_item_of_the_partition(tissue):
    found = states(tissue)
    assert {found[name, n] for name, items in PARTITION.items() for n in items} == {"partly"}
    assert found["TRIPOD+AI 2024", "21"] == "partly", "participants cannot be counted"
    assert found["TRIPOD+AI 2024", "20a"] == "not reported"
    assert found["CLAIM 2024 update", "29"] == "partly", "intervals draw patches"
    assert not {s for (_, n), s in found.items() if n in ("23a", "38")} & {"met"}


def test_patients_on_both_sides_are_not_met():
    found = states(run_report(open_run(ROOT / "models" / "her2st-erbb2")))
    assert {found[name, n] for name, items in PARTITION.items() for n in items} == {"partly"}


def test_known_patients_do_not_save_a_random_split(demo):
    """No patient of the demo stands on both sides, but another draw of the same kind would have put some there."""
    other = replace(demo, partition=replace(demo.partition, unit="patch_random"))
    found = states(other)
    assert {found[name, n] for name, items in PARTITION.items() for n in items} == {"partly"}


def test_a_table_of_predictions_claims_nothing_of_its_model(brought):
    found = states(brought)
    model = {
        "TRIPOD+AI 2024": ("12b", "12c", "12g", "18e", "18f", "22"),
        "CLAIM 2024 update": ("9", "22", "23", "24", "25"),
    }
    assert {found[name, n] for name, items in model.items() for n in items} == {"not reported"}
    assert not {s for (name, n), s in found.items() if n in PARTITION[name]} & {"met"}


def test_a_run_without_weights_data_or_checks_is_assessed_by_the_rest(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "light")
    lacking = {"weights_released": False, "packages": {}, "git": {}}
    (folder / "run.json").write_text(json.dumps({**tiny_run.info, **lacking}))
    (folder / "config.yaml").write_text("nonsense: [")
    for name in ("checks.json", "dataset.parquet", "model.safetensors"):
        (folder / name).unlink()
    report = run_report(open_run(folder))
    found = states(report)
    assert report.partition.patients == "unknown", "the training part is not at hand"
    assert {found[name, n] for name, items in PARTITION.items() for n in items} == {"partly"}
    assert found["TRIPOD+AI 2024", "22"] == "partly"
    assert found["TRIPOD+AI 2024", "13"] == "not reported"
    assert found["TRIPOD+AI 2024", "11"] == "not reported"
    assert found["CLAIM 2024 update", "23"] == "not reported"
    assert found["CLAIM 2024 update", "26"] == "not reported"


def test_subgroups_of_people_change_what_is_said(demo):
    table = demo.result_tables["subgroups"]
    people = table[table["by"] == "site"].assign(by="patient_sex", group="female")
    with_people = replace(demo, result_tables={**demo.result_tables, "subgroups": pd.concat([table, people])})
    assert with_people.about_people == ("patient_sex",)
    row = next(r for r in fill(TRIPOD, with_people) if r.number == "23a")
    assert row.state == "met"
    assert "patient_sex" in row.where
    assert next(r for r in fill(TRIPOD, demo) if r.number == "23a").state == "partly"


def test_partition_counts_are_those_of_the_data(tiny_run):
    found = partition_of_run(tiny_run)
    joined = tiny_run.dataset
    for row in found.counts.itertuples():
        here = joined[(joined["split"] == row.part) & (joined["label"] == row._2)]
        assert (row.patches, row.patients) == (len(here), here["patient_id"].nunique())
    assert found.counts["patches"].sum() == len(joined)
    assert found.keeps_patients_apart


def test_what_a_table_does_not_report_is_one_list(demo, brought):
    """Every item is either a row of the guideline's table or in its list, once."""
    for report, one_list in ((brought, True), (demo, False)):
        blocks = checklists(report).blocks
        grids = [b for b in blocks if isinstance(b, Grid)]
        lists = [b.text for b in blocks if isinstance(b, Words) and b.text.startswith("Not reported, ")]
        assert len(lists) == (2 if one_list else 0)
        for checklist, grid in zip(CHECKLISTS, grids, strict=True):
            missing = [row for row in fill(checklist, report) if row.state == "not reported"]
            assert len(grid.rows) == len(checklist.items) - (len(missing) if one_list else 0)
            if one_list:
                text = lists[CHECKLISTS.index(checklist)]
                assert text.startswith(f"Not reported, {len(missing)} items.")
                assert all(text.count(f"{row.number} {row.topic}") >= 1 for row in missing)


def test_items_say_their_licence_and_that_the_words_are_our_own():
    for checklist in CHECKLISTS:
        assert checklist.licence in checklist.citation
        assert "in our own words" in checklist.citation
    with pytest.raises(ConfigError, match=r"a rule of rules.toml in tripod_ai.json, but got 'title' for 1\."):
        read_checklist("tripod_ai", {name: cases for name, cases in read_rules().items() if name != "title"})


def test_rules_are_used_end_and_name_facts_and_sections_that_there_are(brought):
    """Every case of every rule, also of those that no released run is in."""
    facts = facts_of(brought)
    used = [case for checklist in CHECKLISTS for item in checklist.items for case in item.cases]
    for name, cases in read_rules().items():
        for case in cases:
            assert case in used, f"no item is assessed by {name}"
            assert case.state in STATES
            assert {fact.removeprefix("not ") for fact in case.when} <= set(facts), name
            assert bool(case.sections) == (case.state in ("met", "partly")), name
            assert "{" not in case.where(facts)
    assert all(not item.cases[-1].when for checklist in CHECKLISTS for item in checklist.items)
