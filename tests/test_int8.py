"""A network in 8-bit integers: kept where its figures stay within their intervals, refused otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from her2core import open_run
from her2core.errors import ConfigError, NetworkError, RunError
from her2core.inference import int8
from her2core.inference.int8 import Quantised, quantise_run
from her2core.inference.predictor import load_predictor

needs_nncf = pytest.mark.skipif(find_spec("nncf") is None, reason="the extra int8 is not installed")


def give_intervals(monkeypatch, lower: float, upper: float):
    """In place of those that a run of a few patients does not have."""
    bounds = {"lower_95": lower, "upper_95": upper}
    monkeypatch.setattr(int8, "_intervals", lambda run: {"balanced_accuracy": bounds, "ece": bounds})


@needs_nncf
@pytest.mark.filterwarnings("ignore")
def test_a_quantised_run_answers_nearly_as_torch_does(her2, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match="her2 runs quantize"):
        load_predictor(tiny_run, engine="openvino-int8")
    with pytest.raises(RunError, match="95 % interval of balanced_accuracy"):
        quantise_run(open_run(tiny_run.path), patches=2)
    give_intervals(monkeypatch, 0, 1)
    monkeypatch.setattr(int8, "CHANGED", 1.0)
    code, out, err = her2("runs", "quantize", tiny_run.path, "--patches", "6", "--json")
    assert code == 0, err + out
    assert json.loads(out)["offered"] is True
    low, right = (load_predictor(tiny_run, engine=engine) for engine in ("openvino-int8", "torch"))
    assert "int8" in low.engine
    images = np.random.default_rng(0).integers(0, 255, (4, right.px, right.px, 3)).astype(np.uint8)
    found, expected = low.predict_proba(images), right.predict_proba(images)
    assert 0 < np.abs(found - expected).max() < 0.2
    batch = right._pipeline.tensor(images)
    responses = [one._pipeline.forward(batch).responses for one in (low, right)]
    assert np.allclose(*responses, atol=1e-4), "what the out-of-distribution score needs stays in float32"

    [facts] = (tmp_path / "cache").rglob("int8.json")
    kept = json.loads(facts.read_text())
    facts.write_text(json.dumps({**kept, "probabilities_of_check": [[0.0, 0.0, 1.0]] * 2}))
    with pytest.raises(NetworkError, match="when it was evaluated"):
        load_predictor(tiny_run, engine="openvino-int8")
    facts.with_name("model.xml").write_text("damaged")
    with pytest.raises(ConfigError, match="her2 runs quantize"):
        load_predictor(tiny_run, engine="openvino-int8")


@needs_nncf
@pytest.mark.filterwarnings("ignore")
def test_a_network_whose_figures_leave_their_intervals_is_not_kept(her2, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_CACHE", str(tmp_path / "cache"))
    give_intervals(monkeypatch, 1.01, 1.02)
    code, out, _ = her2("runs", "quantize", tiny_run.path, "--patches", "6")
    assert code == 1
    assert "Not kept" in out
    assert not list((tmp_path / "cache").rglob("int8.json"))


def test_one_figure_outside_is_enough():
    inside = {"float32": 0.8, "int8": 0.79, "lower_95": 0.7, "upper_95": 0.85}
    found = Quantised(300, 100, {"balanced_accuracy": inside, "ece": inside}, {"changed_class": 0.01})
    assert found.offered
    assert not replace(found, figures={**found.figures, "ece": {**inside, "int8": 0.86}}).offered
    assert not replace(found, figures={**found.figures, "balanced_accuracy": {**inside, "int8": 0.69}}).offered
    assert not replace(found, probabilities={"changed_class": 0.06}).offered


def test_a_run_trained_on_all_its_patients_is_refused():
    with pytest.raises(RunError, match="separate test part"):
        quantise_run(open_run(Path(__file__).parents[1] / "models" / "her2-tcga"))
