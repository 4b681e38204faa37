"""Metrics over seeds: the mean of the runs, with the same patients drawn for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics import metrics_of
from her2core.evidence.predictions import read_predictions
from her2core.evidence.seeds import summarize_seeds

CLASSES = ("negative", "equivocal", "positive")


def run(seed: int, *, patients=range(30), skill=1.5, each=8):
    """Test predictions of one run: patients of its own test part, all patches of one label."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in patients:
        for patch in range(each):
            scores = rng.normal(0, 1, 3)
            scores[patient % 3] += skill
            rows.append([f"{patient}-{patch}", f"P{patient:02d}", "test", CLASSES[patient % 3], *scores])
    names = ["patch_id", "patient_id", "split", "label", *(f"logit_{c}" for c in CLASSES)]
    return read_predictions(pd.DataFrame(rows, columns=names))


SKILLS = {"x-patient": 1.0, "x-random": 2.5, "y-patient": 1.2, "y-random": 2.0}


def test_the_value_is_the_mean_of_the_runs_and_the_extremes_are_theirs():
    runs = [run(0), run(1), run(2)]
    table = summarize_seeds({"a": runs, "b": [run(3)]}, reference="b").table
    row = table[(table["group"] == "a") & (table["metric"] == "accuracy")].iloc[0]
    each = [np.mean(p.predicted == p.labels) for p in runs]
    assert row["value"] == pytest.approx(np.mean(each))
    assert (row["lowest"], row["highest"]) == (pytest.approx(min(each)), pytest.approx(max(each)))
    assert row["lower_95"] < row["value"] <= row["upper_95"]
    assert set(table.loc[table["class"] == "", "metric"]) == {m.name for m in metrics_of("metrics") if not m.per_class}


@pytest.mark.parametrize("unit", ["patch", "patient"])
def test_both_readings_of_class_specific_accuracy_are_given_for_each_class(unit):
    runs = [run(0), run(1), run(2)]
    table = summarize_seeds({"a": runs}, reference="a", unit=unit).table.set_index(["metric", "class"])
    own = [metric_table(p if unit == "patch" else aggregate(p, unit)).set_index(["metric", "class"]) for p in runs]
    for key in ((name, c) for name in ("recall", "one_vs_rest_accuracy", "auroc") for c in CLASSES):
        each = [float(of.loc[key, "value"]) for of in own]
        assert table.loc[key, "value"] == pytest.approx(np.mean(each))
        assert (table.loc[key, "lowest"], table.loc[key, "highest"]) == pytest.approx((min(each), max(each)))
        assert table.loc[key, "lower_95"] < table.loc[key, "value"] <= table.loc[key, "upper_95"]
    one = summarize_seeds({"a": runs[:1]}, reference="a", unit=unit).table.set_index(["metric", "class"])
    for key in (("recall", CLASSES[1]), ("auroc", CLASSES[2])):
        expected = own[0].loc[key, ["value", "lower_95", "upper_95"]].to_numpy(float)
        assert one.loc[key, ["value", "lower_95", "upper_95"]].to_numpy(float) == pytest.approx(expected)


def test_pairs_of_groups_may_have_references_of_their_own():
    """Differences of each pair as if it stood alone; p values are corrected over all pairs."""
    groups = {name: [run(3 * k), run(3 * k + 1, skill=skill)] for k, (name, skill) in enumerate(SKILLS.items())}
    pairs = {"x-random": "x-patient", "y-random": "y-patient", "y-patient": "x-patient"}
    found = summarize_seeds(groups, reference=pairs).differences
    assert list(zip(found["group"], found["reference"], strict=True))[:: len(found) // 3] == list(pairs.items())
    for group, reference in pairs.items():
        two = {name: groups[name] for name in (reference, group)}
        alone = summarize_seeds(two, reference=reference).differences.set_index("metric")
        row = found[found["group"] == group].set_index("metric")
        for name in ("difference", "lower_95", "upper_95", "p_value"):
            assert row[name].to_numpy(float) == pytest.approx(alone[name].to_numpy(float), nan_ok=True)
    p = found[found["metric"] == "accuracy"].sort_values("p_value")
    assert p["p_value_holm"].iloc[0] == pytest.approx(min(1.0, 3 * p["p_value"].iloc[0]))


def accuracies(patients, runs, *, left_out=None):
    """Mean accuracy by patch of the runs, without one patient."""
    kept = [p.frame["patient_id"].ne(left_out).to_numpy() for p in runs]
    return np.mean([(p.predicted == p.labels)[rows].mean() for p, rows in zip(runs, kept, strict=True)])


def test_a_difference_adds_the_variance_of_patients_and_of_seeds():
    """Computed by hand: delete-one jackknife over 30 patients, variance of the means of 3 and 2 seeds."""
    a, b = [run(0), run(1), run(2)], [run(3, skill=1.0), run(4, skill=0.8)]
    found = summarize_seeds({"a": a, "b": b}, reference="a", primary="accuracy").differences
    row = found[found["metric"] == "accuracy"].iloc[0]
    names = [f"P{i:02d}" for i in range(30)]
    left = np.array([accuracies(names, b, left_out=n) - accuracies(names, a, left_out=n) for n in names])
    parts, degrees = [29 * left.var()], []
    u = left - left.mean()
    degrees.append(min(3 * np.sum(u**2) ** 2 / np.sum(u**4), 30) - 1)
    for runs in (b, a):
        each = [np.mean(p.predicted == p.labels) for p in runs]
        parts.append(np.var(each, ddof=1) / len(runs))
        degrees.append(len(runs) - 1)
    total = np.sum(parts)
    df = total**2 / np.sum(np.square(parts) / degrees)
    half = t.ppf(0.975, df) * np.sqrt(total)
    assert row["upper_95"] - row["difference"] == pytest.approx(half, rel=1e-6)
    assert row["difference"] - row["lower_95"] == pytest.approx(half, rel=1e-6)
    assert row["p_value"] == pytest.approx(2 * t.sf(abs(row["difference"]) / np.sqrt(total), df))


@pytest.mark.parametrize("unit", ["patch", "patient"])
def test_one_run_has_the_interval_of_the_metric_table(unit):
    p = run(2)
    found = summarize_seeds({"b": [p]}, reference="b", unit=unit).table.set_index("metric")
    own = metric_table(p if unit == "patch" else aggregate(p, unit)).query("`class` == ''").set_index("metric")
    for name in ("accuracy", "balanced_accuracy", "macro_auroc"):
        expected = own.loc[name, ["value", "lower_95", "upper_95"]].to_numpy(float)
        assert found.loc[name, ["value", "lower_95", "upper_95"]].to_numpy(float) == pytest.approx(expected)
    assert found["note"].str.startswith("one run only").all()


def test_seeds_that_differ_widen_the_interval():
    same, varied = [run(0), run(1), run(2)], [run(0, skill=0.3), run(1), run(2, skill=3.5)]
    table = summarize_seeds({"same": same, "varied": varied}, reference="same").table
    width = table.set_index(["group", "metric"]).eval("upper_95 - lower_95").xs("accuracy", level="metric")
    assert width["varied"] > 2 * width["same"]


def test_only_the_primary_metric_is_more_than_descriptive():
    same = [run(0), run(1), run(2)]
    groups = {"a": same, "b": same, "worse": [run(s, skill=0.1) for s in (5, 6, 7)]}
    found = summarize_seeds(groups, reference="a").differences
    primary = found[found["role"] == "primary"].set_index("group")
    assert set(primary["metric"]) == {"balanced_accuracy"}
    assert primary.loc["b", "statement"] == "no difference can be shown"
    assert primary.loc["worse", "statement"] == "lower than a"
    assert (found.loc[found["role"] == "descriptive", "statement"] == "").all()
    assert (found["p_value_holm"].dropna() >= found["p_value"].dropna()).all()
    none = summarize_seeds(groups, reference="a", primary=None).differences
    assert set(none["role"]) == {"descriptive"}


def test_a_class_of_three_patients_who_do_not_differ_is_not_known_exactly():
    label = np.array(["negative"] * 20 + ["positive"] * 3)
    frame = pd.DataFrame({"patch_id": range(23), "patient_id": [f"P{i}" for i in range(23)], "label": label})
    first = read_predictions(frame.assign(predicted=label))
    second = read_predictions(frame.assign(predicted=np.where(np.arange(23) < 8, "positive", label)))
    found = summarize_seeds({"a": [first] * 2, "b": [second] * 2}, reference="a", unit="patient")
    row = found.differences.set_index("metric").loc["balanced_accuracy"]
    assert row["difference"] == pytest.approx(-0.2)
    assert row["statement"] == "no difference can be shown"  # positives may well be found more often by b
    value = found.table.set_index(["group", "metric", "class"]).loc[("b", "balanced_accuracy", "")]
    assert value["lower_95"] < 0.6


def test_one_run_says_nothing_about_another_training():
    found = summarize_seeds({"a": [run(0), run(1)], "worse": [run(5, skill=0.1)]}, reference="a").differences
    primary = found[found["role"] == "primary"].iloc[0]
    assert primary["statement"].startswith("cannot be compared: one run only")
    assert primary["upper_95"] < 0, "the interval is about these runs"


def test_a_claim_about_sites_leaves_out_sites_and_two_are_too_few():
    def at(sites, seed, skill=1.5):
        p = run(seed, skill=skill)
        return replace(p, frame=p.frame.assign(site=[f"S{int(n[1:]) % sites}" for n in p.frame["patient_id"]]))

    two = {"patient": [at(2, 0), at(2, 1)], "site": [at(2, 2), at(2, 3)]}
    found = summarize_seeds(two, reference="patient", by_site=("site",))
    primary = found.differences.query("role == 'primary'").iloc[0]
    assert primary["statement"].startswith("cannot be compared: only 2 sites")
    assert np.isnan(primary["lower_95"])
    five = {"patient": [at(5, 0), at(5, 1)], "site": [at(5, 2, 0.1), at(5, 3, 0.1)]}
    found = summarize_seeds(five, reference="patient", by_site=("site",))
    row = found.table.query("group == 'site' and metric == 'accuracy'").iloc[0]
    assert (row["resampling_unit"], row["n_clusters"]) == ("site", 5)
    names = [f"S{i}" for i in range(5)]
    runs = five["site"]
    left = np.array(
        [np.mean([(p.predicted == p.labels)[(p.frame["site"] != n).to_numpy()].mean() for p in runs]) for n in names]
    )
    assert left.std() > 0
    assert row["lower_95"] < row["value"] < row["upper_95"]


def test_without_patients_single_rows_are_drawn_and_every_row_says_so():
    p = run(0)
    unknown = replace(p, frame=p.frame.assign(patient_id="unknown"))
    found = summarize_seeds({"a": [unknown], "b": [unknown]}, reference="a")
    assert set(found.table["resampling_unit"]) == {"patch"}
    assert found.table["note"].str.contains("patients unknown; leaves out single rows").all()
    assert set(found.table["n_clusters"]) == {len(p)}
    one = replace(p, frame=p.frame.assign(patient_id="P1"))
    assert summarize_seeds({"a": [one]}, reference="a").table["note"].str.contains("only 1 patient;").all()


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"a": []}, "at least one run"),
        ({"b": [run(0)]}, "at least one run"),
        (
            {
                "a": [run(0)],
                "b": [
                    read_predictions(
                        pd.DataFrame(
                            {
                                "patient_id": ["1", "2"],
                                "label": ["x", "y"],
                                "probability_x": [0.9, 0.1],
                                "probability_y": [0.1, 0.9],
                            }
                        )
                    )
                ],
            },
            "same classes",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(groups, said):
    with pytest.raises(EvaluationError, match=said):
        summarize_seeds(groups, reference="a")
