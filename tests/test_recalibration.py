"""Recalibration: slope and intercepts against statsmodels, their intervals, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from bounds import by_rows
from calibration_data import CLASSES, FUNCTIONS, changed, logit, predictions, value

from her2core.evidence import reliability
from her2core.evidence.metrics.recalibration import recalibrate
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.reliability import RECALIBRATION, calibration_table

# recalibration


def theirs(x, y, weights=None) -> tuple[float, float, float]:
    """Slope, intercept and intercept at slope 1 by statsmodels."""
    binomial = {"family": sm.families.Binomial(), "freq_weights": weights}
    free = sm.GLM(y, sm.add_constant(x), **binomial).fit(tol=1e-12)
    fixed = sm.GLM(y, np.ones((len(x), 1)), offset=x, **binomial).fit(tol=1e-12)
    return free.params[1], free.params[0], fixed.params[0]


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_slope_and_intercepts_are_those_of_statsmodels(temperature):
    for seed in range(6):
        p = predictions(seed=seed, temperature=temperature)
        table = calibration_table(p, resamples=10)
        for i, name in enumerate(CLASSES):
            x, y = logit(p.probs[:, i]), (p.labels == i).astype(float)
            found = [value(table, metric, name)["value"] for metric in RECALIBRATION]
            np.testing.assert_allclose(found, theirs(x, y), rtol=1e-6, atol=1e-8)
            alone = [f(p.probs[:, i], outcome=y) for f in FUNCTIONS]
            np.testing.assert_allclose(found, alone, rtol=1e-9)
            plain = sm.Logit(y, sm.add_constant(x)).fit(disp=0, method="newton", tol=1e-12)
            np.testing.assert_allclose(found[1::-1], plain.params, rtol=1e-6, atol=1e-8)


def test_a_stack_of_weightings_is_fitted_each_for_itself():
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(scale=3, size=40))
    up, down = rng.integers(0, 4, (2, 30, 40)) * (rng.random((2, 30, 40)) < 0.6)
    found = np.transpose(recalibrate(x, up=up.astype(float), down=down.astype(float)))
    for b in range(30):
        weights = np.concatenate([up[b], down[b]])
        some = weights > 0
        y = np.repeat([1.0, 0.0], 40)
        np.testing.assert_allclose(found[b], theirs(np.tile(x, 2)[some], y[some], weights[some]), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("most", [1000, 50], ids=["exact", "steps"])
def test_intervals_of_the_slope_are_those_of_resampled_patients(monkeypatch, most):
    """In steps of log-odds they differ by less than shows."""
    monkeypatch.setattr(reliability, "_MAX_STEPS", most)
    p = predictions(effect=1.0, temperature=0.5)
    table = calibration_table(p, resamples=50, seed=3)
    x, y = logit(p.probs[:, 2]), (p.labels == 2).astype(float)
    found = by_rows(p, lambda at: dict(zip(RECALIBRATION, theirs(x[at], y[at]), strict=True)), resamples=50, seed=3)
    for metric, bounds in found.items():
        row = value(table, metric, "positive")
        assert (row["lower_95"], row["upper_95"]) == pytest.approx(bounds, abs=1e-6 if most == 1000 else 4e-3)


def test_the_slope_tells_overconfidence_by_its_factor():
    rng = np.random.default_rng(1)
    x = rng.normal(size=20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-x))).astype(int)
    said = 1 / (1 + np.exp(-3 * x))
    p = Predictions(id_table({}, 20_000), np.stack([1 - said, said], axis=1), labels, ("no", "yes"))
    table = calibration_table(p, resamples=600)
    slope = value(table, "calibration_slope", "yes")
    assert slope["value"] == pytest.approx(1 / 3, abs=0.02)
    assert slope["lower_95"] < 1 / 3 < slope["upper_95"]
    assert "interval from 500 resamples" in slope["note"]


def test_there_is_no_slope_where_nothing_is_told_apart_wrongly_or_all_is_one():
    p = predictions(60, 12)
    sure = calibration_table(changed(p, np.eye(3)[p.labels]), resamples=20)
    row = value(sure, "calibration_slope", "positive")
    assert np.isnan(row["value"])
    assert "separate the class from the rest" in row["note"]
    assert "60 probabilities moved off 0 or 1" in row["note"]
    flat = value(calibration_table(changed(p, np.full((60, 3), 1 / 3)), resamples=20), "calibration_slope", "positive")
    assert np.isnan(flat["value"])
    assert "every probability is the same" in flat["note"]
    large = value(
        calibration_table(changed(p, np.full((60, 3), 1 / 3)), resamples=20), "calibration_in_the_large", "positive"
    )
    assert large["value"] == pytest.approx(logit(np.mean(p.labels == 2)) - logit(1 / 3))
    missing = value(calibration_table(p.where(p.labels != 2), resamples=20), "calibration_in_the_large", "positive")
    assert np.isnan(missing["value"])
    assert "no patch is truly positive" in missing["note"]


@pytest.mark.parametrize(
    ("up", "down", "finite"),
    [
        ([0, 0, 3], [2, 2, 0], False),
        ([3, 0, 0], [0, 2, 2], False),
        ([0, 2, 3], [2, 2, 0], False),  # both kinds at one value only, and it is the edge between them
        ([3, 2, 0], [0, 2, 2], False),
        ([0, 3, 0], [0, 2, 0], False),
        ([1, 2, 3], [2, 2, 1], True),
        ([0, 2, 0], [1, 0, 1], True),
    ],
)
def test_a_slope_is_finite_only_where_the_kinds_overlap(up, down, finite):
    slope, intercept, large = recalibrate(np.array([-1.0, 0.5, 2.0]), up=np.array(up), down=np.array(down))
    assert np.isfinite([slope[0], intercept[0]]).tolist() == [finite, finite]
    assert np.isfinite(large[0])


def test_probabilities_of_0_and_1_that_are_wrong_give_a_finite_answer():
    p = predictions(60, 12)
    guess = np.where(np.arange(60) % 5 == 0, (p.labels + 1) % 3, p.labels)
    table = calibration_table(changed(p, np.eye(3)[guess]), resamples=20)
    x = np.clip(np.eye(3)[guess][:, 2], 1e-12, 1 - 1e-12)
    slope, intercept = (value(table, m, "positive")["value"] for m in RECALIBRATION[:2])
    share = [np.mean(p.labels[guess != 2] == 2), np.mean(p.labels[guess == 2] == 2)]
    for at, expected in zip(logit(np.unique(x)), share, strict=True):
        assert 1 / (1 + np.exp(-intercept - slope * at)) == pytest.approx(expected)
    assert np.isfinite(value(table, "calibration_in_the_large", "positive")["value"])
