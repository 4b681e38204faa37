"""Do our numbers equal those of independent libraries, are intervals drawn over patients, is bad input refused?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from bounds import by_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn import metrics as sk
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_stat_scores,
)

from her2core.errors import EvaluationError, Her2Error, TableError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.calibration import TEMPERATURE_RANGE, expected_calibration_error, fit_temperature, probabilities
from her2core.evidence.evaluation import TABLES, UNITS, evaluate, evaluate_folder
from her2core.evidence.intervals import metric_table
from her2core.evidence.old_metrics import OVERALL, PER_CLASS, auroc, confusion, from_confusion, pair_wins
from her2core.evidence.predictions import Predictions, calibrated_predictions, read_predictions
from her2core.evidence.resampling import MIN_CLUSTERS, clusters, draws

few = settings(max_examples=60, deadline=None)
CLASSES = ("negative", "equivocal", "positive")


def predictions(n=240, patients=24, *, seed=0, strength=1.5, patient_effect=0.0, ties=False, **columns) -> Predictions:
    """``patients`` of one class each; the network's score for the true class is raised by ``strength``."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    label = patient % 3
    logits = rng.normal(size=(n, 3)) + patient_effect * rng.normal(size=(patients, 3))[patient]
    logits[np.arange(n), label] += strength
    if ties:
        logits = np.round(logits)
    frame = pd.DataFrame(
        {
            "patch_id": [f"q{i}" for i in range(n)],
            "patient_id": [f"p{i}" for i in patient],
            "slide_id": [f"p{p}s{i // patients % 2}" for i, p in enumerate(patient)],
            "site": "one",
            "split": "test",
            "label": np.array(CLASSES)[label],
        }
    )
    for k, name in enumerate(CLASSES):
        frame[f"logit_{name}"] = logits[:, k]
    return read_predictions(frame.assign(**columns), classes=CLASSES)


def as_frame(p: Predictions, kind="probability_") -> pd.DataFrame:
    return p.frame.assign(
        label=np.array(p.classes)[p.labels], **{kind + c: p.probs[:, i] for i, c in enumerate(p.classes)}
    )


pairs = st.integers(2, 5).flatmap(
    lambda k: st.integers(2, 60).flatmap(
        lambda n: st.tuples(
            st.just(k),
            arrays(np.int64, n, elements=st.integers(0, k - 1)),
            arrays(np.int64, n, elements=st.integers(0, k - 1)),
        )
    )
)


# metrics from the confusion matrix


@given(pairs)
@few
def test_metrics_equal_scikit_learn_s(case):
    k, labels, predicted = case
    names = np.arange(k)
    matrix = confusion(labels, predicted=predicted, classes=k)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(labels, predicted, labels=names))
    ours = from_confusion(matrix)
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    present = np.unique(labels)
    theirs = {
        "recall": sk.recall_score(labels, predicted, labels=names, average=None, zero_division=np.nan),
        "precision": sk.precision_score(labels, predicted, labels=names, average=None, zero_division=np.nan),
        "f1": np.where(
            np.isin(names, present), sk.f1_score(labels, predicted, labels=names, average=None, zero_division=0), np.nan
        ),
        "specificity": [
            sk.recall_score(labels == c, predicted == c, pos_label=False, zero_division=np.nan) for c in names
        ],
        "one_vs_rest_accuracy": [sk.accuracy_score(labels == c, predicted == c) for c in names],
    }
    assert set(theirs) == set(PER_CLASS)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, err_msg=name)
    assert ours["balanced_accuracy"] == pytest.approx(np.mean(theirs["recall"][present]))
    assert ours["macro_f1"] == pytest.approx(
        sk.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )
    if set(predicted) <= set(labels) and len(present) > 1:  # for one class scikit-learn only warns
        assert ours["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))


@given(pairs)
@few
def test_one_vs_rest_accuracy_and_recall_equal_torchmetrics(case):
    k, labels, predicted = case
    ours = from_confusion(confusion(labels, predicted=predicted, classes=k))
    tp, fp, tn, fn, _ = multiclass_stat_scores(
        torch.tensor(predicted), torch.tensor(labels), num_classes=k, average=None
    ).T
    np.testing.assert_allclose(ours["one_vs_rest_accuracy"], ((tp + tn) / (tp + fp + tn + fn)).numpy(), rtol=1e-6)
    recall = multiclass_accuracy(torch.tensor(predicted), torch.tensor(labels), num_classes=k, average=None).numpy()
    here = np.isin(np.arange(k), labels)
    np.testing.assert_allclose(ours["recall"][here], recall[here], rtol=1e-6)
    assert np.isnan(ours["recall"][~here]).all()


@given(pairs, st.integers(0, 10**6))
@few
def test_metrics_lie_between_0_and_1_and_do_not_depend_on_the_names_of_the_classes(case, seed):
    k, labels, predicted = case
    matrix = confusion(labels, predicted=predicted, classes=k)
    order = np.random.default_rng(seed).permutation(k)
    ours, turned = from_confusion(matrix), from_confusion(matrix[np.ix_(order, order)])
    for name in (*OVERALL, *PER_CLASS):
        values = np.asarray(ours[name])
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
        np.testing.assert_allclose(turned[name], values if name in OVERALL else values[order])


def test_a_stack_of_matrices_gives_the_metrics_of_each():
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 9, (4, 5, 3, 3))
    together = from_confusion(stack)
    for name in (*OVERALL, *PER_CLASS):
        np.testing.assert_allclose(together[name][2, 3], from_confusion(stack[2, 3])[name])


def test_what_has_no_denominator_is_nan_and_never_zero():
    ours = from_confusion(np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]]))
    np.testing.assert_allclose(ours["recall"], [0.75, np.nan, 0])
    np.testing.assert_allclose(ours["precision"], [0.6, 0, np.nan])
    np.testing.assert_allclose(ours["f1"], [6 / 9, np.nan, 0])
    assert ours["balanced_accuracy"] == pytest.approx(0.375)
    assert ours["macro_f1"] == pytest.approx(1 / 3)
    nothing = from_confusion(np.zeros((3, 3)))
    assert all(np.isnan(nothing[name]).all() for name in (*OVERALL, *PER_CLASS))


# AUROC


def grouped(seed, groups=8, n=90, ties=True):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    codes = rng.integers(0, groups, n)
    positive = rng.random(n) < 0.4
    positive[:2] = True, False
    scores += positive
    return (np.round(scores, 0 if ties else 9), positive, codes)


def ours_auroc(weights, scores, positive, codes, groups):
    return auroc(
        np.atleast_2d(weights).astype(float),
        wins=pair_wins(scores, positive=positive, groups=codes, group_count=groups),
        positives=np.bincount(codes[positive], minlength=groups).astype(float),
        negatives=np.bincount(codes[~positive], minlength=groups).astype(float),
    )


@given(seed=st.integers(0, 10**6), ties=st.booleans())
@few
def test_auroc_equals_scikit_learn_s_also_with_ties_and_for_any_weights(seed, ties):
    scores, positive, codes = grouped(seed, ties=ties)
    assert ours_auroc(np.ones(8), scores, positive, codes, 8)[0] == pytest.approx(sk.roc_auc_score(positive, scores))
    weights = np.random.default_rng(seed + 1).integers(0, 4, (5, 8))
    for w, found in zip(weights, ours_auroc(weights, scores, positive, codes, 8), strict=True):
        # A cluster of weight 3 is that cluster, rows and all, three times in the table.
        rows = np.repeat(np.arange(len(codes)), w[codes])
        if len(set(positive[rows])) < 2:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(sk.roc_auc_score(positive[rows], scores[rows]))
            assert found == pytest.approx(sk.roc_auc_score(positive, scores, sample_weight=w[codes]))


def test_constant_scores_give_an_auroc_of_one_half():
    _, positive, codes = grouped(3)
    assert ours_auroc(np.ones(8), np.zeros(90), positive, codes, 8)[0] == 0.5


# intervals


def test_draws_take_as_many_clusters_as_there_are_and_follow_the_seed():
    drawn = draws(30, 50, 7)
    assert drawn.shape == (50, 30)
    assert (drawn.sum(axis=1) == 30).all()
    assert (drawn == drawn.round()).all()
    np.testing.assert_array_equal(drawn, draws(30, 50, 7))
    assert not np.array_equal(drawn, draws(30, 50, 8))
    assert draws(30, 4000, 0).var() == pytest.approx(29 / 30, rel=0.03), "multinomial, one draw each"


def theirs_on(p: Predictions):
    """Every metric by scikit-learn, of the rows it is given."""

    def figures(rows) -> dict[tuple[str, str], float]:
        y, guess, probs = p.labels[rows], p.predicted[rows], p.probs[rows]
        values = {
            ("accuracy", ""): sk.accuracy_score(y, guess),
            ("balanced_accuracy", ""): sk.balanced_accuracy_score(y, guess),
            ("macro_f1", ""): sk.f1_score(y, guess, average="macro"),
        }
        aurocs = []
        for i, name in enumerate(p.classes):
            values["recall", name] = sk.recall_score(y == i, guess == i)
            values["precision", name] = sk.precision_score(y == i, guess == i)
            aurocs.append(sk.roc_auc_score(y == i, probs[:, i]))
            values["auroc", name] = aurocs[-1]
        values["macro_auroc", ""] = np.mean(aurocs)
        return values

    return figures


@pytest.mark.parametrize("ties", [False, True])
def test_every_interval_is_that_of_metrics_recomputed_on_resampled_patients(ties):
    p = predictions(patient_effect=1.0, ties=ties)
    table = metric_table(p, resamples=60, seed=3).set_index(["metric", "class"])
    for key, bounds in by_rows(p, theirs_on(p), resamples=60, seed=3).items():
        assert tuple(table.loc[key, ["lower_95", "upper_95"]]) == pytest.approx(bounds), key
    assert set(table["interval_method"]) == {"expanded percentile"}
    assert set(table["resampling_unit"]) == {"patient"}
    assert set(table["n_clusters"]) == {24}
    assert set(table["n"]) == {240}
    assert all(note == "" or note.startswith("carried by few (about ") for note in table["note"])


def test_the_table_holds_every_metric_once_and_the_plain_estimate_inside():
    p = predictions()
    table = metric_table(p, resamples=200)
    expected = {(m, "") for m in (*OVERALL, "macro_auroc")} | {(m, c) for m in (*PER_CLASS, "auroc") for c in CLASSES}
    keys = list(zip(table["metric"], table["class"], strict=True))
    assert set(keys) == expected
    assert len(keys) == len(expected)
    assert (table["lower_95"] <= table["value"]).all()
    assert (table["value"] <= table["upper_95"]).all()
    macro = table.loc[table["metric"] == "macro_auroc", "value"].item()
    assert macro == pytest.approx(sk.roc_auc_score(p.labels, p.probs, multi_class="ovr"))
    assert not set(metric_table(p, resamples=20, aurocs=False)["metric"]) & {"auroc", "macro_auroc"}


def test_a_wider_level_gives_a_wider_interval():
    p = predictions(strength=0.7)
    narrow, wide = (metric_table(p, resamples=300, level=level, aurocs=False) for level in (0.8, 0.99))
    assert ((wide["upper_95"] - wide["lower_95"]) > (narrow["upper_95"] - narrow["lower_95"])).all()


def width(p: Predictions, metric: str) -> float:
    table = metric_table(p, resamples=400).set_index(["metric", "class"])
    return float(table.loc[(metric, ""), "upper_95"] - table.loc[(metric, ""), "lower_95"])


@pytest.mark.parametrize("metric", ["accuracy", "macro_auroc"])
def test_patients_are_resampled_not_patches(metric):
    """Where all patches of a patient say the same, 20 times more patches are no more evidence."""
    once = predictions(30, 30, strength=0.8)
    copied = pd.concat([as_frame(once).assign(patch_id=lambda f, i=i: f["patch_id"] + f"c{i}") for i in range(20)])
    together = read_predictions(copied, classes=CLASSES)
    assert width(together, metric) == pytest.approx(width(once, metric))
    naive = read_predictions(copied.assign(patient_id="unknown"), classes=CLASSES)
    assert width(together, metric) > 3.5 * width(naive, metric)


def test_unknown_and_too_few_patients_are_said_and_patches_resampled():
    nameless = metric_table(predictions(patient_id="unknown"), resamples=50)
    assert nameless["note"].str.startswith("patients unknown; resamples patches").all()
    assert set(nameless["resampling_unit"]) == {"patch"}
    assert set(nameless["n_clusters"]) == {240}
    half = predictions(patient_id=["unknown"] + ["p_value"] * 239)
    assert set(metric_table(half, resamples=20)["resampling_unit"]) == {"patch"}
    four = metric_table(predictions(patients=MIN_CLUSTERS - 1), resamples=50)
    assert four["note"].str.startswith("only 4 patients; resamples patches, which are not independent").all()
    one = metric_table(predictions(patient_id="p_value"), resamples=50)
    assert one["note"].str.startswith("only 1 patient; ").all()
    five = metric_table(predictions(patients=MIN_CLUSTERS), resamples=50)
    assert set(five["resampling_unit"]) == {"patient"}
    assert set(five["n_clusters"]) == {5}


def test_a_class_without_a_case_has_no_value_no_bounds_and_a_note():
    p = predictions()
    table = metric_table(p.where(p.labels != 1), resamples=100).set_index(["metric", "class"])
    missing = table.loc[[("recall", "equivocal"), ("f1", "equivocal"), ("auroc", "equivocal"), ("macro_auroc", "")]]
    assert missing[["value", "lower_95", "upper_95"]].isna().all(axis=None)
    assert missing["note"].str.contains("cannot be computed").all()
    assert table.loc[("accuracy", ""), ["value", "lower_95", "upper_95"]].notna().all()
    assert table.loc[("recall", "negative"), "note"] == ""


def test_a_class_that_most_resamples_miss_has_a_value_but_no_bounds():
    p = predictions()
    rare = p.where((p.labels != 1) | (p.frame["patient_id"] == "p1").to_numpy())
    table = metric_table(rare, resamples=200).set_index(["metric", "class"])
    for key in (("recall", "equivocal"), ("auroc", "equivocal"), ("macro_auroc", "")):
        assert np.isfinite(table.loc[key, "value"]), key
        assert table.loc[key, ["lower_95", "upper_95"]].isna().all(), key
        assert table.loc[key, "note"] == "no interval: too few cases of a class", key
    assert np.isfinite(table.loc[("recall", "negative"), "lower_95"])


@pytest.mark.parametrize("known", [True, False])
def test_more_clusters_than_the_pair_table_holds_are_bundled_whole(monkeypatch, known):
    """Bundles of whole patients: the AUROC stays exact, and its interval as wide as without bundles."""
    base = predictions(60, 60, strength=0.8)
    frame = pd.concat([as_frame(base).assign(patch_id=lambda f, i=i: f["patch_id"] + f"c{i}") for i in range(6)])
    p = read_predictions(frame if known else frame.assign(patient_id="unknown"), classes=CLASSES)
    exact = metric_table(p, resamples=400).set_index(["metric", "class"]).loc[("macro_auroc", "")]
    monkeypatch.setattr("her2core.evidence.intervals._MAX_GROUPS", 40)
    bundled = metric_table(p, resamples=400).set_index(["metric", "class"]).loc[("macro_auroc", "")]
    assert bundled["value"] == pytest.approx(exact["value"])
    assert bundled["upper_95"] - bundled["lower_95"] == pytest.approx(exact["upper_95"] - exact["lower_95"], rel=0.35)


# calibration


@given(seed=st.integers(0, 10**6), bins=st.integers(2, 20), k=st.integers(2, 5))
@few
def test_ece_equals_torchmetrics(seed, bins, k):
    rng = np.random.default_rng(seed)
    probs, labels = rng.dirichlet(np.ones(k) * 0.7, 200), rng.integers(0, k, 200)
    theirs = multiclass_calibration_error(
        torch.tensor(probs), torch.tensor(labels), num_classes=k, n_bins=bins, norm="l1"
    )
    assert expected_calibration_error(probs, labels=labels, bins=bins) == pytest.approx(float(theirs), abs=1e-6)


def test_ece_by_hand():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.35, 0.65], [0.35, 0.65]])
    labels = np.array([0, 0, 0, 1, 1, 0])
    assert expected_calibration_error(probs, labels=labels, bins=10) == pytest.approx((4 * 0.15 + 2 * 0.15) / 6)
    assert expected_calibration_error(np.eye(2), labels=np.array([0, 1])) == 0
    assert expected_calibration_error(np.eye(2), labels=np.array([1, 0])) == 1


@given(seed=st.integers(0, 10**6), true=st.floats(0.3, 5))
@settings(max_examples=20, deadline=None)
def test_the_temperature_is_the_best_of_a_fine_grid_and_scipy_s(seed, true):
    rng = np.random.default_rng(seed)
    clean = rng.normal(scale=2, size=(300, 3))
    labels = np.array([rng.choice(3, p=softmax(row)) for row in clean])
    logits = clean * true

    def loss(t):
        return sk.log_loss(labels, softmax(logits / t, axis=1), labels=[0, 1, 2])

    found = fit_temperature(logits, labels=labels)
    grid = np.geomspace(*TEMPERATURE_RANGE, 200)
    assert loss(found) <= min(loss(t) for t in grid) + 1e-6
    theirs = minimize_scalar(loss, bounds=TEMPERATURE_RANGE, method="bounded", options={"xatol": 1e-6}).x
    assert found == pytest.approx(theirs, rel=0.01)
    assert found == pytest.approx(true, rel=0.35)


def test_a_temperature_that_runs_away_stops_at_its_bound():
    perfect = 0.5 * np.eye(3)[[0, 1, 2, 0]]
    assert fit_temperature(perfect, labels=np.array([0, 1, 2, 0])) == pytest.approx(TEMPERATURE_RANGE[0], rel=0.01)
    assert fit_temperature(perfect, labels=np.array([1, 2, 0, 1])) == pytest.approx(TEMPERATURE_RANGE[1], rel=0.01)


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.array([[0, np.nan, 1]]), np.array([[0, np.inf, 1.0]])])
def test_a_temperature_needs_finite_scores(bad):
    with pytest.raises(EvaluationError, match=r"Expected finite scores.*diverge"):
        fit_temperature(bad, labels=np.zeros(len(bad), int))


def test_temperature_moves_probabilities_but_not_the_class():
    logits = np.random.default_rng(0).normal(scale=50, size=(40, 3))
    for t in (0.05, 1.0, 20.0):
        probs = probabilities(logits, t)
        np.testing.assert_allclose(probs.sum(axis=1), 1)
        np.testing.assert_array_equal(probs.argmax(axis=1), logits.argmax(axis=1))
    assert probabilities(logits, 20).max() < probabilities(logits, 0.05).max()
    assert np.isfinite(probabilities([[1e4, -1e4, 0]])).all()


# predictions


def plain(**changes) -> pd.DataFrame:
    columns = {
        "patch_id": ["q1", "q2", "q3"],
        "label": ["a", "b", "a"],
        "logit_a": [2.0, -1.0, 0.5],
        "logit_b": [0.0, 1.0, 0.5],
    } | changes
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


def test_logits_and_probabilities_are_both_read():
    p = read_predictions(plain(), temperature=2.0)
    np.testing.assert_allclose(p.probs, softmax(plain()[["logit_a", "logit_b"]].to_numpy() / 2, axis=1))
    assert p.classes == ("a", "b")
    assert list(p.labels) == [0, 1, 0]
    assert list(p.predicted) == [0, 1, 0]
    assert set(p.frame["split"]) == {"test"}
    assert set(p.frame["patient_id"]) == {"unknown"}
    assert not p.patients_known
    given_probs = plain(logit_a=None, logit_b=None, probability_a=[0.9, 0.2, 0.5], probability_b=[0.1, 0.8, 0.5])
    q = read_predictions(given_probs, temperature=7.0)
    np.testing.assert_array_equal(q.probs, given_probs[["probability_a", "probability_b"]])


def test_the_order_of_classes_is_the_caller_s():
    p = read_predictions(plain(), classes=("b", "a"))
    assert list(p.labels) == [1, 0, 1]
    assert list(p.predicted[:2]) == [1, 0]


def test_ids_that_are_numbers_with_gaps_are_text_or_unknown():
    p = read_predictions(plain(patient_id=[1, None, 3], slide_id=[7, 8, 9]))
    assert p.frame["patient_id"].iloc[1] == "unknown"
    assert not p.patients_known
    assert list(p.frame["slide_id"]) == ["7", "8", "9"]


def test_rows_are_chosen_by_mask_by_part_and_by_position():
    p = read_predictions(plain(split=["val", "test", "test"]))
    assert list(p.part("test").frame["patch_id"]) == ["q2", "q3"]
    assert list(p.part("test").labels) == [1, 0]
    turned = p.where(np.array([2, 0]))
    assert list(turned.frame["patch_id"]) == ["q3", "q1"]
    np.testing.assert_array_equal(turned.probs, p.probs[[2, 0]])


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"label": None}, {}, "a column for the label, but got no column chosen"),
        ({"logit_b": None}, {"classes": ("a", "b", "c")}, "one score and one class without any"),
        ({}, {"classes": ("a", "c")}, "every class once, each with its column, but got no column for 'c'"),
        ({"logit_a": [1, np.nan, 2]}, {}, "Expected a finite number in every row, but got an empty cell"),
        ({"logit_a": [1, 2, np.inf]}, {}, "Expected a finite number in every row, but got an infinity"),
        ({"logit_a": ["1", "2", "upper_95"]}, {}, "Expected a finite number in every row, but got 'upper_95'"),
        ({"label": ["a", "c", "c"]}, {}, r"Expected labels out of a, b, but got 'c' \(2 rows\)"),
        ({"label": ["a", "b", None]}, {}, "Expected a true label in every row"),
        ({"patch_id": ["q1", "q2", "q1"]}, {}, r"Expected each patch once, but got 'q1' in rows 1, 3"),
        (
            {"logit_a": None, "logit_b": None, "probability_a": [0.9, 0.2, 0.5], "probability_b": [0.1, 0.2, 0.5]},
            {},
            r"Expected probabilities that sum to one.*row 2",
        ),
        (
            {"logit_a": None, "logit_b": None, "probability_a": [1.2, 0.2, 0.5], "probability_b": [-0.2, 0.8, 0.5]},
            {},
            "Expected probabilities from 0 to 1",
        ),
    ],
)
def test_predictions_that_cannot_be_used_are_refused_by_row(changes, options, message):
    with pytest.raises(TableError, match=message):
        read_predictions(plain(**changes), **options)


def test_a_run_whose_table_lacks_the_scores_of_a_class_is_refused():
    with pytest.raises(TableError, match="no column 'logit_b'"):
        calibrated_predictions(plain(logit_b=None), {"classes": ["a", "b"], "temperature": 1.0})


def test_an_empty_table_of_predictions_is_refused():
    with pytest.raises(TableError, match="at least one prediction"):
        read_predictions(plain().head(0))


def test_patches_without_a_name_are_no_duplicates():
    assert len(read_predictions(plain(patch_id=None))) == 3


# aggregation


@pytest.mark.parametrize(("unit", "column"), [("patient", "patient_id"), ("slide", "slide_id")])
def test_a_unit_has_the_mean_of_its_patches_probabilities(unit, column):
    p = predictions()
    order = np.random.default_rng(0).permutation(len(p))
    for given_rows in (p, p.where(order)):
        a = aggregate(given_rows, unit)
        expected = pd.DataFrame(p.probs).groupby(p.frame[column].to_numpy()).mean()
        assert a.unit == unit
        assert len(a) == len(expected)
        assert set(a.frame["patch_id"]) == set(expected.index)
        np.testing.assert_allclose(a.probs, expected.loc[a.frame["patch_id"]])
        label = dict(zip(p.frame[column], p.labels, strict=True))
        assert [label[i] for i in a.frame["patch_id"]] == list(a.labels)
    assert set(a.frame["split"]) == {"test"}


def test_a_slide_keeps_its_patient_so_that_patients_are_resampled():
    a = aggregate(predictions(), "slide")
    assert a.patients_known
    assert clusters(a).count == 24
    assert len(a) == 48
    assert (a.frame["slide_id"].str.split("s").str[0] == a.frame["patient_id"]).all()


def test_a_patient_on_both_sides_of_the_split_is_one_row_a_side():
    p = predictions(split=["val", "test"] * 120, patients=15)
    a = aggregate(p, "patient")
    assert len(a) == 30
    assert a.frame.groupby("patient_id")["split"].nunique().eq(2).all()


def test_aggregation_is_refused_for_unknown_ids_and_for_several_labels():
    with pytest.raises(EvaluationError, match="Expected a patient id in every row, but got 240 rows without"):
        aggregate(predictions(patient_id="unknown"), "patient")
    p = predictions()
    labels = p.labels.copy()
    labels[0] = (labels[0] + 1) % 3
    mixed = Predictions(p.frame, p.probs, labels, p.classes)
    with pytest.raises(EvaluationError, match="Expected one label a slide, but got 1 with several, the first: p0s0"):
        aggregate(mixed, "slide")


# evaluation


def test_an_evaluation_holds_three_units_each_by_its_name():
    p = predictions()
    e = evaluate(p, resamples=50)
    assert list(e.units["unit"]) == list(UNITS)
    assert e.units["assessed"].all()
    assert list(e.units["n"]) == [240, 48, 24]
    assert e.value("accuracy") == pytest.approx(sk.accuracy_score(p.labels, p.predicted))
    by_patient = aggregate(p, "patient")
    accuracy = sk.accuracy_score(by_patient.labels, by_patient.predicted)
    assert e.value("accuracy", unit="patient") == pytest.approx(accuracy)
    recall = sk.recall_score(p.labels, p.predicted, average=None)[2]
    assert e.value("recall", of="positive") == pytest.approx(recall)
    assert e.units["ece"].iloc[0] == pytest.approx(expected_calibration_error(p.probs, labels=p.labels))
    for unit, n in zip(UNITS, (240, 48, 24), strict=True):
        cells = e.confusion[e.confusion["unit"] == unit]
        assert cells["count"].sum() == n
        np.testing.assert_allclose(cells.groupby("true")["share_of_true"].sum(), 1)
    matrix = e.confusion[e.confusion["unit"] == "patch"].pivot(index="true", columns="predicted", values="count")
    expected = sk.confusion_matrix(p.labels, p.predicted)
    np.testing.assert_array_equal(matrix.loc[list(CLASSES), list(CLASSES)], expected)


def test_a_unit_that_cannot_be_assessed_is_named_with_the_reason():
    e = evaluate(predictions(patient_id="unknown"), resamples=20)
    row = e.units.set_index("unit").loc["patient"]
    assert not row["assessed"]
    assert "a patient id in every row" in row["reason"]
    assert row["n"] == 0
    assert "patient" not in set(e.metrics["unit"])
    assert "slide" in set(e.metrics["unit"])
    with pytest.raises(EvaluationError, match=r"accuracy of all classes at patient level.*Assessed here: patch, slide"):
        e.value("accuracy", unit="patient")


def test_only_the_part_asked_for_is_evaluated():
    p = predictions(split=["val"] * 120 + ["test"] * 120)
    assert evaluate(p, resamples=20).units["n"].iloc[0] == 120
    val = evaluate(p, part="val", resamples=20)
    assert val.value("accuracy") == pytest.approx(sk.accuracy_score(p.labels[:120], p.predicted[:120]))
    with pytest.raises(EvaluationError, match="predictions of the train part, but got none"):
        evaluate(p, part="train")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_any_tool_s_predictions_file_can_be_evaluated(tmp_path, suffix):
    p = predictions()
    frame = as_frame(p).drop(columns=["split", "site"])
    path = tmp_path / f"other.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    assert evaluate(path, resamples=20).value("accuracy") == pytest.approx(sk.accuracy_score(p.labels, p.predicted))


def test_a_file_that_is_no_predictions_is_refused(tmp_path):
    with pytest.raises(Her2Error, match="no such file"):
        evaluate(tmp_path / "none.parquet")
    with pytest.raises(Her2Error, match=r"run\.json"):
        evaluate(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="a probability column for each"):
        evaluate(tmp_path / "x.csv")


@pytest.mark.parametrize("case", ["all wrong", "one class", "constant", "one row"])
def test_extreme_predictions_give_a_stated_result(case):
    p = predictions(60, 12)
    n = np.arange(60)
    if case == "all wrong":
        p = Predictions(p.frame, np.eye(3)[(p.labels + 1) % 3], p.labels, p.classes)
    elif case == "one class":
        p = p.where(p.labels == 2)
    elif case == "constant":
        p = Predictions(p.frame, np.full((60, 3), 1 / 3), p.labels, p.classes)
    else:
        p = p.where(n == 0)
    e = evaluate(p, resamples=40)
    m = e.metrics[e.metrics["unit"] == "patch"].set_index(["metric", "class"])
    expected = {
        "all wrong": 0.0,
        "one class": sk.accuracy_score(p.labels, p.predicted),
        "constant": 1 / 3,
        "one row": None,
    }[case]
    if expected is not None:
        assert m.loc[("accuracy", ""), "value"] == pytest.approx(expected)
    if case == "constant":
        assert m.loc[("macro_auroc", ""), ["value", "lower_95", "upper_95"]].tolist() == [0.5] * 3
    bounded = m["lower_95"].notna() & m["upper_95"].notna()
    assert (bounded | (m["note"] != "")).all(), "a bound is missing and nothing says why"


def test_a_run_folder_s_tables_are_written_and_read_back(tmp_path):
    p = predictions()
    as_frame(p, "logit_").assign(**{f"logit_{c}": np.log(p.probs[:, i]) for i, c in enumerate(CLASSES)}).to_parquet(
        tmp_path / "predictions.parquet"
    )
    e = evaluate_folder(tmp_path, {"classes": list(CLASSES), "temperature": 1.0}, ["careful"])
    assert e.warnings == ("careful",)
    for name in TABLES:
        written = pd.read_csv(tmp_path / "evaluation" / f"{name}.csv", keep_default_na=False, na_values=[""])
        assert len(written) == len(getattr(e, name))
    metrics = pd.read_csv(tmp_path / "evaluation" / "metrics.csv")
    np.testing.assert_allclose(metrics["value"], e.metrics["value"], atol=1e-6)
    assert e.value("accuracy") == pytest.approx(sk.accuracy_score(p.labels, p.predicted))
