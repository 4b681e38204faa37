"""Metric functions against scikit-learn, torchmetrics and statsmodels, and the registry that lists them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from cohorts import CLASSES, as_frame, simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_stat_scores

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence import compare
from her2core.evidence.evaluation import evaluate, evaluate_folder
from her2core.evidence.inputs import inputs_from_predictions
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics import (
    METRICS,
    Metric,
    headline_metrics,
    markdown_table,
    metric_help,
    metric_label,
    metrics_of,
    select_metrics,
)
from her2core.evidence.metrics.arrays import as_counts
from her2core.evidence.metrics.confusion import balanced_accuracy, confusion_matrix, macro_f1
from her2core.evidence.metrics.per_class import f1, one_vs_rest_accuracy, precision, recall
from her2core.evidence.metrics.ranking import auroc, average_precision
from her2core.evidence.resampling import clusters
from her2core.evidence.result_tables import TABLES, all_result_tables

few = settings(max_examples=60, deadline=None)
CONFUSION = [m for m in METRICS.values() if m.input == "confusion"]
UNIT_RANGE = [m for m in CONFUSION if m.is_proportion]
pairs = st.integers(2, 5).flatmap(
    lambda k: st.integers(2, 60).flatmap(
        lambda n: st.tuples(
            st.just(k),
            arrays(np.int64, n, elements=st.integers(0, k - 1)),
            arrays(np.int64, n, elements=st.integers(0, k - 1)),
        )
    )
)


def of(name: str, matrix) -> np.ndarray:
    return METRICS[name].function(matrix)


# metrics of a confusion matrix


@given(pairs)
@few
def test_metrics_equal_scikit_learn_s(case):
    k, labels, predicted = case
    names = np.arange(k)
    matrix = confusion_matrix(labels, predicted=predicted, classes=k)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(labels, predicted, labels=names))
    assert of("accuracy", matrix) == pytest.approx(sk.accuracy_score(labels, predicted))
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
        "npv": [sk.precision_score(labels != c, predicted != c, zero_division=np.nan) for c in names],
        "one_vs_rest_accuracy": [sk.accuracy_score(labels == c, predicted == c) for c in names],
    }
    assert set(theirs) == {m.name for m in CONFUSION if m.per_class}, "a new metric needs an oracle here"
    for name, values in theirs.items():
        np.testing.assert_allclose(of(name, matrix), values, err_msg=name)
    assert of("balanced_accuracy", matrix) == pytest.approx(np.mean(theirs["recall"][present]))
    assert of("macro_f1", matrix) == pytest.approx(
        sk.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )
    if set(predicted) <= set(labels) and len(present) > 1:  # for one class scikit-learn only warns
        assert of("balanced_accuracy", matrix) == pytest.approx(sk.balanced_accuracy_score(labels, predicted))


@given(pairs)
@few
def test_one_vs_rest_accuracy_and_recall_equal_torchmetrics(case):
    k, labels, predicted = case
    matrix = confusion_matrix(labels, predicted=predicted, classes=k)
    tp, fp, tn, fn, _ = multiclass_stat_scores(
        torch.tensor(predicted), torch.tensor(labels), num_classes=k, average=None
    ).T
    np.testing.assert_allclose(one_vs_rest_accuracy(matrix), ((tp + tn) / (tp + fp + tn + fn)).numpy(), rtol=1e-6)
    for name, theirs in (
        ("true_positives", tp),
        ("false_positives", fp),
        ("true_negatives", tn),
        ("false_negatives", fn),
    ):
        np.testing.assert_array_equal(of(name, matrix), theirs.numpy())
    np.testing.assert_allclose(of("predicted_positive_rate", matrix), ((tp + fp) / len(labels)).numpy(), rtol=1e-6)
    theirs = multiclass_accuracy(torch.tensor(predicted), torch.tensor(labels), num_classes=k, average=None).numpy()
    here = np.isin(np.arange(k), labels)
    np.testing.assert_allclose(recall(matrix)[here], theirs[here], rtol=1e-6)
    assert np.isnan(recall(matrix)[~here]).all()


@given(pairs, st.integers(0, 10**6))
@few
def test_metrics_lie_in_their_range_and_do_not_depend_on_the_names_of_the_classes(case, seed):
    k, labels, predicted = case
    matrix = confusion_matrix(labels, predicted=predicted, classes=k)
    order = np.random.default_rng(seed).permutation(k)
    for m in CONFUSION:
        values, turned = m.function(matrix), m.function(matrix[np.ix_(order, order)])
        low, high = m.range
        assert ((values >= low - 1e-12) & (values <= high + 1e-12) | np.isnan(values)).all(), m.name
        if not m.needs_order:
            np.testing.assert_allclose(turned, values[order] if m.per_class else values, err_msg=m.name)


def test_a_stack_of_matrices_gives_the_metrics_of_each():
    stack = np.random.default_rng(0).integers(0, 9, (4, 5, 3, 3))
    for m in CONFUSION:
        np.testing.assert_allclose(m.function(stack)[2, 3], m.function(stack[2, 3]), err_msg=m.name)


def test_what_has_no_denominator_is_nan_and_never_zero():
    matrix = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]])
    np.testing.assert_allclose(recall(matrix), [0.75, np.nan, 0])
    np.testing.assert_allclose(precision(matrix), [0.6, 0, np.nan])
    np.testing.assert_allclose(f1(matrix), [6 / 9, np.nan, 0])
    assert balanced_accuracy(matrix) == pytest.approx(0.375)
    assert macro_f1(matrix) == pytest.approx(1 / 3)
    assert all(np.isnan(m.function(np.zeros((3, 3)))).all() for m in CONFUSION)


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"), [([0, 3], [0, 1], "classes from 0 to 2"), ([0, 1], [0], r"one shape \(N,\)")]
)
def test_labels_that_are_no_classes_are_refused(labels, predicted, expected):
    with pytest.raises(EvaluationError, match=expected):
        confusion_matrix(labels, predicted=predicted, classes=3)


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(
        EvaluationError, match=r"argument `matrix` to have shape \(\.\.\., K, K\), but got shape \(2, 3\)"
    ):
        as_counts(np.zeros((2, 3)))


# ranking


def grouped(seed, groups=8, n=90, ties=True):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    codes = rng.integers(0, groups, n)
    positive = rng.random(n) < 0.4
    positive[:2] = True, False
    scores += positive
    return (np.round(scores, 0 if ties else 9), positive, codes)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(auroc, sk.roc_auc_score), (average_precision, sk.average_precision_score)]
)
@given(seed=st.integers(0, 10**6), ties=st.booleans())
@few
def test_ranking_metrics_equal_scikit_learn_s_also_with_ties_and_for_any_weights(ours, theirs, seed, ties):
    scores, positive, codes = grouped(seed, ties=ties)
    assert ours(scores, positive=positive) == pytest.approx(theirs(positive, scores))
    weights = np.random.default_rng(seed + 1).integers(0, 4, (5, 8))
    for w, found in zip(weights, ours(scores, positive=positive, groups=codes, weights=weights), strict=True):
        # A cluster of weight 3 is that cluster, rows and all, three times in the table.
        rows = np.repeat(np.arange(len(codes)), w[codes])
        if len(set(positive[rows])) < 2:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(theirs(positive[rows], scores[rows]))
            assert found == pytest.approx(theirs(positive, scores, sample_weight=w[codes]))


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_one_kind_of_rows_has_no_ranking(metric):
    for positive in (np.ones(4, bool), np.zeros(4, bool)):
        assert np.isnan(metric(np.arange(4.0), positive=positive))
        assert np.isnan(metric(np.arange(4.0), positive=positive, groups=[0, 0, 1, 1], weights=[[1, 1], [2, 0]])).all()


def test_constant_scores_give_an_auroc_of_one_half():
    _, positive, codes = grouped(3)
    assert auroc(np.zeros(90), positive=positive, groups=codes, weights=np.ones((1, 8)))[0] == 0.5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"positive": [True]}, "one shape"),
        ({"scores": [1.0, np.nan]}, "finite scores"),
        ({"groups": [0, 1]}, "`groups` and `weights` together"),
        ({"groups": [0, 5], "weights": [[1.0, 1.0]]}, "a column for every group"),
    ],
)
def test_ranking_metrics_refuse_arrays_that_do_not_match(changes, expected):
    given_arrays = {"scores": [0.1, 0.9], "positive": [False, True]} | changes
    for metric in (auroc, average_precision):
        with pytest.raises(EvaluationError, match=expected):
            metric(given_arrays["scores"], **{k: v for k, v in given_arrays.items() if k != "scores"})


# the registry


def test_every_entry_says_what_it_is_and_where_it_is_defined():
    assert len({m.label for m in METRICS.values()}) == len(METRICS), "two metrics share a label"
    for name, m in METRICS.items():
        assert name == m.name
        assert m.help.endswith(".")
        assert any(sign in m.reference for sign in ("doi 10.", "arXiv", "JMLR")), name
        assert m.table in ("metrics", *TABLES)
        assert m.function.__doc__, name
        assert m.direction == "target" or m.target is None, name


def test_every_metric_of_every_table_is_in_the_registry():
    """No table has a metric that has no label: all of them are made and looked up."""
    p = simulated(split=["val", "test"] * 120)
    found = {name: t.frame for name, t in all_result_tables(inputs_from_predictions(p), resamples=20).items()}
    assert set(metric_table(p)["metric"]) == {m.name for m in metrics_of("metrics")}
    for name, frame in found.items():
        for metric in set(frame.get("metric", ())) if len(frame) else set():
            assert metric in METRICS, (name, metric)


def test_labels_and_help_come_from_the_registry_and_an_unknown_name_is_readable():
    assert metric_label("recall", of="positive") == f"{METRICS['recall'].label} of positive"
    assert metric_help("accuracy") == METRICS["accuracy"].help
    assert (metric_label("pointing_game"), metric_help("pointing_game")) == ("pointing game", "")
    assert [m.name for m in headline_metrics()] == ["accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"]


def test_a_selection_keeps_the_order_asked_for_with_metrics_per_class_last():
    assert [m.name for m in select_metrics(["recall", "macro_f1", "accuracy"])] == ["macro_f1", "accuracy", "recall"]
    assert [m.name for m in select_metrics()] == [m.name for m in metrics_of("metrics")]
    for wrong in (["charm"], ["brier"], []):
        with pytest.raises(ConfigError, match="argument `metrics`"):
            select_metrics(wrong)


def test_the_markdown_table_has_a_row_for_every_metric():
    lines = markdown_table().splitlines()
    assert len(lines) == len(METRICS) + 2
    assert len({line.count(" | ") for line in lines[2:]}) == 1
    kappa = next(line for line in lines if line.startswith("| `quadratic_kappa`"))
    assert "-1 to 1" in kappa
    assert METRICS["quadratic_kappa"].reference in kappa


@pytest.mark.parametrize(
    "changes", [{"range": (1.0, 0.0)}, {"input": "rows"}, {"input": "table"}, {"table": "calibration"}]
)
def test_an_entry_that_contradicts_itself_is_refused(changes):
    entry = {
        "name": "x",
        "label": "X",
        "help": "X.",
        "range": (0.0, 1.0),
        "direction": "higher",
        "function": balanced_accuracy,
        "reference": "doi 10.1",
        "input": "confusion",
    }
    assert Metric(**entry).name == "x"
    with pytest.raises(ConfigError):
        Metric(**entry | changes)


# adding a metric


def hamming(matrix):
    """Error rate: the toy metric of these tests."""
    counts = as_counts(matrix)
    total = counts.sum((-2, -1))
    return 1 - np.trace(counts, axis1=-2, axis2=-1) / total


TOY = Metric(
    name="hamming_loss",
    label="Hamming loss",
    help="Proportion of cases whose predicted class is not the true class.",
    range=(0.0, 1.0),
    direction="lower",
    function=hamming,
    input="confusion",
    denominator="all",
    reference="Hamming 1950, doi 10.1002/j.1538-7305.1950.tb00463.x",
)


def test_one_entry_adds_a_metric_to_the_table_the_comparison_and_the_files(monkeypatch, tmp_path, tiny_run):
    p = simulated()
    expected = sk.hamming_loss(p.labels, p.predicted)
    registry = {**METRICS, TOY.name: TOY}
    row = metric_table(p, metrics=select_metrics(registry=registry))
    row = row.set_index("metric").loc["hamming_loss"]
    assert row["value"] == pytest.approx(expected)
    assert row["lower_95"] < row["value"] < row["upper_95"]
    assert evaluate(p, metrics=[TOY]).value("hamming_loss", unit="patch") == pytest.approx(expected)
    monkeypatch.setitem(METRICS, TOY.name, TOY)
    assert metric_label("hamming_loss") == "Hamming loss"
    assert "Hamming loss" in markdown_table()
    scores = {f"logit_{c}": np.log(p.probs[:, i]) for i, c in enumerate(CLASSES)}
    as_frame(p, "logit_").assign(**scores).to_parquet(tmp_path / "predictions.parquet")
    card = {"classes": list(CLASSES), "temperature": 1.0, "scheme": {"is_her2": False}}
    evaluate_folder(tmp_path, card, [])
    written = pd.read_csv(tmp_path / "evaluation" / "metrics.csv").query("unit == 'patch'").set_index("metric")
    assert written.loc["hamming_loss", "value"] == pytest.approx(expected, abs=1e-6)
    found = compare.compare_runs(tiny_run, tiny_run, unit="patch").table.set_index("metric")
    test = tiny_run.test_predictions()
    assert found.loc["hamming_loss", "first"] == pytest.approx(sk.hamming_loss(test.labels, test.predicted))


@pytest.mark.parametrize("kind", ["rows", "one_vs_rest"])
def test_a_metric_of_probabilities_is_added_the_same_way(kind):
    p = simulated()
    if kind == "rows":
        entry = {"function": lambda probs, labels: 1 - probs[np.arange(len(labels)), labels], "direction": "lower"}
        expected = np.mean(1 - p.probs[np.arange(len(p)), p.labels])
    else:  # the mean score of the cases, less that of the others
        entry = {"function": _separation, "direction": "higher"}
        expected = np.mean([p.probs[p.labels == i, i].mean() - p.probs[p.labels != i, i].mean() for i in range(3)])
    toy = Metric(
        name="toy",
        label="Toy",
        help="Toy.",
        range=(-1.0, 1.0),
        reference="doi 10.1",
        input=kind,
        needs_scores=True,
        **entry,
    )
    row = metric_table(p, metrics=[toy]).iloc[0]
    assert row["value"] == pytest.approx(expected)
    assert row["lower_95"] < row["value"] < row["upper_95"]
    assert row["n_clusters"] == clusters(p).count


def _separation(scores, *, positive, groups, weights):
    rows = np.asarray(weights)[:, groups]
    means = [(rows * side) @ scores / (rows * side).sum(axis=1) for side in (positive, ~positive)]
    return means[0] - means[1]
