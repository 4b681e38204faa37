"""Table of metrics: every value and interval recomputed by plain loops and independent libraries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bounds import jackknife_t, sizes_of_clusters, without_each
from cohorts import CLASSES, as_frame, simulated
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence import resampling
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics import metrics_of
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.evidence.resampling import MIN_CLUSTERS, bootstrap_weights


def test_draws_take_as_many_clusters_as_there_are_and_follow_the_seed():
    drawn = bootstrap_weights(30, 50, 7)
    assert drawn.shape == (50, 30)
    assert (drawn.sum(axis=1) == 30).all()
    assert (drawn == drawn.round()).all()
    np.testing.assert_array_equal(drawn, bootstrap_weights(30, 50, 7))
    assert not np.array_equal(drawn, bootstrap_weights(30, 50, 8))
    assert bootstrap_weights(30, 4000, 0).var() == pytest.approx(29 / 30, rel=0.03), "multinomial, one draw each"


def theirs_on(p: Predictions):
    """Every metric by scikit-learn, of the rows it is given; every class must be among them."""

    def metrics(rows) -> dict[tuple[str, str], float]:
        y, guess, probs = p.labels[rows], p.predicted[rows], p.probs[rows]
        k = len(p.classes)
        values = {
            ("accuracy", ""): sk.accuracy_score(y, guess),
            ("balanced_accuracy", ""): sk.balanced_accuracy_score(y, guess),
            ("macro_f1", ""): sk.f1_score(y, guess, average="macro"),
            ("quadratic_kappa", ""): sk.cohen_kappa_score(y, guess, weights="quadratic", labels=range(k)),
            ("matthews_correlation", ""): sk.matthews_corrcoef(y, guess),
            ("negative_log_likelihood", ""): sk.log_loss(y, probs, labels=range(k)),
        }
        for i, name in enumerate(p.classes):
            values["recall", name] = sk.recall_score(y == i, guess == i)
            values["specificity", name] = sk.recall_score(y != i, guess != i)
            values["precision", name] = sk.precision_score(y == i, guess == i, zero_division=np.nan)
            values["npv", name] = sk.precision_score(y != i, guess != i, zero_division=np.nan)
            values["f1", name] = sk.f1_score(y == i, guess == i)
            values["one_vs_rest_accuracy", name] = sk.accuracy_score(y == i, guess == i)
            values["auroc", name] = sk.roc_auc_score(y == i, probs[:, i])
            values["average_precision", name] = sk.average_precision_score(y == i, probs[:, i])
        for metric in ("auroc", "average_precision"):
            values[f"macro_{metric}", ""] = np.mean([values[metric, name] for name in p.classes])
        return values

    return metrics


def denominator(p: Predictions, metric: str, name: str):
    """Rows in the denominator; all for an average over classes or pairs of rows."""
    i = p.classes.index(name) if name else 0
    of_class = {
        "recall": p.labels == i,
        "f1": p.labels == i,
        "specificity": p.labels != i,
        "precision": p.predicted == i,
        "npv": p.predicted != i,
    }
    return of_class.get(metric, np.ones(len(p), bool))


@pytest.mark.parametrize("ties", [False, True])
def test_every_value_and_interval_is_recomputed_with_each_patient_left_out(ties):
    p = simulated(patient_effect=1.0, ties=ties)
    table = metric_table(p).set_index(["metric", "class"])
    expected = theirs_on(p)(np.arange(len(p)))
    assert sorted(table.index) == sorted(expected), "a new metric needs an oracle here"
    left, limits = without_each(p, theirs_on(p)), {"quadratic_kappa": (-1, 1), "matthews_correlation": (-1, 1)}
    limits["negative_log_likelihood"] = (0, np.inf)
    for key, value in expected.items():
        assert table.loc[key, "value"] == pytest.approx(value), key
        sizes = sizes_of_clusters(p, denominator(p, *key))
        bounds = jackknife_t(value, left[key], sizes, limits=limits.get(key[0], (0, 1)))
        assert tuple(table.loc[key, ["lower_95", "upper_95"]]) == pytest.approx(bounds), key
    assert set(table["interval_method"]) == {"logit jackknife t", "log jackknife t"}
    assert set(table["resampling_unit"]) == {"patient"}
    assert set(table["n_clusters"]) == {24}
    assert set(table["n"]) == {240}
    notes = table.drop(index=("quadratic_kappa", ""))["note"]
    assert all(note == "" or note.startswith("few effective clusters (about ") for note in notes)


def test_the_table_has_every_metric_once_and_the_estimate_inside():
    p = simulated()
    table = metric_table(p)
    expected = {(m.name, c) for m in metrics_of("metrics") for c in (CLASSES if m.per_class else ("",))}
    keys = list(zip(table["metric"], table["class"], strict=True))
    assert set(keys) == expected
    assert len(keys) == len(expected)
    assert (table["lower_95"] <= table["value"]).all()
    assert (table["value"] <= table["upper_95"]).all()
    assert not {"level"} & set(table)
    macro = table.loc[table["metric"] == "macro_auroc", "value"].item()
    assert macro == pytest.approx(sk.roc_auc_score(p.labels, p.probs, multi_class="ovr"))


def test_a_selection_has_the_rows_of_the_whole():
    p, names = simulated(), ["accuracy", "npv", "auroc"]
    whole, some = metric_table(p), metric_table(p, metrics=names)
    assert list(dict.fromkeys(some["metric"])) == names
    expected = whole[whole["metric"].isin(names)].set_index(["metric", "class"])
    pd.testing.assert_frame_equal(
        some.set_index(["metric", "class"]), expected.loc[some.set_index(["metric", "class"]).index]
    )


def test_an_unknown_metric_is_refused_with_what_is_accepted():
    with pytest.raises(ConfigError, match="argument `metrics` to be out of 'accuracy', .* but got 'acuracy'"):
        metric_table(simulated(), metrics=["acuracy"])


def test_intervals_that_hold_together_are_wider():
    table = metric_table(simulated(strength=0.7), metrics=["accuracy", "recall", "f1"], simultaneous=5)
    wide = table["upper_simultaneous"] - table["lower_simultaneous"]
    assert (wide > table["upper_95"] - table["lower_95"]).all()


def width(p: Predictions, metric: str) -> float:
    table = metric_table(p, metrics=[metric]).set_index(["metric", "class"])
    return float(table.loc[(metric, ""), "upper_95"] - table.loc[(metric, ""), "lower_95"])


@pytest.mark.parametrize("metric", ["accuracy", "macro_auroc"])
def test_patients_are_resampled_not_patches(metric):
    """Where all patches of a patient say the same, 20 times more patches are no more evidence."""
    once = simulated(30, 30, strength=0.8)
    copied = pd.concat([as_frame(once).assign(patch_id=lambda f, i=i: f["patch_id"] + f"c{i}") for i in range(20)])
    together = read_predictions(copied, classes=CLASSES)
    assert width(together, metric) == pytest.approx(width(once, metric), rel=0.1)
    naive = read_predictions(copied.assign(patient_id="unknown"), classes=CLASSES)
    assert width(together, metric) > 3.5 * width(naive, metric)


def test_unknown_and_too_few_patients_are_said_and_patches_resampled():
    nameless = metric_table(simulated(patient_id="unknown"))
    assert nameless["note"].str.startswith("patients unknown; resamples patches").all()
    assert set(nameless["resampling_unit"]) == {"patch"}
    assert set(nameless["n_clusters"]) == {240}
    half = simulated(patient_id=["unknown"] + ["p"] * 239)
    assert set(metric_table(half)["resampling_unit"]) == {"patch"}
    four = metric_table(simulated(patients=MIN_CLUSTERS - 1))
    assert four["note"].str.startswith("only 4 patients; resamples patches, which are not independent").all()
    one = metric_table(simulated(patient_id="p"))
    assert one["note"].str.startswith("only 1 patient; ").all()
    five = metric_table(simulated(patients=MIN_CLUSTERS))
    assert set(five["resampling_unit"]) == {"patient"}
    assert set(five["n_clusters"]) == {5}


def test_a_class_without_a_case_has_no_value_no_bounds_and_a_note():
    p = simulated()
    table = metric_table(p.where(p.labels != 1)).set_index(["metric", "class"])
    missing = table.loc[[("recall", "equivocal"), ("f1", "equivocal"), ("auroc", "equivocal"), ("macro_auroc", "")]]
    assert missing[["value", "lower_95", "upper_95"]].isna().all(axis=None)
    assert missing["note"].str.contains("cannot be computed").all()
    assert table.loc[("accuracy", ""), ["value", "lower_95", "upper_95"]].notna().all()
    assert table.loc[("recall", "negative"), "note"] == ""
    assert table.loc[("recall", "equivocal"), "note"] == "cannot be computed: no patch is truly equivocal"


def test_a_class_of_one_patient_has_a_value_but_no_bounds():
    p = simulated()
    rare = p.where((p.labels != 1) | (p.frame["patient_id"] == "p1").to_numpy())
    table = metric_table(rare).set_index(["metric", "class"])
    for metric, name in (
        ("recall", "equivocal"),
        ("auroc", "equivocal"),
        ("macro_auroc", ""),
        ("balanced_accuracy", ""),
    ):
        row = table.loc[(metric, name)]
        assert np.isfinite(row["value"]), metric
        assert row[["lower_95", "upper_95"]].isna().all(), metric
        assert row["note"] == "no interval: only 1 patient of equivocal; at least 3 are needed", metric
    assert np.isfinite(table.loc[("recall", "negative"), "lower_95"])


def test_a_mean_over_classes_says_that_one_has_no_case():
    p = simulated()
    table = metric_table(p.where(p.labels != 1)).set_index(["metric", "class"])
    for metric in ("balanced_accuracy", "macro_f1"):
        assert table.loc[(metric, ""), "note"].startswith("over the other classes: no patch is truly equivocal"), metric
    assert table.loc[("accuracy", ""), "note"] == ""


def test_a_class_of_three_patients_all_right_is_not_known_exactly():
    """16 of 20 negatives and 3 of 3 positives: Wilson's interval of 3 of 3 reaches down to 0.44."""
    label = np.array(["negative"] * 20 + ["positive"] * 3)
    predicted = np.where(np.arange(23) < 4, "positive", label)
    frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(23)], "label": label, "predicted": predicted})
    row = metric_table(Predictions.from_frame(frame), metrics=["balanced_accuracy"]).iloc[0]
    rare, _ = proportion_confint(3, 3, method="wilson")
    common = [end / 2 for end in proportion_confint(16, 20, method="wilson")]
    below = np.hypot(0.4 - common[0], (1 - rare) / 2)
    assert row["value"] == pytest.approx(0.9)
    assert row["value"] - row["lower_95"] == pytest.approx(below, rel=0.1)
    assert row["upper_95"] < 0.98  # and no further up, where positives cannot be better


@pytest.mark.parametrize("known", [True, False])
def test_more_clusters_than_the_pair_table_holds_are_bundled_whole(monkeypatch, known):
    """Bundles of whole patients: the AUROC stays exact, and its interval as wide as without bundles."""
    base = simulated(60, 60, strength=0.8)
    frame = pd.concat([as_frame(base).assign(patch_id=lambda f, i=i: f["patch_id"] + f"c{i}") for i in range(6)])
    p = read_predictions(frame if known else frame.assign(patient_id="unknown"), classes=CLASSES)
    keys = [("macro_auroc", ""), ("negative_log_likelihood", ""), ("average_precision", "positive")]
    names = [metric for metric, _ in keys]
    exact = metric_table(p, metrics=names).set_index(["metric", "class"])
    monkeypatch.setattr(resampling, "MAX_GROUPS", 40)
    bundled = metric_table(p, metrics=names).set_index(["metric", "class"])
    for key in keys:
        assert bundled.loc[key, "value"] == pytest.approx(exact.loc[key, "value"])
        widths = [float(t.loc[key, "upper_95"] - t.loc[key, "lower_95"]) for t in (bundled, exact)]
        assert widths[0] == pytest.approx(widths[1], rel=0.35), key


def test_the_order_of_the_classes_is_stated_and_without_one_there_is_no_kappa():
    row = metric_table(simulated(), metrics=["quadratic_kappa"]).iloc[0]
    assert row["note"].startswith("classes in the order negative, equivocal, positive")
    reason = "not given: no order"
    row = metric_table(simulated(), metrics=["quadratic_kappa"], no_order=reason).iloc[0]
    assert row[["value", "lower_95", "upper_95"]].isna().all()
    assert row["note"] == reason


def test_a_probability_of_zero_for_the_true_class_is_finite_and_stated():
    p = simulated(30, 6)
    probs = np.where(np.arange(30)[:, None] == 4, np.eye(3)[(p.labels + 1) % 3], p.probs)
    q = Predictions(p.frame, probs, p.labels, CLASSES)
    row = metric_table(q, metrics=["negative_log_likelihood"]).iloc[0]
    assert row["value"] == pytest.approx(sk.log_loss(p.labels, probs, labels=range(3)))
    assert row["note"].startswith("1 with probability 0 of the true class")


@pytest.mark.parametrize("case", ["one class", "constant", "one patient", "one row", "all right"])
def test_extreme_predictions_give_a_value_or_its_reason(case):
    p = simulated(60, 12)
    if case == "one class":
        p = p.where(p.labels == 2)
    elif case == "constant":
        p = Predictions(p.frame, np.full((60, 3), 1 / 3), p.labels, p.classes)
    elif case == "one patient":
        p = p.where((p.frame["patient_id"] == "p3").to_numpy())
    elif case == "one row":
        p = p.where(np.arange(60) == 0)
    else:
        p = Predictions(p.frame, np.eye(3)[p.labels], p.labels, p.classes)
    table = metric_table(p)
    assert (table["value"].notna() | table["note"].str.contains("cannot be computed")).all()
    assert (table["lower_95"].notna() | table["note"].str.contains("cannot be computed|no interval")).all()
    assert not table["note"].str.contains("undefined for these rows").any(), "no reason"
    values = table.set_index(["metric", "class"])["value"]
    if case == "all right":
        assert values["quadratic_kappa", ""] == values["matthews_correlation", ""] == 1
    if case == "constant":
        assert values["quadratic_kappa", ""] == 0
        assert np.isnan(values["matthews_correlation", ""])
        assert values["average_precision", "positive"] == pytest.approx(np.mean(p.labels == 2))


def test_no_rows_are_refused():
    with pytest.raises(EvaluationError, match="Expected at least one prediction, but got none"):
        metric_table(simulated().where(np.zeros(240, bool)))
