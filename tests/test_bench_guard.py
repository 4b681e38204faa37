"""The regression guard of benchmarks: what it calls worse. Nothing is timed here."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[1]


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.syspath_prepend(HOME / "benchmarks")
    spec = importlib.util.spec_from_file_location("guard", HOME / "benchmarks" / "guard.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ratio(median, least=None, largest=None):
    return {"median": median, "least": least or median, "largest": largest or median}


@pytest.mark.parametrize(
    ("stored", "now", "larger_is_better", "is_worse"),
    [
        (ratio(10), 7.1, True, False),
        (ratio(10), 6.9, True, True),
        (ratio(10, least=6), 6.9, True, False),
        (ratio(10), 30, True, False),
        (ratio(2), 2.5, False, False),
        (ratio(2), 2.7, False, True),
        (ratio(2, largest=3), 2.7, False, False),
        (ratio(2), 0.5, False, False),
    ],
)
def test_a_ratio_is_worse_beyond_tolerance_and_stored_range(guard, stored, now, larger_is_better, is_worse):
    found = guard.worse({"a": stored}, {"a": ratio(now), "new": ratio(0)}, larger_is_better=larger_is_better)
    assert bool(found) is is_worse


def test_the_command_fails_and_names_the_ratio(guard, monkeypatch, tmp_path, capsys):
    (tmp_path / "stain.json").write_text(json.dumps({"ratios": {"torchstain over apply": ratio(10)}}))
    monkeypatch.setattr(guard, "RESULTS", tmp_path)
    for now, code in ((9, 0), (2, 1)):
        measured = {"torchstain over apply": ratio(now)}
        monkeypatch.setitem(guard.BENCHMARKS, "stain", (lambda m=measured: m, True))
        assert guard.main(["stain"]) == code
    assert "torchstain over apply: 2, stored 10" in capsys.readouterr().out


def test_every_guarded_results_file_has_ratios(guard):
    for name in guard.BENCHMARKS:
        stored = json.loads((HOME / "benchmarks" / "results" / f"{name}.json").read_text())
        assert all({"median", "least", "largest"} <= set(found) for found in stored["ratios"].values())
        assert stored["machine"]["cores"] > 0
        assert stored["command"].endswith(f"benchmarks/{name}.py")
