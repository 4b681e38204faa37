"""What stands above a model's answers on the command line and the server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.evidence import reservation as module
from her2core.evidence.reservation import NOT_EVALUATED, reservation
from her2core.evidence.verdict import verdict
from her2core.io.images import encode_png
from her2core.runs.folder import open_run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HER2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def patch(tmp_path) -> Path:
    file = tmp_path / "patch.png"
    file.write_bytes(encode_png(np.asarray(render_patch(CohortSpec(px=96), 0).image)))
    return file


def test_it_is_the_verdict_and_is_computed_once_for_a_state_of_the_run(tmp_path, cache, monkeypatch):
    folder = shutil.copytree(ROOT / "models" / "demo", tmp_path / "demo")
    run = open_run(folder)
    found = verdict(run)
    line = reservation(run)
    assert line == f"Accuracy of this model: {found.headline} {found.sentence}"
    monkeypatch.setattr("her2core.evidence.verdict.verdict", lambda _: pytest.fail("computed again"))
    assert reservation(run) == line
    with (folder / "evaluation" / "metrics.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        reservation(open_run(folder))
    assert len(list((cache / "verdicts").iterdir())) == 1


def test_other_rules_are_another_verdict(tmp_path, monkeypatch):
    run = open_run(ROOT / "models" / "demo")
    first = module._state(run)
    (tmp_path / "verdict").mkdir()
    monkeypatch.setattr(module, "__file__", str(tmp_path / "reservation.py"))
    (tmp_path / "verdict" / "rules.py").write_text("RULES = ()")
    assert module._state(run) != first


def test_a_run_without_evaluation_says_so_and_a_cache_that_cannot_be_written_is_no_error(tmp_path, cache):
    cache.write_text("a file where the folder should be")
    folder = shutil.copytree(ROOT / "models" / "demo", tmp_path / "demo")
    assert reservation(open_run(folder)).startswith("Accuracy of this model: Can this number be believed?")
    shutil.rmtree(folder / "evaluation")
    assert reservation(open_run(folder)) == NOT_EVALUATED


def test_it_stands_above_the_answers_of_the_command_line(her2, patch, tmp_path):
    demo = ROOT / "models" / "demo"
    line = reservation(open_run(demo))
    code, text, _ = her2("predict", demo, patch)
    assert (code, text.splitlines()[0]) == (0, line)
    code, text, error = her2("predict", demo, patch, "--json")
    assert line in error
    assert json.loads(text)[0]["name"].endswith("patch.png")
    code, text, _ = her2("explain", demo, patch, "--out", tmp_path / "map.png")
    assert (code, text.splitlines()[0]) == (0, line)
    code, text, _ = her2("explain", demo, patch, "--out", tmp_path / "map.png", "--json")
    assert json.loads(text)["accuracy"] == line
