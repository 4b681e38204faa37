"""ISH tests saved against positives missed, and three-way decision curves."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from her2core.cli import cli
from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.decisions import decision_curve
from her2core.evidence.evaluation import evaluate
from her2core.evidence.inputs import inputs_from_predictions
from her2core.evidence.ish_referral import ISH_LABELS, case_mix, ish_table, policies
from her2core.evidence.predictions import Predictions, id_table, read_predictions
from her2core.evidence.result_tables import result_table
from her2core.evidence.three_way import STRATEGIES, three_way_curve
from her2core.labels import SCHEMES, her2_classes, referral_class

CLASSES = ("negative", "equivocal", "positive")


def cohort(patients=90, *, classes=CLASSES, seed=0) -> Predictions:
    """One row a patient, with informative probabilities."""
    rng = np.random.default_rng(seed)
    labels = np.arange(patients) % len(classes)
    odds = np.exp(rng.normal(size=(patients, len(classes))) + 1.5 * np.eye(len(classes))[labels])
    ids = {"patient_id": pd.Series(np.arange(patients)).astype("str")}
    probs = odds / odds.sum(axis=1, keepdims=True)
    return Predictions(id_table(ids, patients), probs, labels, classes, unit="patient")


def statuses(
    p: Predictions, prevalence: float, ish_positive: float, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A population of that prevalence: rows of ``p`` drawn by their status, and whether each is positive."""
    rng = np.random.default_rng(seed)
    kind = np.array(p.classes)[p.labels]
    pool = rng.integers(0, len(p), 4 * n)
    positive = (kind[pool] == "positive") | ((kind[pool] == "equivocal") & (rng.random(4 * n) < ish_positive))
    want = rng.random(n) < prevalence
    drawn = np.where(want, rng.choice(pool[positive], n), rng.choice(pool[~positive], n))
    return drawn, want


@pytest.mark.parametrize(("prevalence", "ish_positive"), [(0.15, 0.2), (0.4, 0.0), (0.15, 1.0)])
def test_the_table_is_what_happens_to_a_population_of_that_prevalence(prevalence, ish_positive):
    p = cohort()
    sets = PredictionSets(0.9, CLASSES, (0.7, 0.6, 0.7), (30,) * 3, (30,) * 3, "patient")
    table = ish_table(p, sets, prevalence=prevalence, ish_positive=ish_positive)
    drawn, positive = statuses(p, prevalence, ish_positive, 200_000, seed=1)
    values = table.pivot(index="policy", columns="metric", values="value")
    assert {"test every case", "most probable class", "prediction set"} <= set(values.index)
    for policy, action in policies(p, sets).items():
        done = action[drawn]
        expected = {
            "ish_tests": (done == 1).mean(),
            "ish_tests_saved": (done != 1).mean(),
            "positives_missed": (positive & (done == 0)).mean(),
            "positives_missed_of_positive": (done == 0)[positive].mean(),
            "negatives_called_positive": (~positive & (done == 2)).mean(),
        }
        assert values.loc[policy, list(ISH_LABELS)].to_dict() == pytest.approx(expected, abs=0.006), policy
    assert set(table["prevalence"].round(9)) == {prevalence}


def test_policies_do_what_their_names_say():
    probs = [[0.96, 0.03, 0.01], [0.85, 0.1, 0.05], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]]
    p = Predictions(id_table({}, 5), np.array(probs), np.array([0, 0, 1, 2, 2]), CLASSES)
    sets = PredictionSets(0.9, CLASSES, (0.5, 0.5, 0.5), (9, 9, 9))
    found = policies(p, sets)
    assert found["test every case"].tolist() == [1] * 5
    assert found["most probable class"].tolist() == [0, 0, 1, 2, 0]
    assert found["prediction set"].tolist() == [0, 0, 1, 2, 1]  # equivocal alone and the empty set are referred
    assert found["negative below 5%"].tolist() == [0, 1, 1, 1, 1]
    assert found["negative below 20%"].tolist() == [0, 0, 1, 1, 1]
    hard = read_predictions(pd.DataFrame({"label": ["negative", "positive"], "predicted": ["negative", "positive"]}))
    assert list(policies(hard)) == ["test every case", "most probable class"]


def test_what_a_policy_never_does_is_not_estimated():
    table = ish_table(cohort()).set_index(["policy", "metric"])
    bounds = ["lower_95", "upper_95"]
    assert table.loc[("test every case", "ish_tests"), bounds].tolist() == [1, 1]
    assert table.loc[("negative below 5%", "negatives_called_positive"), bounds].tolist() == [0, 0]
    assert table.loc[("negative below 5%", "positives_missed"), "upper_95"] > 0.01  # none seen is not none


def test_intervals_cover_the_rates_of_the_population():
    population = cohort(60_000, seed=99)
    truth = ish_table(population, prevalence=0.15).set_index(["policy", "metric"])["value"]
    hits = []
    for seed in range(200):
        table = ish_table(cohort(60, seed=seed), prevalence=0.15).set_index(["policy", "metric"])
        for key in [("most probable class", "ish_tests"), ("negative below 20%", "positives_missed")]:
            hits.append(table.loc[key, "lower_95"] <= truth[key] <= table.loc[key, "upper_95"])
    assert np.mean(hits) > 0.92


def test_a_case_mix_keeps_proportions_among_the_positive_and_among_the_negative():
    kinds = np.array([0] * 60 + [1] * 20 + [2] * 20)
    mix = case_mix(kinds, prevalence=0.1, ish_positive=0.25)
    assert mix.positive.tolist() == pytest.approx([0, 0.1 * 5 / 25, 0.1 * 20 / 25])
    assert mix.weights.tolist() == pytest.approx([0.9 * 60 / 75, 0.02 + 0.9 * 15 / 75, 0.08])
    own = case_mix(kinds, ish_positive=0.25)
    assert own.weights.tolist() == pytest.approx([0.6, 0.2, 0.2])
    assert own.prevalence == pytest.approx(0.25)
    with pytest.raises(EvaluationError, match="only one of these"):
        case_mix(np.zeros(5, int))
    with pytest.raises(ConfigError, match="argument `ish_positive`"):
        case_mix(kinds, ish_positive=1.5)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_the_class_that_asks_for_ish_is_that_of_ihc_2(scheme):
    asks = dict(scheme.by_ihc).get("2+", "") if scheme.is_her2 else ""
    assert referral_class(scheme.classes[::-1]) == asks
    assert (her2_classes(scheme.classes) is None) == (not scheme.is_her2)


def test_other_classes_have_no_ish_test():
    p = cohort(classes=("low", "middle", "high"))
    with pytest.raises(EvaluationError, match="classes that are a HER2 status"):
        ish_table(p)
    found = result_table(inputs_from_predictions(read_predictions(frame(p))), "ish_referral")
    assert found.frame.empty
    assert found.missing["reason"].str.contains("HER2 status").all()


def frame(p: Predictions) -> pd.DataFrame:
    table = p.frame.assign(label=np.array(p.classes)[p.labels], patch_id=[f"q{i}" for i in range(len(p))])
    return table.assign(**{f"probability_{c}": p.probs[:, i] for i, c in enumerate(p.classes)})


# three-way decisions


def by_hand(p: Predictions, t: float, h: float, q: float) -> dict[str, float]:
    """Expected worth of each strategy, case by case."""
    w, worth = t / (1 - t), {s: [] for s in STRATEGIES}
    for row, label in zip(p.probs, p.labels, strict=True):
        positive = row[2] + q * row[1]
        is_positive = [0, q, 1][label]
        value = {0: 0.0, 1: is_positive - h, 2: is_positive - w * (1 - is_positive)}
        expected = [0.0, positive - h, positive - w * (1 - positive)]
        worth["model, three-way"].append(value[int(np.argmax(expected))])
        worth["model, two-way"].append(value[2 if positive >= t else 0])
        worth["test every case"].append(value[1])
        worth["all positive"].append(value[2])
        worth["all negative"].append(value[0])
    return {s: float(np.mean(v)) for s, v in worth.items()}


@pytest.mark.parametrize("q", [0.0, 0.3])
def test_the_curve_is_the_mean_worth_of_what_is_done(q):
    p = cohort()
    table = three_way_curve(p, thresholds=[0.1, 0.5, 0.9], harms=[0.0, 0.05], ish_positive=q, resamples=50)
    for (t, h), rows in table.groupby(["threshold", "harm"]):
        assert rows.set_index("strategy")["value"].to_dict() == pytest.approx(by_hand(p, t, h, q)), (t, h)


def test_without_equivocal_and_with_a_dear_test_it_is_the_decision_curve():
    p = cohort(classes=("negative", "positive"))
    ours = three_way_curve(p, thresholds=[0.2, 0.5], harms=[0.99], resamples=200)
    theirs = decision_curve(p, of="positive", thresholds=[0.2, 0.5], resamples=200)
    for mine, known in (("model, three-way", "model"), ("model, two-way", "model"), ("all positive", "treat all")):
        one, two = ours[ours["strategy"] == mine], theirs[theirs["strategy"] == known]
        columns = ["threshold", "value", "lower_95", "upper_95"]
        np.testing.assert_allclose(one[columns], two[columns], err_msg=mine)


def test_a_free_and_certain_test_is_never_beaten():
    table = three_way_curve(cohort(), harms=[0.0], resamples=20).pivot(
        index="threshold", columns="strategy", values="value"
    )
    assert (table["test every case"] >= table.max(axis=1) - 1e-12).all()


@pytest.mark.parametrize("options", [{"thresholds": [0]}, {"thresholds": [1.0]}, {"harms": [1.0]}, {"harms": []}])
def test_harms_and_thresholds_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="to be above 0 and below 1"):
        three_way_curve(cohort(), **options)


# the command


def test_the_command_names_the_prevalence(tmp_path):
    file = tmp_path / "theirs.csv"
    p = cohort()
    frame(p).to_csv(file, index=False)
    run = CliRunner()
    text = run.invoke(cli, ["evaluate", str(file), "--prevalence", "0.15"]).output
    assert "Predictive values by patient at a prevalence of 15.0% of the class" in text
    assert "ISH taken to find 20% of equivocal cases positive: stated, not measured" in text
    found = json.loads(run.invoke(cli, ["evaluate", str(file), "--prevalence", "0.15", "--json"]).output)
    rows = pd.DataFrame(found["predictive_values"]).query(
        "unit == 'patient' and metric == 'ppv' and `class` == 'positive'"
    )
    figures = (
        evaluate(frame(p)).metrics.query("unit == 'patient' and `class` == 'positive'").set_index("metric")["value"]
    )
    s, c = figures["recall"], figures["specificity"]
    assert rows["value"].tolist() == pytest.approx([s * 0.15 / (s * 0.15 + (1 - c) * 0.85)])
    assert rows["prevalence"].tolist() == [0.15]
    assert "predictive_values" not in json.loads(run.invoke(cli, ["evaluate", str(file), "--json"]).output)


def test_patients_with_cases_of_several_kinds_are_said():
    label = np.array(["negative", "positive"] * 20)
    frame = pd.DataFrame({"label": label, "predicted": label})
    apart = read_predictions(frame.assign(patient_id=[f"P{i}" for i in range(40)]))
    mixed = read_predictions(frame.assign(patient_id=[f"P{i // 4}" for i in range(40)]))
    said = "patients with cases of several kinds: their correlation is ignored"
    assert not ish_table(apart)["note"].str.contains(said).any()
    assert ish_table(mixed)["note"].str.contains(said).all()
