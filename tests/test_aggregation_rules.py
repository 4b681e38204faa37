"""Aggregation rules against their definitions, and the choice of one on validation alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ConfigError
from her2core.evidence.aggregate import aggregate, choose_rule
from her2core.evidence.aggregation_rules import RULES, TOP_PROPORTION, combine
from her2core.evidence.compare import compare_runs
from her2core.evidence.evaluation import evaluate
from her2core.evidence.inputs import inputs_from_predictions
from her2core.evidence.predictions import read_predictions


def by_hand(rule: str, probs: np.ndarray) -> np.ndarray:
    """The rule for one unit, written out; float (K,) that sums to one."""
    if rule == "mean":
        found = probs.mean(axis=0)
    elif rule == "majority":
        found = np.bincount(probs.argmax(axis=1), minlength=probs.shape[1]) / len(probs)
    elif rule == "top_k":
        k = max(1, int(np.ceil(TOP_PROPORTION * len(probs) - 1e-9)))
        found = np.array([np.sort(p)[::-1][:k].mean() for p in probs.T])
    else:
        found = np.array([1 - np.prod(1 - p) for p in probs.T])
    return found / found.sum()


@pytest.mark.parametrize("rule", RULES)
@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_each_rule_is_what_it_says_for_every_unit_whatever_the_order_of_rows(rule, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, 7)
    codes = rng.permutation(np.repeat(np.arange(7), sizes))
    probs = rng.dirichlet((1, 1, 1), len(codes))
    found = combine(probs, codes, rule=rule)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for unit in range(7):
        np.testing.assert_allclose(found[unit], by_hand(rule, probs[codes == unit]), atol=3e-6)


@pytest.mark.parametrize("rule", [r for r in RULES if r != "mean"])
def test_what_a_rule_leaves_equal_the_mean_tells_apart(rule):
    probs = np.array([[0.90, 0.05, 0.05], [0.05, 0.93, 0.02]] * (40 if rule == "noisy_or" else 1))
    found = combine(probs, np.zeros(len(probs), int), rule=rule)
    assert found.argmax() == 1


def test_certain_patches_do_no_harm():
    probs = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for rule in RULES:
        found = combine(probs, np.array([0, 0, 0]), rule=rule)
        assert np.isfinite(found).all()
        assert found.argmax() == 0


def cohort(split: str, *, focal: bool, patients: int = 20, patches: int = 30, seed: int = 0) -> pd.DataFrame:
    """Positives are so in a few patches only (``focal``), or everywhere a little."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        positive = i % 2 == 1
        p = rng.uniform(0.2, 0.45, patches)
        if positive and focal:
            p[:3] = 0.97
        elif positive:
            p = rng.uniform(0.45, 0.62, patches)
        elif not focal:
            p[:3] = 0.97
        rows.append(
            pd.DataFrame(
                {
                    "patch_id": [f"{split}{i}-{j}" for j in range(patches)],
                    "patient_id": f"{split}{i}",
                    "split": split,
                    "label": "positive" if positive else "negative",
                    "probability_negative": 1 - p,
                    "probability_positive": p,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(("focal", "expected"), [(True, ("top_k",)), (False, ("mean", "majority"))])
def test_the_rule_that_fits_is_chosen_on_validation_and_test_is_never_asked(focal, expected):
    val, test = cohort("val", focal=focal), cohort("test", focal=not focal, seed=1)
    found = evaluate(read_predictions(pd.concat([val, test], ignore_index=True)), rule="validation")
    units = found.units.set_index("unit")
    assert units.loc["patient", "rule"] in expected
    assert "chosen on 20 validation patients by balanced accuracy (mean " in units.loc["patient", "rule_reason"]
    asked = evaluate(read_predictions(pd.concat([val, test], ignore_index=True)), rule="noisy_or")
    assert asked.units.set_index("unit").loc["patient", "rule"] == "noisy_or"


def test_the_mean_is_the_rule_unless_another_is_asked_for_even_where_validation_prefers_another():
    frame = pd.concat([cohort("val", focal=True), cohort("test", focal=True, seed=1)], ignore_index=True)
    p = read_predictions(frame)
    assert choose_rule(p.part("val"), "patient")[0] == "top_k"
    test = p.part("test")
    mean = pd.DataFrame(test.probs).groupby(test.patients[0]).mean().to_numpy()
    labels = pd.Series(test.labels).groupby(test.patients[0]).first().to_numpy()
    expected = (mean.argmax(axis=1) == labels).mean()
    found = evaluate(p)
    assert found.units.set_index("unit").loc["patient", "rule"] == "mean"
    assert found.value("accuracy", unit="patient") == pytest.approx(expected)
    at = inputs_from_predictions(p).at("patient")
    assert (at.predicted == at.labels).mean() == pytest.approx(expected)
    note = compare_runs(p, p, unit="patient", metrics=["accuracy"])
    assert note.table["first"].iloc[0] == pytest.approx(expected)
    assert "aggregated by the mean" in note.note
    assert evaluate(p, rule="validation").value("accuracy", unit="patient") > expected


def test_figures_of_a_unit_follow_its_rule():
    p = read_predictions(cohort("test", focal=True))
    for rule in RULES:
        table = evaluate(p, rule=rule)
        at = aggregate(p, "patient", rule=rule)
        assert table.value("accuracy", unit="patient") == pytest.approx((at.predicted == at.labels).mean())


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (cohort("test", focal=True), "no validation part"),
        (pd.concat([cohort("test", focal=True), cohort("val", focal=True, patients=8)]), "only 4 patients of"),
        (pd.concat([cohort("test", focal=True), cohort("val", focal=True).assign(patient_id="V")]), "no rule can be"),
    ],
)
def test_without_a_validation_to_choose_by_it_is_the_mean_and_says_why(frame, why):
    predictions = read_predictions(frame.reset_index(drop=True))
    rule, reason = choose_rule(predictions.part("val"), "patient")
    assert rule == "mean"
    assert why in reason


def test_units_of_equal_probabilities_are_ties_whatever_their_number_of_patches():
    """A sum of n thirds over n is not always the same number: the noise told units and classes apart."""
    codes = np.repeat(np.arange(40), np.arange(1, 41))
    rng = np.random.default_rng(0)
    for row in ([1 / 3, 1 / 3, 1 / 3], [0.1, 0.7, 0.2], [1e-15, 0.3, 0.7]):
        found = combine(np.tile(row, (len(codes), 1)), codes, rule="mean")
        assert (found == found[0]).all()
        np.testing.assert_allclose(found[0], row, rtol=1e-11)
    probs = rng.dirichlet([1, 1, 1], 30)
    turned = [combine(probs[rng.permutation(30)], np.zeros(30, int), rule="mean")[0].tolist() for _ in range(20)]
    assert all(t == turned[0] for t in turned)


def test_an_unknown_rule_is_refused():
    p = read_predictions(cohort("test", focal=True))
    accepted = "argument `rule` to be one of 'mean', 'majority', 'top_k', 'noisy_or', but got"
    with pytest.raises(ConfigError, match=accepted):
        aggregate(p, "patient", rule="best")
    with pytest.raises(ConfigError, match="argument `rule` to be one of .*'noisy_or', 'validation', but got 'maen'"):
        evaluate(p, rule="maen")
    with pytest.raises(ConfigError, match="argument `unit` to be one of 'slide', 'patient', but got 'site'"):
        aggregate(p, "site")
