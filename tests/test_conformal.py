"""Prediction sets against crepes and subsampling, their coverage on new rows, and their entry in the model card."""

from __future__ import annotations

import json

import numpy as np
import pytest
from crepes import ConformalClassifier

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.conformal import PredictionSets, fit_prediction_sets, least_patients

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
    theirs, conditional = ConformalClassifier(), (np.bincount(labels, minlength=3) + 1) * (1 - coverage) > 1 - 1e-9
    by_class = bool(conditional.all())
    theirs.fit(1 - probs[np.arange(patches), labels], bins=labels if by_class else None)
    expected = np.empty(new.shape, bool)
    for k in range(3):
        bins = np.full(len(new), k) if by_class else None
        p_values = theirs.predict_p(1 - new[:, [k]], bins=bins, smoothing=False)[:, 0]
        # Vovk 2012 keeps a class with p > 1 - coverage, and so does the rank ceil((n + 1) coverage); crepes keeps p
        # equal to it as well, which its own sets would show wherever (n + 1) coverage is whole.
        expected[:, k] = p_values > 1 - coverage + 1e-9
    ours = fit_prediction_sets(probs, labels=labels, classes=CLASSES, coverage=coverage).sets(new)
    assert (ours == expected).all()
    assert 0 < ours.mean() < 1


def patients_of(patients: int, seed: int, *, classes_of_patients: bool = True):
    """Probabilities, labels and patients of unequally many patches, correlated within patients."""
    rng = np.random.default_rng(seed)
    sizes = np.clip(np.rint(np.exp(rng.normal(2, 1.2, patients))), 1, 60).astype(int)
    patient = np.repeat(np.arange(patients), sizes)
    labels = (np.arange(patients) % 3)[patient] if classes_of_patients else rng.integers(0, 3, len(patient))
    scores = 1.2 * rng.normal(size=(patients, 3))[patient] + rng.normal(size=(len(patient), 3)) + np.eye(3)[labels]
    odds = np.exp(scores)
    order = rng.permutation(len(patient))
    return (odds / odds.sum(axis=1, keepdims=True))[order], labels[order], patient[order]


@pytest.mark.parametrize("classes_of_patients", [True, False])
@pytest.mark.parametrize("coverage", [0.7, 0.9])
def test_the_sets_are_the_mean_of_subsampling_one_patch_of_each_patient(coverage, classes_of_patients):
    """Dunn, Wasserman & Ramdas 2022: the p-value of a subsample, averaged over subsamples, decides the set."""
    probs, labels, patient = patients_of(36, seed=3, classes_of_patients=classes_of_patients)
    new, _, _ = patients_of(30, seed=4)
    sets = fit_prediction_sets(probs, labels=labels, patients=patient, classes=CLASSES, coverage=coverage)
    assert sets.kind == "class-conditional"
    inside = sets.sets(new)
    rng, draws = np.random.default_rng(0), 4000
    for k in range(3):
        of = labels == k
        names = np.unique(patient[of])
        chosen = np.stack([rng.choice(1 - probs[of & (patient == name), k], draws) for name in names], axis=1)
        for row, score in enumerate(1 - new[:, k]):
            p = ((chosen >= score).sum(axis=1) + 1).mean() / (len(names) + 1)
            if abs(p - (1 - coverage)) > 0.012:  # the Monte-Carlo error of the mean is below 0.003
                assert inside[row, k] == (p > 1 - coverage)
    assert 0 < inside.mean() < 1


def test_one_patch_a_patient_is_split_conformal_prediction_and_ids_do_not_matter():
    probs, labels = draw(199, seed=5)
    alone = fit_prediction_sets(probs, labels=labels, classes=CLASSES)
    named = fit_prediction_sets(probs, labels=labels, patients=[f"p{i}" for i in range(198, -1, -1)], classes=CLASSES)
    assert named.thresholds == pytest.approx(alone.thresholds)
    assert (alone.patients, sum(named.patients)) == (None, 199)


def test_a_patient_with_many_patches_weighs_no_more_than_another():
    probs, labels, patient = patients_of(40, seed=6)
    many = np.concatenate([np.arange(len(labels)), np.tile(np.flatnonzero(patient == 0), 50)])
    one, other = (
        fit_prediction_sets(probs[rows], labels=labels[rows], patients=patient[rows], classes=CLASSES)
        for rows in (np.arange(len(labels)), many)
    )
    assert one.thresholds == pytest.approx(other.thresholds)


def test_new_patients_are_covered_as_promised_where_pooled_patches_fall_short():
    by_patient, pooled = [], []
    for seed in range(300):
        probs, labels, patient = patients_of(30, seed=seed)
        new, true, whose = patients_of(30, seed=5000 + seed)
        for found, groups in ((by_patient, patient), (pooled, None)):
            sets = fit_prediction_sets(probs, labels=labels, patients=groups, classes=CLASSES)
            held = sets.sets(new)[np.arange(len(true)), true]
            found.append(np.mean([held[whose == name].mean() for name in np.unique(whose)]))
    error = np.std(by_patient) / np.sqrt(300)
    assert np.mean(by_patient) > 0.9 - 3 * error
    assert np.mean(pooled) < 0.9 - 3 * error


@pytest.mark.parametrize(
    ("counts", "kind", "word"),
    [
        ((9, 9, 9), "class-conditional", ""),
        ((20, 20, 8), "marginal", "only 8 patients of positive (9 of each are needed"),
        ((9, 0, 0), "marginal", "only 0 patients of equivocal"),
        ((4, 3, 1), "none", "only 8 patients (9 are needed at 90%)"),
    ],
)
def test_the_guard_counts_patients_and_not_patches(counts, kind, word):
    labels = np.repeat(np.repeat([0, 1, 2], counts), 100)
    patients = np.repeat(np.arange(sum(counts)), 100)
    sets = fit_prediction_sets(certain(labels), labels=labels, patients=patients, classes=CLASSES)
    assert (sets.kind, sets.given) == (kind, kind != "none")
    assert word in sets.reason
    assert (sets.reason == "") == (kind == "class-conditional")
    assert sets.rows == tuple(100 * n for n in counts)
    assert sets.patients == counts
    assert PredictionSets.from_card(json.loads(json.dumps(sets.as_dict())), run_classes=CLASSES) == sets
    if kind == "none":
        with pytest.raises(EvaluationError, match="only 8 patients"):
            sets.sets(certain([0]))


@pytest.mark.parametrize(("coverage", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_the_least_number_of_patients_is_that_of_which_the_largest_score_is_the_threshold(coverage, least):
    assert least_patients(coverage) == least
    assert least / (least + 1) >= coverage - 1e-9
    assert (least - 1) / least < coverage


def test_marginal_sets_have_one_threshold_over_all_classes():
    probs, labels = draw(30, seed=9)
    sets = fit_prediction_sets(probs, labels=labels, patients=range(30), classes=CLASSES)
    true = np.sort(1 - probs[np.arange(30), labels])
    assert sets.kind == "marginal"
    assert sets.thresholds == pytest.approx((true[28 - 1],) * 3)  # ceil(31 * 0.9) = 28


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
        {"kind": "most"},
        {"validation_patients": {"negative": 5}},
    ],
    ids=str,
)
def test_another_field_of_that_name_is_refused(change):
    probs, labels = draw(60, seed=1)
    held = fit_prediction_sets(probs, labels=labels, classes=CLASSES).as_dict() | change
    with pytest.raises(EvaluationError, match="Expected .* her2 runs sets"):
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
