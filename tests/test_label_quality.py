"""Discordance of IHC and ISH, label noise and suspected labels, against scipy, simulations and plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.discordance import clopper_pearson, discordance_table
from her2core.evidence.inputs import inputs_from_predictions
from her2core.evidence.label_noise import (
    label_error_from_agreement,
    label_noise_sentence,
    label_noise_table,
    true_accuracy,
)
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.evidence.result_tables import result_table
from her2core.evidence.suspected_labels import confident_classes, suspected_labels


@pytest.mark.parametrize(("count", "n"), [(0, 9), (9, 9), (7, 8), (36, 174), (1, 1)])
def test_exact_interval_is_that_of_scipy(count, n):
    expected = binomtest(count, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def cohort():
    """Ten patients of two patches: two IHC 3+ of which one is ISH negative, and so on."""
    ihc = ["0", "1+", "1+", "2+", "2+", "2+", "3+", "3+", "3+", None]
    ish = ["negative", "positive", "unknown", "negative", "neg", "positive", "Negative", "positive", None, "positive"]
    one = pd.DataFrame({"patient_id": [f"P{i}" for i in range(10)], "her2_ihc": ihc, "ish": ish, "split": "train"})
    return pd.concat([one, one.assign(split="test")], ignore_index=True)


def test_patients_are_counted_once_and_unknown_results_apart():
    found = discordance_table(cohort()).set_index(["her2_ihc", "ish"])
    assert found["count"].to_dict() == {
        **{("0", "negative"): 1, ("0", "positive"): 0, ("0", "unknown"): 0},
        **{("1+", "negative"): 0, ("1+", "positive"): 1, ("1+", "unknown"): 1},
        **{("2+", "negative"): 2, ("2+", "positive"): 1, ("2+", "unknown"): 0},
        **{("3+", "negative"): 1, ("3+", "positive"): 1, ("3+", "unknown"): 1},
        **{("0 or 1+", "negative"): 1, ("0 or 1+", "positive"): 1, ("0 or 1+", "unknown"): 1},
    }
    assert found.loc[("3+", "negative"), ["value", "n"]].tolist() == [0.5, 2]
    assert found.loc[("3+", "unknown"), ["value", "n"]].tolist() == [pytest.approx(1 / 3), 3]
    assert found.loc[("2+", "positive"), "published_low"] == pytest.approx(71 / 483)
    assert found.loc[("1+", "positive"), "published_source"] == ""
    assert len(discordance_table(cohort(), part="test")) == len(found)


def test_a_patient_with_two_results_is_left_out_and_said():
    rows = cohort()
    rows.loc[rows["patient_id"].eq("P7") & rows["split"].eq("test"), "ish"] = "negative"
    found = discordance_table(rows).set_index(["her2_ihc", "ish"])
    assert found.loc[("3+", "positive"), "count"] == 0
    assert found["note"].str.contains("1 patients with several scores or results left out").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.drop(columns="ish"), "a column ish"),
        (lambda c: c.assign(patient_id="unknown"), "known patients"),
        (lambda c: c.assign(ish="unknown"), "patients with an IHC score and an ISH result"),
    ],
)
def test_without_results_or_patients_there_is_no_table(change, message):
    with pytest.raises(EvaluationError, match=message):
        discordance_table(change(cohort()))


def noisy(rng, truth, error, classes):
    """Labels of which a share is another class, each equally likely."""
    wrong = rng.random(len(truth)) < error
    return np.where(wrong, (truth + rng.integers(1, classes, len(truth))) % classes, truth)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_independent_label_errors_are_corrected_as_in_a_simulation(classes):
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes, 400_000)
    network, labels = noisy(rng, truth, 0.12, classes), noisy(rng, truth, 0.07, classes)
    observed = float((network == labels).mean())
    found = true_accuracy(observed, label_error=0.07, classes=classes)
    assert found.independent == pytest.approx(0.88, abs=0.005)
    assert found.lowest <= 0.88 <= found.highest
    agreement = float((noisy(rng, truth, 0.07, classes) == labels).mean())
    assert label_error_from_agreement(agreement, classes=classes) == pytest.approx(0.07, abs=0.003)


def test_the_bounds_hold_for_the_worst_and_the_best_dependence():
    truth = np.zeros(1000, int)
    labels = np.where(np.arange(1000) < 50, 1, 0)
    for network in (labels, truth):  # repeats every error of the labels; knows the truth
        observed, true = float((network == labels).mean()), float((network == truth).mean())
        found = true_accuracy(observed, label_error=0.05, classes=2)
        assert found.lowest - 1e-12 <= true <= found.highest + 1e-12
        assert min(abs(true - found.lowest), abs(true - found.highest)) < 1e-9  # attained
    table = label_noise_table(
        read_predictions(pd.DataFrame({"label": labels, "predicted": labels})), label_errors=(0.05,)
    )
    assert "above the 95.0 % that a network without any error would reach" in label_noise_sentence(table.iloc[0])


@pytest.mark.parametrize("call", [lambda: true_accuracy(0.9, label_error=0.5, classes=2),
                                  lambda: true_accuracy(1.2, label_error=0.1, classes=2),
                                  lambda: label_error_from_agreement(0.5, classes=2)])  # fmt: skip
def test_impossible_assumptions_are_refused(call):
    with pytest.raises(ConfigError):
        call()


def scored(n=900, flipped=40, seed=0):
    """Three classes with sharp probabilities, some labels changed to the next class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + 4 * np.eye(3)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.choice(n, flipped, replace=False)
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    return probs, labels, wrong


def confident_by_loops(probs, labels):
    """The class of equations 1 and 2 of Northcutt et al. 2021, row by row; -1 where there is none."""
    thresholds = [np.mean([p[j] for p, y in zip(probs, labels, strict=True) if y == j]) for j in range(probs.shape[1])]
    reached = [[j for j, t in enumerate(thresholds) if p[j] >= t] for p in probs]
    return [max(classes, key=lambda j: p[j]) if classes else -1 for p, classes in zip(probs, reached, strict=True)]


def test_the_class_of_confidence_is_that_of_the_paper():
    probs, labels, _ = scored()
    assert confident_classes(probs, labels).tolist() == confident_by_loops(probs, labels)


def test_changed_labels_are_suspected_and_few_others():
    probs, labels, wrong = scored()
    names = ("a", "b", "c")
    frame = pd.DataFrame({"patch_id": [f"q{i}" for i in range(len(labels))], "label": np.array(names)[labels]})
    frame[[f"probability_{c}" for c in names]] = probs
    p = Predictions.from_frame(frame)
    found = suspected_labels(p)
    hit = found["id"].isin([f"q{i}" for i in wrong])
    assert hit.sum() >= 34
    assert hit.mean() > 0.8
    assert found["probability"].sub(found["probability_suggested"]).is_monotonic_increasing
    assert set(found["suspected"]) == {len(found)}
    assert len(suspected_labels(p, listed=5)) == 5
    with pytest.raises(EvaluationError, match="probabilities"):
        suspected_labels(read_predictions(frame[["label"]].assign(predicted=frame["label"])))


def test_columns_of_an_uploaded_table_reach_the_tables():
    rows = cohort().assign(label=["negative", "positive"] * 10, predicted=["negative", "positive"] * 10)
    found = result_table(inputs_from_predictions(read_predictions(rows)), "discordance")
    assert set(found.frame["part"]) == {"all", "test"}
    assert found.frame["count"].sum() > 0
    without = result_table(inputs_from_predictions(read_predictions(rows.drop(columns="ish"))), "discordance")
    assert without.frame.empty
    assert without.missing["reason"].str.contains("a column ish").all()
