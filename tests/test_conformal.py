"""Prediction sets against crepes, their coverage on new patches, and their entry in the model card."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from crepes import ConformalClassifier

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.conformal import PredictionSets, coverage_table, fit_prediction_sets
from her2core.evidence.predictions import read_predictions

CLASSES = ("negative", "equivocal", "positive")


def draw(patches: int, seed: int, *, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float64 (N, 3) and labels int64 (N,) of a network that is right most of the time."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, patches, p=[0.6, 0.3, 0.1])
    scores = rng.normal(0, 1, (patches, 3)) + 1.5 * np.eye(3)[labels]
    odds = np.exp(scores / temperature)
    return odds / odds.sum(axis=1, keepdims=True), labels


def certain(labels: list[int]) -> np.ndarray:
    return np.eye(3)[labels] * 0.8 + 0.2 / 3


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("patches", [40, 199, 1000])
def test_the_sets_are_those_of_crepes(patches, coverage):
    probs, labels = draw(patches, seed=patches)
    new, _ = draw(500, seed=7)
    theirs = ConformalClassifier()
    theirs.fit(1 - probs[np.arange(patches), labels], bins=labels)
    expected = np.empty(new.shape, bool)
    for k in range(3):
        p_values = theirs.predict_p(1 - new[:, [k]], bins=np.full(len(new), k), smoothing=False)[:, 0]
        # Vovk 2012 keeps a class with p > 1 - coverage, and so does the rank ceil((n + 1) coverage); crepes keeps p
        # equal to it as well, which its own sets would show wherever (n + 1) coverage is whole.
        expected[:, k] = p_values > 1 - coverage + 1e-9
    ours = fit_prediction_sets(probs, labels=labels, classes=CLASSES, coverage=coverage).sets(new)
    assert (ours == expected).all()
    assert 0 < ours.mean() < 1


def test_new_patches_of_each_class_are_covered_as_promised_though_the_network_is_overconfident():
    shares = []
    for seed in range(40):
        probs, labels = draw(1500, seed=seed, temperature=0.3)
        new, true = draw(1500, seed=1000 + seed, temperature=0.3)
        inside = fit_prediction_sets(probs, labels=labels, classes=CLASSES).sets(new)
        shares.append([inside[true == k, k].mean() for k in range(3)])
    # Each share is Beta-distributed about 0.9; of the rarest class, with 150 patches on either side, by 0.035.
    np.testing.assert_allclose(np.mean(shares, axis=0), 0.9, atol=4 * 0.035 / np.sqrt(40))


def test_the_threshold_is_the_score_of_its_rank():
    probs = np.repeat([[0.5, 0.5, 0.0]], 19, axis=0)
    probs[:, 0] = np.arange(1, 20) / 20
    probs[:, 1] = 1 - probs[:, 0]
    sets = fit_prediction_sets(probs, labels=np.zeros(19, int), classes=CLASSES)
    # 20 * 0.9 is 18 and not the 19 that floating point makes of it: the second smallest probability.
    assert sets.thresholds[0] == pytest.approx(1 - 2 / 20)
    assert sets.sets(np.array([[0.1, 0.9, 0.0], [0.099, 0.901, 0.0]]))[:, 0].tolist() == [True, False]


@pytest.mark.parametrize(("patches", "always"), [(0, True), (8, True), (9, False), (10, False)])
def test_a_class_with_too_few_patches_is_in_every_set_and_that_is_said(patches, always):
    labels = [0] * 30 + [1] * patches + [2] * 30
    sets = fit_prediction_sets(certain(labels), labels=np.array(labels), classes=CLASSES)
    assert sets.patches == (30, patches, 30)
    assert sets.always == (("equivocal",) if always else ())
    assert sets.as_dict()["in_every_set"] == list(sets.always)
    assert sets.sets(np.array([[1.0, 0.0, 0.0]]))[0].tolist() == [True, always, False]


def test_no_class_may_be_credible():
    labels = [0, 1, 2] * 20
    sets = fit_prediction_sets(certain(labels), labels=np.array(labels), classes=CLASSES)
    row = sets.sets(np.array([[0.34, 0.33, 0.33]]))[0]
    assert sets.names(row) == ()
    assert sets.names(np.array([True, False, True])) == ("negative", "positive")


def test_a_card_holds_the_sets_whatever_the_order_of_its_fields():
    probs, labels = draw(60, seed=1)
    sets = fit_prediction_sets(probs, labels=labels, classes=CLASSES, coverage=0.8)
    text = json.dumps(sets.as_dict(), sort_keys=True, allow_nan=False)
    assert PredictionSets.from_card(json.loads(text), run_classes=CLASSES) == sets


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": None},
        {"classes": CLASSES[::-1]},
        {"thresholds": {"negative": 0.5}},
        {"thresholds": dict.fromkeys(CLASSES, float("nan"))},
        {"thresholds": dict.fromkeys(CLASSES, 1.5)},
        {"validation_patches": dict.fromkeys(CLASSES, "many")},
        {"coverage": "most"},
        {"coverage": 90},
        {"classes": 3},
        {"classes": ["negative", "neutral"]},
    ],
    ids=str,
)
def test_another_field_of_that_name_is_refused(change):
    probs, labels = draw(60, seed=1)
    held = fit_prediction_sets(probs, labels=labels, classes=CLASSES).as_dict() | change
    with pytest.raises(EvaluationError, match="Expected .* her2 runs complete"):
        PredictionSets.from_card(held, run_classes=CLASSES)


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 90, float("nan")])
def test_an_impossible_coverage_is_refused(coverage):
    probs, labels = draw(60, seed=1)
    with pytest.raises(ConfigError, match="argument `coverage` to be between 0 and 1"):
        fit_prediction_sets(probs, labels=labels, classes=CLASSES, coverage=coverage)


def test_what_does_not_fit_together_is_refused():
    probs, labels = draw(60, seed=1)
    with pytest.raises(EvaluationError, match=r"60 labels, but got shape \(59,\)"):
        fit_prediction_sets(probs, labels=labels[1:], classes=CLASSES)
    with pytest.raises(EvaluationError, match=r"probabilities of 2 classes, but got shape \(60, 3\)"):
        fit_prediction_sets(probs, labels=labels, classes=CLASSES[:2])
    with pytest.raises(EvaluationError, match=r"probabilities of 3 classes, but got shape \(3,\)"):
        fit_prediction_sets(probs, labels=labels, classes=CLASSES).sets(probs[0])


def test_the_table_says_how_often_and_how_large():
    sets = PredictionSets(0.9, CLASSES, (0.5, 0.2, 1.0), (50, 50, 3))
    frame = pd.DataFrame(
        {
            "patch_id": list("abcd"),
            "label": ["negative", "negative", "equivocal", "equivocal"],
            "probability_negative": [0.9, 0.2, 0.5, 0.1],
            "probability_equivocal": [0.1, 0.8, 0.4, 0.9],
            "probability_positive": [0.0, 0.0, 0.1, 0.0],
        }
    )
    table = coverage_table(sets, read_predictions(frame, classes=CLASSES)).set_index("class")
    assert table.index.tolist() == [*CLASSES, ""]
    assert set(table["unit"]) == {"patch"}
    assert set(table["nominal_coverage"]) == {0.9}
    assert table["n"].tolist() == [2, 2, 0, 4]
    # sets: negative and positive; equivocal and positive; negative and positive; equivocal and positive
    assert table["set_coverage"].tolist()[:2] == [0.5, 0.5]
    assert np.isnan(table.loc["positive", "set_coverage"])
    assert table.loc["", ["set_coverage", "mean_size", "singleton_rate", "empty_rate"]].tolist() == [0.5, 2.0, 0.0, 0.0]
    assert table["note"].str.contains("one patient are not").all()
    assert table["note"].str.contains("too few validation patches").tolist() == [False, False, True, False]


def test_sets_that_hold_one_class_or_none_are_counted():
    sets = PredictionSets(0.9, CLASSES, (0.5, 0.2, 0.3), (50, 50, 50))
    frame = pd.DataFrame(
        {
            "patch_id": ["a", "b"],
            "label": "negative",
            "probability_negative": [0.9, 0.4],
            "probability_equivocal": [0.1, 0.3],
            "probability_positive": [0.0, 0.3],
        }
    )
    last = coverage_table(sets, read_predictions(frame, classes=CLASSES)).iloc[-1]
    assert (last["singleton_rate"], last["empty_rate"], last["mean_size"]) == (0.5, 0.5, 0.5)
