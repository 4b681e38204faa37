"""Risk-coverage curve and referral: counted row by row, with intervals of resampled patients, and their figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bounds import by_rows, effective, jackknife_t, sizes_of_clusters, wilson, without_each
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence import resampling
from her2core.evidence.abstention import OUTCOMES, referral_table, risk_coverage
from her2core.evidence.aggregate import aggregate
from her2core.evidence.conformal import PredictionSets, fit_prediction_sets
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.run_sets import coverage_table
from her2core.plots.abstention import (
    referral_description,
    referral_figure,
    risk_coverage_description,
    risk_coverage_figure,
)

CLASSES = ("negative", "equivocal", "positive")
few = settings(max_examples=40, deadline=None)


def predictions(n=240, patients=24, *, seed=0, known=True, ties=False) -> Predictions:
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    labels = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + rng.normal(size=(patients, 3))[patient] + 1.5 * np.eye(3)[labels]
    odds = np.exp(np.round(logits) if ties else logits)
    ids = {"patient_id": pd.Series(patient).astype("str")} if known else {}
    return Predictions(id_table(ids, n), odds / odds.sum(axis=1, keepdims=True), labels, CLASSES)


def counted(sure, wrong) -> np.ndarray:
    """float (N,): the expected risk of answering the surest 1, 2, ..., N rows, one row after another."""
    order = np.argsort(-sure)
    sure, wrong = sure[order], wrong[order]
    risk, errors = [], 0.0
    for i in range(len(sure)):
        errors += wrong[sure == sure[i]].mean()  # any row of equal probability may be the next
        risk.append(errors / (i + 1))
    return np.array(risk)


def split(table):
    return table[table["metric"] == "risk"], table[table["metric"] == "aurc"].iloc[0]


@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), ties=st.booleans())
@few
def test_risk_and_area_are_those_counted_row_by_row(seed, n, ties):
    p = predictions(n, 6, seed=seed, ties=ties)
    curve, area = split(risk_coverage(p, steps=n, resamples=5))
    expected = counted(p.probs.max(axis=1), p.predicted != p.labels)
    np.testing.assert_array_equal(curve["n"], np.arange(1, n + 1))
    np.testing.assert_allclose(curve["coverage"], np.arange(1, n + 1) / n)
    np.testing.assert_allclose(curve["value"], expected, atol=1e-12)
    np.testing.assert_allclose(curve["threshold"], np.sort(p.probs.max(axis=1))[::-1])
    assert area["value"] == pytest.approx(expected.mean(), abs=1e-12)
    assert area["n"] == n


def test_risk_and_area_by_hand():
    """Surest first: right, wrong, right, right."""
    top = np.array([0.9, 0.8, 0.7, 0.6])
    p = Predictions(id_table({}, 4), np.stack([top, 1 - top], axis=1), np.array([0, 1, 0, 0]), ("a", "b"))
    curve, area = split(risk_coverage(p, steps=4, resamples=5))
    assert curve["value"].tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])
    assert area["value"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_are_those_without_each_patient(ties):
    p = predictions(ties=ties)
    curve, area = split(risk_coverage(p, steps=4, resamples=50, seed=3))

    def figures(rows) -> dict:
        risk = counted(p.probs[rows].max(axis=1), (p.predicted != p.labels)[rows])
        answered = np.array([0.25, 0.5, 0.75, 1]) * len(rows)  # a part of a row where a patient is left out
        errors = np.concatenate([[0], risk * np.arange(1, len(rows) + 1)])
        return {**dict(enumerate(np.interp(answered, range(len(rows) + 1), errors) / answered)), "area": risk.mean()}

    bounds, left = by_rows(p, figures, resamples=50, seed=3), without_each(p, figures)
    surest = np.argsort(-p.probs.max(axis=1), kind="stable")
    for i, row in enumerate(curve.itertuples()):
        sizes = sizes_of_clusters(p, surest[: 60 * (i + 1)])
        assert (row.lower_95, row.upper_95) == pytest.approx(jackknife_t(row.value, left[i], sizes)), i
    assert (area["lower_95"], area["upper_95"]) == pytest.approx(bounds["area"])
    assert set(curve["resampling_unit"]) == {"patient"}
    assert set(curve["note"]) == {""}


def test_constant_probabilities_have_the_error_rate_everywhere():
    p = predictions()
    p = Predictions(p.frame, np.full((240, 3), 1 / 3), p.labels, p.classes)
    curve, area = split(risk_coverage(p, resamples=20))
    error = np.mean(p.labels != 0)
    np.testing.assert_allclose(curve["value"], error)
    assert area["value"] == pytest.approx(error)


def test_the_last_step_is_the_error_rate_and_few_rows_give_few_steps():
    p = predictions()
    curve, _ = split(risk_coverage(p, resamples=20))
    assert curve["value"].iloc[-1] == pytest.approx(np.mean(p.predicted != p.labels))
    assert len(curve) == 100
    five, _ = split(risk_coverage(p.where(np.arange(5)), resamples=20))
    assert five["n"].tolist() == [1, 2, 3, 4, 5]


def test_fewer_resamples_of_a_large_table_are_said(monkeypatch):
    monkeypatch.setattr(resampling, "MAX_ROW_PASSES", 1)
    area = split(risk_coverage(predictions(), resamples=300))[1]
    assert area["note"] == "interval from 200 resamples"


def test_what_cannot_be_walked_is_refused():
    p = predictions()
    with pytest.raises(ConfigError, match="argument `steps` to be at least 1, but got 0"):
        risk_coverage(p, steps=0)
    with pytest.raises(EvaluationError, match="at least one prediction"):
        risk_coverage(p.where(np.zeros(240, bool)))


# referral


SETS = PredictionSets(0.9, CLASSES, (0.5, 0.2, 0.3), (50, 50, 50))


def table_of(probs, labels, sets=SETS, **options):
    p = Predictions(id_table({}, len(labels)), np.array(probs, float), np.array(labels), CLASSES, **options)
    return referral_table(p, sets, resamples=20)


def test_an_answer_is_a_set_of_exactly_one_class_and_equivocal_alone_is_a_referral():
    probs = [[0.9, 0.1, 0.0], [0.4, 0.3, 0.3], [0.1, 0.9, 0.0], [0.5, 0.0, 0.5], [0.6, 0.4, 0.0]]
    # sets: negative; none; equivocal; negative; negative. True: three negative, two positive.
    table = table_of(probs, [0, 0, 0, 2, 2]).pivot(index="class", columns="metric", values="value")
    assert table.loc["negative", list(OUTCOMES)].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1 / 3, 1])
    assert table.loc["positive", list(OUTCOMES)].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert table.loc["equivocal"].isna().all()
    assert table.loc["", list(OUTCOMES)].tolist() == pytest.approx([3 / 5, 1 / 5, 2 / 5, 1 / 5, 1 / 3])


def test_without_a_class_that_asks_for_ish_every_single_class_is_an_answer():
    sets = PredictionSets(0.9, ("low", "middle", "high"), (0.5, 0.2, 0.3), (50, 50, 50))
    p = Predictions(id_table({}, 2), np.array([[0.9, 0.1, 0], [0.1, 0.9, 0]]), np.array([0, 1]), sets.classes)
    table = referral_table(p, sets, resamples=20).set_index(["class", "metric"])
    assert table.loc[("", "coverage"), "value"] == 1
    assert not table["note"].str.contains("ISH").any()


def test_sets_of_several_classes_are_sent_though_they_cover():
    wide = PredictionSets(0.9, CLASSES, (1.0, 0.2, 0.3), (3, 50, 50))
    table = table_of([[0.1, 0.9, 0.0], [0.2, 0.8, 0.0]], [1, 0], wide).set_index(["class", "metric"])
    assert table.loc[("", "referral_rate"), "value"] == 1
    assert table.loc[("", "set_coverage"), "value"] == 1
    assert np.isnan(table.loc[("", "selective_accuracy"), "value"])
    assert "no patch is predicted" in table.loc[("", "selective_accuracy"), "note"]
    assert "no patch is truly positive" in table.loc[("positive", "referral_rate"), "note"]


@given(seed=st.integers(0, 10**6))
@few
def test_shares_agree_with_the_coverage_table_and_with_each_other(seed):
    val, test = predictions(seed=seed), predictions(seed=seed + 1)
    sets = fit_prediction_sets(val.probs, labels=val.labels, classes=CLASSES, coverage=0.8)
    ours = referral_table(test, sets, resamples=5).pivot(index="class", columns="metric", values="value")
    theirs = coverage_table(sets, test).set_index("class")
    inside = sets.sets(test.probs)
    answered = pd.Series(((inside.sum(axis=1) == 1) & ~inside[:, 1]).astype(float))
    expected = answered.groupby(np.array(CLASSES)[test.labels]).mean().reindex(CLASSES)
    np.testing.assert_allclose(ours["set_coverage"], theirs.loc[ours.index, "set_coverage"])
    np.testing.assert_allclose(ours.loc[list(CLASSES), "coverage"], expected)
    assert ours.loc["", "coverage"] == pytest.approx(answered.mean())
    np.testing.assert_allclose(ours["coverage"] + ours["referral_rate"], 1)
    np.testing.assert_allclose((ours["selective_accuracy"] * ours["coverage"]).fillna(0), ours["correct_rate"])


def test_its_intervals_are_those_without_each_patient():
    val, p = predictions(seed=1), predictions()
    sets = fit_prediction_sets(val.probs, labels=val.labels, classes=CLASSES, coverage=0.8)
    table = referral_table(p, sets, resamples=60, seed=3).set_index(["class", "metric"])
    inside = sets.sets(p.probs)
    single, holds = (inside.sum(axis=1) == 1) & ~inside[:, 1], inside[np.arange(len(p)), p.labels]

    def figures(rows) -> dict:
        right = single[rows] & (p.predicted == p.labels)[rows]
        by_class = {(name, "set_coverage"): holds[rows[p.labels[rows] == i]].mean() for i, name in enumerate(CLASSES)}
        return by_class | {
            ("positive", "coverage"): single[rows[p.labels[rows] == 2]].mean(),
            ("", "selective_accuracy"): right.sum() / single[rows].sum(),
            ("", "set_coverage"): holds[rows].mean(),
        }

    for key, left in without_each(p, figures).items():
        of = p.labels == CLASSES.index(key[0]) if key[0] else single if key[1] == "selective_accuracy" else None
        bounds = jackknife_t(table.loc[key, "value"], left, sizes_of_clusters(p, of))
        assert tuple(table.loc[key, ["lower_95", "upper_95"]]) == pytest.approx(bounds), key
    assert set(table["resampling_unit"]) == {"patient"}
    assert set(table["nominal_coverage"]) == {0.8}
    assert table.loc["positive"]["n"].tolist() == [int((p.labels == 2).sum())] * len(OUTCOMES)


@pytest.mark.parametrize("unit", ["patch", "slide", "patient"])
def test_coverage_by_class_and_its_interval_are_those_of_a_loop_over_patients(unit):
    """Rows that are patches or slides of resampled patients, and rows that are patients."""
    rng = np.random.default_rng(0)
    p = predictions(240, 24, seed=4)
    patient = p.frame["patient_id"].astype(int).to_numpy()
    slides = pd.Series(patient * 2 + rng.integers(0, 2, 240)).astype("str")
    p = replace(p, frame=p.frame.assign(slide_id=slides), labels=patient % 3)
    p = p if unit == "patch" else aggregate(p, unit)
    sets = PredictionSets(0.9, CLASSES, (0.8, 0.7, 0.75), (50, 50, 50), unit=unit)
    table = referral_table(p, sets, resamples=50, seed=3).set_index(["class", "metric"])
    limits = 1 - np.array(sets.thresholds)

    def figures(rows) -> dict:
        hit = {name: [] for name in CLASSES}
        for r in rows:
            true = p.labels[r]
            hit[CLASSES[true]].append(p.probs[r, true] >= limits[true])
        return {name: np.mean(held) if held else np.nan for name, held in hit.items()}

    left = without_each(p, figures)
    for i, name in enumerate(CLASSES):
        row = table.loc[name, "set_coverage"]
        share = figures(np.arange(len(p)))[name]
        assert row["value"] == pytest.approx(share)
        sizes = sizes_of_clusters(p, p.labels == i)
        if unit == "patient":
            expected = wilson(share, len(sizes))
        else:
            expected = wilson(share, effective(sizes)) if share in (0, 1) else jackknife_t(share, left[name], sizes)
        assert (row["lower_95"], row["upper_95"]) == pytest.approx(expected)
        assert (row["resampling_unit"], row["n_clusters"]) == ("patient", 24)
        assert row["n"] == (p.labels == i).sum()


def test_sets_of_patches_are_refused_for_patients_and_sets_that_are_not_given_for_all():
    with pytest.raises(EvaluationError, match="Expected sets of a patient, .* but got those of a patch"):
        table_of([[0.9, 0.1, 0.0]] * 6, [0, 1, 2, 0, 1, 2], unit="patient")
    few = fit_prediction_sets([[0.9, 0.1, 0.0]] * 8, labels=[0] * 8, patients=range(8), classes=CLASSES)
    with pytest.raises(EvaluationError, match="only 8 patients"):
        table_of([[0.9, 0.1, 0.0]], [0], few)


def test_the_note_says_what_the_sets_rest_on():
    assert table_of([[0.9, 0.1, 0.0]], [0])["note"].str.contains("patches are taken as exchangeable").all()
    by_patient = replace(SETS, patients=(20, 20, 20))
    assert not table_of([[0.9, 0.1, 0.0]], [0], by_patient)["note"].str.contains("exchangeable").any()
    marginal = replace(by_patient, kind="marginal", reason="marginal sets: only 3 patients of positive")
    assert table_of([[0.9, 0.1, 0.0]], [0], marginal)["note"].str.contains("only 3 patients of positive").all()


@pytest.mark.parametrize("case", ["one class", "constant", "one patient", "one row"])
def test_extreme_predictions_give_a_stated_result(case):
    p = predictions(60, 12)
    p = {
        "one class": lambda: p.where(p.labels == 2),
        "constant": lambda: Predictions(p.frame, np.full((60, 3), 1 / 3), p.labels, p.classes),
        "one patient": lambda: p.where((p.frame["patient_id"] == "3").to_numpy()),
        "one row": lambda: p.where(np.arange(60) == 0),
    }[case]()
    for table in (risk_coverage(p, resamples=40), referral_table(p, SETS, resamples=40)):
        assert (table["value"].notna() | table["note"].str.contains("cannot be computed")).all()
        assert (table["lower_95"].notna() | table["note"].str.contains("cannot be computed|no interval")).all()


def test_sets_of_other_classes_are_refused():
    other = PredictionSets(0.9, CLASSES[::-1], (0.5, 0.2, 0.3), (50, 50, 50))
    with pytest.raises(EvaluationError, match="Expected sets of a patch, of the classes negative, equivocal, positive"):
        referral_table(predictions(), other)
    with pytest.raises(EvaluationError, match="at least one prediction"):
        referral_table(predictions().where(np.zeros(240, bool)), SETS)


# figures


def test_the_risk_figure_and_its_words_show_the_table():
    table = risk_coverage(predictions(), resamples=20)
    curve, area = split(table)
    low, high, line = risk_coverage_figure(table).data
    for trace, column in ((low, "lower_95"), (high, "upper_95"), (line, "value")):
        np.testing.assert_array_equal(trace.y, curve[column])
        np.testing.assert_array_equal(trace.x, curve["coverage"])
    words = risk_coverage_description(table)
    assert f"{curve['value'].iloc[-1]:.1%} at full coverage" in words
    assert f"{curve['value'].iloc[49]:.1%} for the most confident 50%" in words
    assert f"(AURC) {area['value']:.3f} [{area['lower_95']:.3f}, {area['upper_95']:.3f}]" in words
    one = risk_coverage(predictions().where(np.arange(1)), resamples=20)
    assert "for the most confident 100%" in risk_coverage_description(one)


def test_the_referral_figure_and_its_words_show_the_table():
    table = table_of([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3], [0.1, 0.9, 0.0], [0.5, 0.0, 0.5]], [0, 0, 0, 2])
    rightly, sent = referral_figure(table, CLASSES).data
    assert (rightly.name, sent.name) == ("classified correctly", "referred to IHC/ISH")
    for trace, metric in ((rightly, "correct_rate"), (sent, "referral_rate")):
        rows = table[table["metric"] == metric].set_index("class")["value"]
        assert tuple(trace.y) == CLASSES
        np.testing.assert_array_equal(trace.x, rows.loc[list(CLASSES)])
    words = referral_description(table, CLASSES)
    assert "negative 33.3% classified correctly, 66.7% referred; equivocal not computable; positive 0.0%" in words
    names = ("<b>a</b>", "2020", "c")
    assert referral_figure(table, names).layout.yaxis.ticktext[0] == "&lt;b&gt;a&lt;/b&gt;"
