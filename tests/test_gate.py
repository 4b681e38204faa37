"""Gate of a run: not inferior by a margin, a lowest value, and the exit codes of ``her2 check-run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_steps import strict_json

from her2core.errors import ConfigError
from her2core.evidence.compare import compare_runs
from her2core.evidence.gate import gate
from her2core.runs.folder import open_run

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "models" / "demo"


@pytest.fixture(scope="module")
def demo():
    return open_run(DEMO).test_predictions()


@pytest.fixture(scope="module")
def worse(demo):
    """The same patches with the answers of others."""
    order = np.random.default_rng(5).permutation(len(demo.probs))
    return replace(demo, probabilities=demo.probs[order])


def test_a_run_is_not_inferior_to_itself_and_the_bound_decides(demo, worse):
    assert gate(demo, demo, margin=0.0).passed
    row = compare_runs(demo, worse).primary
    found = gate(worse, demo, margin=-row["lower_95"] - 0.01)
    assert not found.passed
    assert found.difference == row["difference"]
    assert found.value == row["second"]
    assert gate(worse, demo, margin=-row["lower_95"] + 0.01).passed


def test_the_same_answers_of_few_patients_exclude_no_loss(demo):
    """Of 24 patients a loss in one of ten would leave no trace in 8 % of samples."""
    other = replace(demo, probabilities=demo.probs**1.01 / (demo.probs**1.01).sum(axis=1, keepdims=True))
    assert (other.predicted == demo.predicted).all()
    found = gate(other, demo, margin=0.05, metric="accuracy")
    assert (found.difference, found.passed) == (0, False)
    assert gate(other, demo, margin=0.5, metric="accuracy").passed


def test_without_known_patients_no_run_passes(demo):
    rows = replace(demo, frame=demo.frame.assign(patient_id="unknown"))
    found = gate(rows, rows, margin=0.5, unit="patch")
    assert not found.passed
    assert "patients unknown" in found.reasons[0]


def test_a_lowest_value_is_asked_of_the_run_alone(demo):
    value = gate(demo, demo, margin=0.1).value
    assert gate(demo, demo, margin=0.1, minimum=value).passed
    assert not gate(demo, demo, margin=0.1, minimum=value + 0.01).passed


@pytest.mark.parametrize(("margin", "metric"), [(-0.1, "accuracy"), (float("nan"), "accuracy"), (0.1, "recall")])
def test_other_rules_are_refused(demo, margin, metric):
    with pytest.raises(ConfigError):
        gate(demo, demo, margin=margin, metric=metric)


def test_the_exit_code_says_passed_not_passed_or_not_comparable(her2):
    code, out, _ = her2("check-run", DEMO, "--baseline", DEMO, "--margin", "0.02", "--json")
    assert code == 0
    assert strict_json(out)["passed"] is True
    code, out, _ = her2("check-run", DEMO, "--baseline", DEMO, "--margin", "0.02", "--minimum", "0.99")
    assert code == 3
    assert "below 0.99" in out
    code, _, err = her2("check-run", DEMO, "--baseline", ROOT / "models" / "tissue12", "--margin", "0.02")
    assert code == 1
    assert err
