"""Label-shift correction on simulated sites, and that it is never made unless asked."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from her2core.cli import cli
from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.evaluation import evaluate
from her2core.evidence.label_shift import corrected_for_shift, saerens, training_shares
from her2core.evidence.metrics.probabilistic import expected_calibration_error
from her2core.evidence.predictions import read_predictions

CLASSES = ("negative", "equivocal", "positive")
MEANS = np.array([[0.0, 0.0], [1.5, 0.5], [2.0, -1.5]])


def site(shares, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of three normal classes with these shares, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=shares)
    return MEANS[labels] + rng.normal(size=(n, 2)), labels


def posterior(x: np.ndarray, shares) -> np.ndarray:
    """Bayes' rule with the true densities: calibrated at these shares."""
    density = np.exp(-0.5 * ((x[:, None] - MEANS) ** 2).sum(axis=2)) * np.asarray(shares)
    return density / density.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("there", [(0.8, 0.15, 0.05), (0.2, 0.2, 0.6), (1 / 3, 1 / 3, 1 / 3)])
def test_the_shares_of_a_new_site_and_its_probabilities_follow_without_labels(there):
    trained = (0.5, 0.25, 0.25)
    x, labels = site(there, 40_000, seed=1)
    found = saerens(posterior(x, trained), trained=trained)
    np.testing.assert_allclose(found.shares, there, atol=0.015)
    np.testing.assert_allclose(found.probs, posterior(x, there), atol=0.05)
    before = expected_calibration_error(posterior(x, trained), labels=labels)
    after = expected_calibration_error(found.probs, labels=labels)
    assert after < 0.02
    assert after < before or there == (1 / 3, 1 / 3, 1 / 3)


def test_the_shares_maximise_the_likelihood():
    """The fixed point of EM is the maximum of sum log sum_k p_k(x) q_k / pi_k, found here by another optimiser."""
    from scipy.optimize import minimize

    trained = np.array([0.5, 0.25, 0.25])
    probs = posterior(site((0.7, 0.1, 0.2), 500, seed=2)[0], trained)

    def loss(free):
        q = np.exp(np.append(free, 0.0))
        return -np.log((probs / trained) @ (q / q.sum())).sum()

    best = np.exp(np.append(minimize(loss, np.zeros(2), method="BFGS").x, 0.0))
    np.testing.assert_allclose(saerens(probs, trained=trained).shares, best / best.sum(), atol=1e-4)


def test_a_site_with_the_shares_of_training_is_hardly_changed():
    trained = (0.5, 0.25, 0.25)
    probs = posterior(site(trained, 40_000, seed=3)[0], trained)
    np.testing.assert_allclose(saerens(probs, trained=np.multiply(trained, 12)).probs, probs, atol=0.03)


def table(there=(0.8, 0.15, 0.05), n=3000) -> pd.DataFrame:
    x, labels = site(there, n, seed=4)
    probs = posterior(x, (1 / 3, 1 / 3, 1 / 3))
    frame = pd.DataFrame({"patient_id": [f"p{i // 10}" for i in range(n)], "label": np.array(CLASSES)[labels]})
    return frame.assign(**{f"probability_{c}": probs[:, i] for i, c in enumerate(CLASSES)})


def test_it_is_made_only_when_asked_and_then_said():
    frame, even = table(), dict.fromkeys(CLASSES, 1.0)
    plain, asked = evaluate(frame), evaluate(frame, trained=even)
    assert not any("label shift" in note for note in plain.notes)
    assert any("label shift (Saerens et al. 2002), as asked" in note for note in asked.notes)
    assert asked.value("accuracy") > plain.value("accuracy") + 0.05
    assert asked.value("negative_log_likelihood") < plain.value("negative_log_likelihood")


def test_every_part_has_its_own_shares():
    frame = pd.concat([table((0.1, 0.1, 0.8)).assign(split="val"), table().assign(split="test")], ignore_index=True)
    p = read_predictions(frame, classes=CLASSES)
    found = corrected_for_shift(p, trained=dict.fromkeys(CLASSES, 1 / 3))
    for part in ("val", "test"):
        alone = saerens(p.part(part).probs, trained=[1 / 3] * 3)
        np.testing.assert_allclose(found.part(part).probs, alone.probs)
    assert p.notes == found.notes[:-1]


def test_the_command_takes_the_shares_stated_or_those_of_a_run(tmp_path, tiny_run):
    file = tmp_path / "new-site.csv"
    table(n=600).to_csv(file, index=False)
    run = CliRunner()
    refused = run.invoke(cli, ["evaluate", str(file), "--label-shift"])
    assert isinstance(refused.exception, ConfigError)
    stated = [word for c in CLASSES for word in ("--trained", f"{c}=0.333")]
    found = json.loads(run.invoke(cli, ["evaluate", str(file), "--label-shift", *stated, "--json"]).output)
    assert any("label shift" in note for note in found["notes"])
    found = json.loads(run.invoke(cli, ["evaluate", str(tiny_run.path), "--label-shift", "--json"]).output)
    counts = tiny_run.card["data"]["patches"]["train"]
    assert training_shares(tiny_run.card) == pytest.approx({c: n / sum(counts.values()) for c, n in counts.items()})
    assert f"negative {counts['negative'] / sum(counts.values()):.1%}" in found["notes"][-1]
    for wrong in (["--save"], ["--trained", "positive=many"], ["--trained", "positive=1"]):
        answer = run.invoke(cli, ["evaluate", str(tiny_run.path), "--label-shift", *wrong])
        assert isinstance(answer.exception, ConfigError), wrong


@pytest.mark.parametrize("trained", [[0.5, 0.5, 0.0], [0.5, 0.5], [0.5, 0.6, float("nan")]])
def test_shares_that_cannot_be_are_refused(trained):
    with pytest.raises(ConfigError, match="argument `trained` to be 3 shares above 0"):
        saerens(np.full((4, 3), 1 / 3), trained=trained)


def test_predictions_without_probabilities_are_refused():
    p = read_predictions(pd.DataFrame({"label": ["a", "b"], "predicted": ["a", "b"]}))
    with pytest.raises(EvaluationError, match="probabilities of the classes"):
        corrected_for_shift(p, trained={"a": 1, "b": 1})
