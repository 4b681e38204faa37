"""Status, tags and note of runs, saved views, and the table of runs that is filtered and ordered by them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from permissions import permissions_bind

from her2core import open_run
from her2core.errors import ConfigError, RunError
from her2core.evidence.run_table import annotated, run_row, select_runs
from her2core.runs.annotations import (
    Annotation,
    annotation_file,
    can_annotate,
    changed,
    read_annotation,
    write_annotation,
)
from her2core.runs.listing import list_runs
from her2core.runs.views import delete_view, save_view, saved_views, view_file

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(tmp_path) -> Path:
    """The released demo run under another name; its files are the repository's own: nothing may write into them."""
    return Path(shutil.copytree(ROOT / "models" / "demo", tmp_path / "runs" / "one", copy_function=os.link))


def contents(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_annotation_is_read_as_written_and_changes_nothing_in_the_run(run):
    before = contents(run)
    said = Annotation("reference", ("b", "a"), "Compared with in chapter 3.\nSecond line.")
    write_annotation(run, said)
    assert read_annotation(run) == said
    assert read_annotation(run).tags == ("a", "b")
    assert contents(run) == before
    found, problems = list_runs(run.parent)
    assert ([r.name for r in found], problems) == (["one"], [])


def test_parts_of_an_annotation_are_changed_alone():
    before = Annotation("candidate", ("a", "b"), "note")
    assert changed(before, status="withdrawn") == Annotation("withdrawn", ("a", "b"), "note")
    assert changed(before, add=["c "], remove=["a"], note="") == Annotation("candidate", ("b", "c"), "")


@pytest.mark.parametrize(
    "wrong",
    [{"status": "best"}, {"tags": ["x" * 41]}, {"tags": ["a,b"]}, {"tags": map(str, range(21))}, {"note": "x" * 2001}],
)
def test_what_is_no_annotation_is_refused(wrong):
    with pytest.raises(ConfigError, match="of a run"):
        Annotation(**{k: tuple(v) if k == "tags" else v for k, v in wrong.items()})


@pytest.mark.parametrize("content", ["{", "[]", '{"status": "best"}', '{"tags": "a"}', '{"tags": [1]}', '{"note": 1}'])
def test_a_broken_file_is_named_and_the_run_is_listed(run, content):
    file = annotation_file(run)
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(RunError, match=file.name):
        read_annotation(run)
    table = annotated([run_row(open_run(run), unit="patch", graded=False)])
    assert table["status"].tolist() == [""]
    assert file.name in table["problem"][0]


def test_a_read_only_folder_is_said_in_a_sentence(run):
    with permissions_bind():
        run.parent.chmod(0o555)
        try:
            assert not can_annotate(run)
            with pytest.raises(RunError, match=r"can be written to.*permission denied.*her2 runs export"):
                write_annotation(run, Annotation("candidate"))
            with pytest.raises(RunError, match="can be written to"):
                save_view(run.parent, "mine", {})
        finally:
            run.parent.chmod(0o755)
    assert can_annotate(run)
    assert not annotation_file(run).exists()


def test_an_annotation_of_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        write_annotation(tmp_path / "none", Annotation("candidate"))


def test_a_row_has_the_figures_of_the_run_with_interval_and_patients(run):
    opened = open_run(run)
    row = run_row(opened, unit="patch", graded=False)
    metrics = opened.evaluation["metrics"]
    own = metrics[(metrics["unit"] == "patch") & (metrics["metric"] == "accuracy")].iloc[0]
    assert (row["accuracy"], row["accuracy_lower_95"]) == pytest.approx((own["value"], own["lower_95"]), nan_ok=True)
    assert row["run"] == "one"
    assert row["verdict"] == ""
    assert run_row(opened, unit="patch")["verdict"] in ("Yes", "Within limits", "No", "Not known")
    shutil.rmtree(run / "evaluation")
    without = run_row(open_run(run), unit="patch")
    assert "her2 evaluate --save" in without["problem"]
    assert pd.isna(without["accuracy"])


def test_runs_are_searched_filtered_and_ordered():
    table = pd.DataFrame(
        {
            "run": ["a", "b", "c"],
            "network": ["ResNet", "lite", "resnet"],
            "tags": [["x", "y"], ["x"], []],
            "note": ["", "First TRY", ""],
            "status": ["reference", "", "withdrawn"],
            "verdict": ["No", "Yes", "No"],
            "accuracy": [0.5, 0.9, float("nan")],
        }
    )

    def chosen(**of) -> str:
        return "".join(select_runs(table, **of)["run"])

    assert chosen() == "abc"
    assert chosen(search="resNET") == "ac"
    assert chosen(search="try first") == "b"
    assert chosen(statuses=["none", "withdrawn"]) == "bc"
    assert chosen(tags=["x"]) == "ab"
    assert chosen(tags=["x", "y"]) == "a"
    assert chosen(verdicts=["No"]) == "ac"
    assert chosen(sort="accuracy") == "bac"
    assert chosen(sort="accuracy", descending=False) == "abc"
    assert chosen(search="nothing of the kind") == ""


def test_views_are_kept_replaced_and_deleted(tmp_path):
    save_view(tmp_path, "mine", {"search": "x", "columns": ["tags"]})
    save_view(tmp_path, "../../other", {"descending": False})
    save_view(tmp_path, "mine", {"search": "y"})
    assert saved_views(tmp_path) == ({"../../other": {"descending": False}, "mine": {"search": "y"}}, [])
    assert {p.parent.name for p in tmp_path.rglob("*.json")} == {".views"}
    delete_view(tmp_path, "mine")
    assert list(saved_views(tmp_path)[0]) == ["../../other"]
    with pytest.raises(ConfigError, match="1 to 60 characters"):
        save_view(tmp_path, " ", {})


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "a"}', '{"name": "a", "settings": {"x": {"y": 1}}}'])
def test_a_file_that_is_no_view_is_named(tmp_path, content):
    save_view(tmp_path, "good", {})
    view_file(tmp_path, "broken").write_text(content)
    views, problems = saved_views(tmp_path)
    assert list(views) == ["good"]
    assert len(problems) == 1


def test_the_command_sets_and_lists_status_and_tags(her2, run):
    code, out, err = her2("runs", "annotate", run, "--status", "candidate", "--tag", "b", "--tag", "a", "--note", "n")
    assert code == 0, err
    assert "[candidate; a, b]\nn" in out
    code, out, _ = her2("runs", "annotate", run, "--untag", "b", "--status", "", "--json")
    assert json.loads(out) == {"path": str(run), "status": "", "tags": ["a"], "note": "n"}
    assert "[a]" in her2("runs", "list", "--in", run.parent)[1]
    listed = json.loads(her2("runs", "list", "--in", run.parent, "--json")[1])
    assert [(r["tags"], r["note"]) for r in listed["runs"]] == [(["a"], "n")]
    code, out, _ = her2("runs", "annotate", run, "--status", "best", "--json")
    assert code == 1
    assert "candidate" in json.loads(out)["error"]
    annotation_file(run).write_text("[")
    listed = json.loads(her2("runs", "list", "--in", run.parent, "--json")[1])
    assert (len(listed["runs"]), len(listed["broken_annotations"])) == (1, 1)
