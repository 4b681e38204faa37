"""Decision curve: the published formula, intervals of resampled patients, refusals, and the figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bounds import by_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.decisions import STRATEGIES, THRESHOLDS, decision_curve
from her2core.evidence.predictions import Predictions, id_table
from her2core.plots.decisions import decision_description, decision_figure

CLASSES = ("negative", "equivocal", "positive")
few = settings(max_examples=12, deadline=None)


def predictions(n=240, patients=24, *, seed=0, known=True, digits=None) -> Predictions:
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    labels = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + rng.normal(size=(patients, 3))[patient] + 1.5 * np.eye(3)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probs = probs if digits is None else np.round(probs, digits)
    ids = {"patient_id": pd.Series(patient).astype("str")} if known else {}
    return Predictions(id_table(ids, n), probs, labels, CLASSES)


def binary(said, cases) -> Predictions:
    said = np.array(said, float)
    return Predictions(
        id_table({}, len(said)), np.stack([1 - said, said], 1), np.array(cases), ("negative", "positive")
    )


def benefit(positive, called, t) -> float:
    (_, alarms), (_, hits) = confusion_matrix(positive, called, labels=[False, True])
    return hits / len(positive) - alarms / len(positive) * t / (1 - t)


def of_strategy(table, strategy, column="value"):
    return table[table["strategy"] == strategy].set_index("threshold")[column]


@given(seed=st.integers(0, 10**6), of=st.sampled_from(CLASSES), digits=st.sampled_from([None, 2]))
@few
def test_every_net_benefit_is_the_formula(seed, of, digits):
    p = predictions(60, 6, seed=seed, digits=digits)
    table = decision_curve(p, of=of, resamples=5)
    positive, said = p.labels == CLASSES.index(of), p.probs[:, CLASSES.index(of)]
    network, everyone = of_strategy(table, "model"), of_strategy(table, "treat all")
    assert list(network.index) == list(THRESHOLDS)
    for t in THRESHOLDS:
        assert network[t] == pytest.approx(benefit(positive, said >= t, t)), t
        assert everyone[t] == pytest.approx(benefit(positive, np.ones(60, bool), t)), t
    assert (of_strategy(table, "treat none") == 0).all()
    np.testing.assert_allclose(of_strategy(table, "model minus treat all"), network - everyone)
    assert set(table["strategy"]) == set(STRATEGIES)
    assert set(table["class"]) == {of}


def test_net_benefit_by_hand():
    table = decision_curve(binary([0.9, 0.6, 0.5, 0.2, 0.1], [1, 0, 1, 0, 0]), thresholds=[0.5, 0.2], resamples=5)
    network, everyone = of_strategy(table, "model"), of_strategy(table, "treat all")
    assert network[0.5] == pytest.approx((2 - 1 * 1) / 5), "0.5 reaches 0.5: two cases, one alarm"
    assert network[0.2] == pytest.approx((2 - 2 / 4) / 5)
    assert everyone[0.5] == pytest.approx((2 - 3) / 5)
    assert everyone[0.2] == pytest.approx((2 - 3 / 4) / 5)


def test_a_perfect_network_is_worth_the_share_of_cases_and_one_that_calls_none_nothing():
    cases = [1] * 3 + [0] * 9
    assert (of_strategy(decision_curve(binary(cases, cases), resamples=5), "model") == 0.25).all()
    assert (of_strategy(decision_curve(binary(np.zeros(12), cases), resamples=5), "model") == 0).all()
    all_called = decision_curve(binary(np.ones(12), cases), resamples=5)
    assert (of_strategy(all_called, "model minus treat all") == 0).all()
    # Calling all is worth nothing where the threshold is the share of cases, and less than nothing above.
    everyone = of_strategy(all_called, "treat all")
    assert everyone[0.25] == pytest.approx(0)
    assert (everyone[everyone.index > 0.25] < 0).all()


def test_intervals_are_those_of_resampled_patients_and_of_the_difference_in_the_same():
    p = predictions()
    table = decision_curve(p, thresholds=[0.1, 0.4], resamples=60, seed=3).set_index(["strategy", "threshold"])

    def figures(rows) -> dict:
        positive = p.labels[rows] == 2
        network = benefit(positive, p.probs[rows, 2] >= 0.4, 0.4)
        everyone = benefit(positive, np.ones(len(rows), bool), 0.4)
        return {"model": network, "treat all": everyone, "model minus treat all": network - everyone}

    for strategy, expected in by_rows(p, figures, resamples=60, seed=3).items():
        assert tuple(table.loc[(strategy, 0.4), ["lower_95", "upper_95"]]) == pytest.approx(expected), strategy
    assert tuple(table.loc[("treat none", 0.1), ["value", "lower_95", "upper_95"]]) == (0, 0, 0)
    assert set(table["resampling_unit"]) == {"patient"}
    assert set(table["note"]) == {""}


@pytest.mark.parametrize("case", ["no case", "only cases", "constant", "one patient", "one row", "patients unknown"])
def test_extreme_predictions_give_a_stated_result(case):
    p = predictions(60, 12)
    p = {
        "no case": lambda: p.where(p.labels != 2),
        "only cases": lambda: p.where(p.labels == 2),
        "constant": lambda: Predictions(p.frame, np.full((60, 3), 1 / 3), p.labels, p.classes),
        "one patient": lambda: p.where((p.frame["patient_id"] == "3").to_numpy()),
        "one row": lambda: p.where(np.arange(60) == 0),
        "patients unknown": lambda: predictions(known=False),
    }[case]()
    table = decision_curve(p, resamples=40)
    assert table[["value", "lower_95", "upper_95"]].notna().all(axis=None)
    network = of_strategy(table, "model")
    if case == "no case":
        assert table["note"].str.contains("no patch is truly positive").all()
        assert (network <= 0).all()
    elif case == "only cases":
        assert table["note"].str.contains("every patch is truly positive").all()
        assert (of_strategy(table, "treat all") == 1).all()
    elif case == "constant":
        everyone = of_strategy(table, "treat all")
        np.testing.assert_allclose(network, np.where(network.index <= 1 / 3, everyone, 0))
    else:
        assert table["note"].str.contains("resamples patches").all()


def test_what_has_no_curve_is_refused():
    p = predictions()
    with pytest.raises(ConfigError, match="argument `of` to be one of 'negative', .*, but got 'low'"):
        decision_curve(p, of="low")
    for bad in ([0, 0.5], [1.0], [float("nan")], []):
        with pytest.raises(ConfigError, match="argument `thresholds` to be above 0 and below 1"):
            decision_curve(p, thresholds=bad)
    with pytest.raises(EvaluationError, match="at least one prediction"):
        decision_curve(p.where(np.zeros(240, bool)))


def test_the_figure_and_its_words_show_the_table():
    table = decision_curve(predictions(), resamples=20)
    before = table.copy()
    lines = {t.name: t for t in decision_figure(table).data if t.name}
    assert list(lines) == ["model", "all positive", "none positive"]
    for name, strategy in (("model", "model"), ("all positive", "treat all"), ("none positive", "treat none")):
        np.testing.assert_array_equal(lines[name].y, of_strategy(table, strategy))
        np.testing.assert_array_equal(lines[name].x, THRESHOLDS)
    low, high = decision_figure(table).data[:2]
    np.testing.assert_array_equal(low.y, of_strategy(table, "model", "lower_95"))
    np.testing.assert_array_equal(high.y, of_strategy(table, "model", "upper_95"))
    words = decision_description(table)
    assert f"{of_strategy(table, 'model')[0.2]:.3f} at 20%" in words
    assert "for positive" in words
    pd.testing.assert_frame_equal(table, before)
    odd = decision_curve(predictions(), thresholds=[0.15], resamples=20)
    assert "at 15%" in decision_description(odd)
    decision_figure(odd).to_json()
