"""``her2 runs``: completion of a run, and release of one without its weights."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from her2core import load_predictor, open_run
from her2core.cli import main
from her2core.errors import RunError
from her2core.runs.folder import SERVING, WEIGHTS


@pytest.fixture
def her2(monkeypatch, capsys, tmp_path):
    """Type a command in an empty folder; get (exit code, stdout, stderr)."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["her2", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return call


@pytest.fixture
def light(her2, tiny_run) -> Path:
    """The tiny run, released without weights."""
    code, out, err = her2("runs", "export", tiny_run.path, "--to", "models/study/light", "--without-weights", "--json")
    assert code == 0, err
    return Path(json.loads(out)["path"])


def test_a_run_without_weights_holds_all_the_rest_and_says_so(tiny_run, light):
    files = {p.relative_to(tiny_run.path) for p in tiny_run.path.rglob("*") if p.is_file()}
    assert {p.relative_to(light) for p in light.rglob("*") if p.is_file()} == files - set(map(Path, SERVING))
    for file in files - {*map(Path, SERVING), Path("run.json")}:
        assert (light / file).read_bytes() == (tiny_run.path / file).read_bytes()
    run = open_run(light)
    assert run.info == {**tiny_run.info, "weights_released": False}
    assert run.card == tiny_run.card
    assert (run.has_weights, tiny_run.has_weights) == (False, True)
    assert run.cost == tiny_run.cost
    assert len(run.predictions) == len(tiny_run.predictions)
    assert len(run.dataset) == 36


def test_a_run_without_weights_is_reviewed_but_answers_nothing(her2, light):
    assert her2("evaluate", light, "--resamples", 100, "--json")[0] == 0
    assert her2("runs", "show", light, "--json")[0] == 0
    with pytest.raises(RunError, match=r"Expected a run with its weights, but got one released for review only"):
        load_predictor(light)
    code, out, err = her2("predict", light, __file__, "--json")
    assert code == 1
    assert "Expected a run with its weights" in json.loads(out)["error"]
    assert "Traceback" not in err
    code, out, _ = her2("runs", "complete", light, "--json")
    assert code == 1
    assert "Complete the run where it was trained, then export it." in json.loads(out)["error"]


def test_a_run_without_weights_can_be_exported_again(her2, light):
    code, out, err = her2("runs", "export", light, "--to", "copy", "--json")
    assert code == 0, err
    assert not open_run(json.loads(out)["path"]).has_weights


def test_weights_that_are_merely_lost_are_still_missed(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.path, tmp_path / "run", copy_function=os.link)
    (copy / WEIGHTS).unlink()
    with pytest.raises(RunError, match=f"got no {WEIGHTS}"):
        open_run(copy)


def test_weights_are_verified_before_they_are_left_out(her2, tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.path, tmp_path / "run", copy_function=os.link)
    (copy / WEIGHTS).unlink()
    (copy / WEIGHTS).write_bytes(b"other")
    code, out, _ = her2("runs", "export", copy, "--to", "models/x", "--without-weights", "--json")
    assert code == 1
    assert "weights with the card's hash" in json.loads(out)["error"]
    assert not Path("models").exists()


def test_a_shelf_of_runs_is_no_broken_run(her2, light):
    code, out, _ = her2("runs", "list", "--json")
    assert (code, json.loads(out)) == (0, {"runs": [], "problems": []})
    code, out, _ = her2("runs", "list", "--in", "models/study", "--json")
    found = json.loads(out)
    assert [r["path"] for r in found["runs"]] == [str(light)]
    assert found["problems"] == []


def test_complete(her2, tiny_run, tiny_manifest, tmp_path):
    copy = Path(shutil.copytree(tiny_run.path, tmp_path / "run", copy_function=os.link))
    (copy / "dataset.parquet").unlink()
    assert her2("runs", "show", copy)[0] == 0
    code, out, err = her2("runs", "complete", copy, "--manifest", tiny_manifest, "--json")
    assert code == 0, err
    assert json.loads(out) == {"path": str(copy)}
    assert len(open_run(copy).dataset) == 36
    code, out, err = her2("runs", "complete", copy)
    assert (code, out) == (0, f"{copy} is complete.\n"), err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("complete", "none"), "Expected a run folder"),
        (("complete",), "Missing argument 'RUN'"),
        (("export", "none", "--to", "x", "--without-weights"), "Expected a run folder"),
    ],
)
def test_what_a_user_gets_wrong_exits_1(her2, words, said):
    code, out, err = her2("runs", *words, "--json")
    assert code == 1
    assert said in json.loads(out)["error"]
    assert "Traceback" not in err
    assert list(Path.cwd().rglob("*")) == []


def test_complete_with_another_data_set_is_refused(her2, tiny_run, tmp_path):
    code, _, err = her2(
        "data", "demo", "--out", "other", "--patients", 9, "--patches", 2, "--px", 64, "--workers", 1, "--json"
    )
    assert code == 0, err
    code, out, _ = her2("runs", "complete", tiny_run.path, "--manifest", "other/manifest.parquet", "--json")
    assert code == 1
    assert "the manifest that this run was trained on" in json.loads(out)["error"]
