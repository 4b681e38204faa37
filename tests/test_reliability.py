"""Reliability bins, calibration errors, Brier parts and slopes against scikit-learn and statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bounds import by_rows, effective, jackknife_t, sizes_of_clusters, wilson, without_each
from calibration_data import CLASSES, changed, few, predictions, value
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.metrics.probabilistic import equal_mass_bins, expected_calibration_error
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.reliability import BRIER, calibration_table, compare_calibration, reliability_table
from her2core.plots.reliability import reliability_description, reliability_figure

# bins


@given(seed=st.integers(0, 10**6), bins=st.sampled_from([2, 5, 10, 20]))
@few
def test_the_bins_are_scikit_learn_s_quantiles(seed, bins):
    p = predictions(200, seed=seed)
    table = reliability_table(p, bins=bins, resamples=20)
    for i, name in enumerate(CLASSES):
        share, mean = calibration_curve(p.labels == i, p.probs[:, i], n_bins=bins, strategy="quantile")
        rows = table[table["class"] == name]
        assert list(rows["bin"]) == list(range(bins))
        assert (rows["n"] == 200 // bins).all()
        np.testing.assert_allclose(rows["value"], share)
        np.testing.assert_allclose(rows["mean_probability"], mean)
        assert (rows["lowest"].to_numpy()[1:] > rows["highest"].to_numpy()[:-1]).all()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), st.integers(1, 15))
@few
def test_equal_values_share_a_bin_and_bins_follow_the_values(values, bins):
    values = np.array(values, float)
    where = equal_mass_bins(values, bins)
    assert set(where) == set(range(where.max() + 1))
    assert where.max() < bins
    order = np.argsort(values)
    assert (np.diff(where[order]) >= 0).all()
    assert pd.Series(where).groupby(values).nunique().eq(1).all()
    distinct = equal_mass_bins(np.arange(len(values)), bins)
    assert np.ptp(np.bincount(distinct)) <= 1


def test_the_top_class_s_rows_and_their_intervals_are_those_without_each_patient():
    p = predictions(effect=1.0)
    table = reliability_table(p, bins=4, resamples=60, seed=3)
    top, right = p.probs.max(axis=1), p.predicted == p.labels
    where = pd.qcut(top, 4, labels=False)
    rows = table[table["class"] == ""]
    np.testing.assert_allclose(rows["value"], pd.Series(right).groupby(where).mean())
    left = without_each(p, lambda at: dict(pd.Series(right[at]).groupby(where[at]).mean()))
    for b, row in enumerate(rows.itertuples()):
        sizes = sizes_of_clusters(p, where == b)
        settled = row.value in (0, 1)
        expected = wilson(row.value, effective(sizes)) if settled else jackknife_t(row.value, left[b], sizes)
        assert (row.lower_95, row.upper_95) == pytest.approx(expected)
    assert set(table["resampling_unit"]) == {"patient"}
    assert all(note == "" or note.startswith(("few effective clusters", "no interval: only")) for note in table["note"])


def test_ties_a_bin_of_one_mind_and_unknown_patients_are_said():
    p = predictions(known=False)
    table = reliability_table(changed(p, np.tile([0.5, 0.3, 0.2], (240, 1))), resamples=20)
    assert len(table) == 4
    assert table["note"].str.contains("patients unknown.*1 of 10 bins: equal probabilities are in one bin").all()
    sure = reliability_table(changed(p, np.eye(3)[p.labels]), resamples=20)
    assert set(sure["value"]) == {0.0, 1.0}


# calibration errors


@given(seed=st.integers(0, 10**6), temperature=st.sampled_from([0.3, 1.0, 2.0]))
@few
def test_the_errors_are_those_by_hand(seed, temperature):
    p = predictions(seed=seed, temperature=temperature)
    table = calibration_table(p, resamples=10)
    theirs = expected_calibration_error(p.probs, labels=p.labels)
    assert value(table, "ece_equal_width")["value"] == pytest.approx(theirs)

    def by_hand(said, so):
        frame = pd.DataFrame({"said": said, "so": so.astype(float)}).groupby(pd.qcut(said, 10, labels=False))
        return ((frame["said"].mean() - frame["so"].mean()).abs() * frame.size() / len(said)).sum()

    assert value(table, "ece_equal_mass")["value"] == pytest.approx(
        by_hand(p.probs.max(axis=1), p.predicted == p.labels)
    )
    own = [by_hand(p.probs[:, i], p.labels == i) for i in range(3)]
    for name, error in zip(CLASSES, own, strict=True):
        assert value(table, "classwise_ece", name)["value"] == pytest.approx(error)
    assert value(table, "classwise_ece")["value"] == pytest.approx(np.mean(own))


def test_ten_rows_do_not_show_that_right_probabilities_are_wrong():
    """One or two rows a bin: the frequency of a bin is 0 or 1, whatever the probability."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.uniform(0.05, 0.95, 10)
        frame = pd.DataFrame(
            {"patient_id": [f"P{i}" for i in range(10)], "label": np.where(rng.random(10) < p, "a", "b")}
        )
        if frame["label"].nunique() == 2:
            table = calibration_table(
                Predictions.from_frame(frame.assign(probability_a=p, probability_b=1 - p)), resamples=200
            )
            errors = table[table["metric"].str.contains("ece_equal_mass|classwise|brier_reliability")]
            assert (errors["lower_95"] <= 0).all()
            assert errors["note"].str.contains("bins of 2 rows or fewer").all()


def test_where_all_rows_are_right_high_probabilities_are_not_shown_to_be_wrong():
    """12 patients of 8 patches: Wilson's interval of 12 of 12 reaches down to 0.76, so that 0.99 is in it, not 0.6."""
    patient = np.repeat(np.arange(12), 8)
    frame = pd.DataFrame({"patient_id": [f"P{i}" for i in patient], "label": np.where(patient % 2, "a", "b")})
    for sure, compatible in ((0.99, True), (0.6, False)):
        p = np.where(patient % 2, sure, 1 - sure) + np.arange(96) * 1e-6
        table = calibration_table(
            Predictions.from_frame(frame.assign(probability_a=p, probability_b=1 - p)), resamples=200
        )
        rows = table[(table["class"] == "") & table["metric"].str.contains("ece")]
        assert ((rows["lower_95"] == 0) == compatible).all()
        low, _ = proportion_confint(12, 12, method="wilson")
        top = rows.set_index("metric").loc["ece_equal_mass"]
        assert top["upper_95"] == pytest.approx(max(sure - low, 1 - sure), abs=1e-3)
        assert (rows["value"] > 0).all()


def test_intervals_of_errors_cover_zero_where_probabilities_are_right_and_not_where_they_are_not():
    reaches = {1.0: 0, 0.3: 0}
    for temperature in reaches:
        for seed in range(30):
            p = predictions(300, 30, seed=seed, temperature=temperature)
            table = calibration_table(p, resamples=100)
            row, parts = value(table, "ece_equal_mass"), value(table, "brier_reliability", "positive")
            for found in (row, parts):
                assert found["lower_95"] <= found["value"] <= found["upper_95"]
                assert "reflected" in found["note"]
            reaches[temperature] += row["lower_95"] == 0
    assert reaches[1.0] >= 27, "a plain or a merely reflected interval reaches 0 in about half of these"
    assert reaches[0.3] <= 3


# Brier


@given(seed=st.integers(0, 10**6), digits=st.sampled_from([None, 0, 1]), bins=st.integers(1, 20))
@few
def test_brier_is_scikit_learn_s_and_its_parts_sum(seed, digits, bins):
    p = predictions(120, 12, seed=seed, digits=digits)
    table = calibration_table(p, bins=bins, resamples=10)
    theirs = sk.brier_score_loss(p.labels, p.probs, labels=range(3), scale_by_half=False)
    assert value(table, "brier")["value"] == pytest.approx(theirs)
    for i, name in enumerate(CLASSES):
        theirs = sk.brier_score_loss(p.labels == i, p.probs[:, i])
        assert value(table, "brier", name)["value"] == pytest.approx(theirs)
    for name in ("", *CLASSES):
        whole, off, apart, base, within = (value(table, part, name)["value"] for part in BRIER)
        assert off - apart + base + within == pytest.approx(whole)
        assert min(off, apart, base) >= -1e-12


def test_the_parts_are_murphy_s_and_nothing_is_left_within_bins_of_one_probability():
    said = np.repeat([0.1, 0.4, 0.8], 20)
    labels = np.concatenate([np.arange(20) < k for k in (4, 8, 15)]).astype(int)
    p = Predictions(id_table({}, 60), np.stack([1 - said, said], axis=1), labels, ("no", "yes"))
    table = calibration_table(p, resamples=10)
    share = labels.mean()
    expected = {
        "brier_reliability": np.mean([(0.1 - 0.2) ** 2, 0, (0.8 - 0.75) ** 2]),
        "brier_resolution": np.mean((np.array([0.2, 0.4, 0.75]) - share) ** 2),
        "brier_uncertainty": share * (1 - share),
        "brier_within_bins": 0,
    }
    for part, number in expected.items():
        assert value(table, part, "yes")["value"] == pytest.approx(number, abs=1e-12), part
        assert value(table, part)["value"] == pytest.approx(2 * number, abs=1e-12), "both classes, mirrored"
    joined = calibration_table(p, bins=1, resamples=10)
    assert value(joined, "brier_within_bins", "yes")["value"] < -0.01, "one bin: telling cases apart is within it"
    assert value(joined, "brier_resolution", "yes")["value"] == pytest.approx(0)


def test_brier_s_interval_is_that_of_resampled_patients():
    p = predictions(effect=1.0)
    row = value(calibration_table(p, resamples=60, seed=3), "brier")

    def brier(at) -> dict:
        return {"": sk.brier_score_loss(p.labels[at], p.probs[at], labels=range(3), scale_by_half=False)}

    assert (row["lower_95"], row["upper_95"]) == pytest.approx(by_rows(p, brier, resamples=60, seed=3)[""])


# tables


@pytest.mark.parametrize("case", ["one class", "constant", "one patient", "one row", "all right", "all wrong"])
def test_extreme_predictions_give_a_stated_result(case):
    p = predictions(60, 12)
    p = {
        "one class": lambda: p.where(p.labels == 2),
        "constant": lambda: changed(p, np.full((60, 3), 1 / 3)),
        "one patient": lambda: p.where((p.frame["patient_id"] == "3").to_numpy()),
        "one row": lambda: p.where(np.arange(60) == 0),
        "all right": lambda: changed(p, np.eye(3)[p.labels]),
        "all wrong": lambda: changed(p, np.eye(3)[(p.labels + 1) % 3]),
    }[case]()
    for table in (calibration_table(p, resamples=40), reliability_table(p, resamples=40)):
        assert (table["value"].notna() | table["note"].str.contains("cannot be computed")).all()
        assert (table["lower_95"].notna() | table["note"].str.contains("cannot be computed|no interval")).all()
        assert not table.duplicated([c for c in ("metric", "class", "bin") if c in table]).any()
    if case == "all right":
        table = calibration_table(p, resamples=40)
        assert value(table, "ece_equal_mass")["value"] == value(table, "brier")["value"] == 0
    if case == "all wrong":
        assert value(calibration_table(p, resamples=40), "brier")["value"] == pytest.approx(2)


def test_before_and_after_stand_in_one_table():
    before, after = predictions(temperature=0.4), predictions(temperature=1.0)
    table = compare_calibration(before, after, resamples=30, seed=2)
    assert next(iter(table)) == "scores"
    for name, p in (("uncalibrated", before), ("calibrated", after)):
        part = table[table["scores"] == name].drop(columns="scores").reset_index(drop=True)
        pd.testing.assert_frame_equal(part, calibration_table(p, resamples=30, seed=2))
    errors = table[table["metric"] == "ece_equal_mass"].set_index("scores")["value"]
    assert errors["uncalibrated"] > errors["calibrated"] + 0.05
    with pytest.raises(EvaluationError, match="the same rows before and after calibration"):
        compare_calibration(before, after.where(np.arange(240)[::-1].copy()))
    with pytest.raises(EvaluationError, match="the same rows before and after calibration"):
        compare_calibration(before, after.where(np.arange(239)))


def test_what_cannot_be_binned_is_refused():
    p = predictions()
    for table in (reliability_table, calibration_table):
        with pytest.raises(EvaluationError, match="argument `bins` to be at least 1, but got 0"):
            table(p, bins=0)
        with pytest.raises(EvaluationError, match="at least one prediction"):
            table(p.where(np.zeros(240, bool)))


def test_the_figure_and_its_words_show_the_tables():
    p = predictions()
    bins, table = reliability_table(p, resamples=20), calibration_table(p, resamples=20)
    figure = reliability_figure(bins, CLASSES)
    assert [trace.name for trace in figure.data] == ["predicted class", *CLASSES]
    for trace, name in zip(figure.data, ("", *CLASSES), strict=True):
        rows = bins[bins["class"] == name]
        np.testing.assert_array_equal(trace.x, rows["mean_probability"])
        np.testing.assert_array_equal(trace.y, rows["value"])
        np.testing.assert_allclose(trace.y + trace.error_y.array, rows["upper_95"])
        np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, rows["lower_95"])
    only = reliability_figure(bins[bins["class"] == "positive"], CLASSES)
    assert [trace.name for trace in only.data] == ["positive"]
    assert only.data[0].line.color == figure.data[3].line.color
    words = reliability_description(table, CLASSES)
    slope = value(table, "calibration_slope", "positive")
    assert f"positive {slope['value']:.2f} [{slope['lower_95']:.2f}, {slope['upper_95']:.2f}]" in words
    assert f"predicted class {value(table, 'ece_equal_mass')['value']:.1%}" in words
    sure = calibration_table(changed(p, np.eye(3)[p.labels]), resamples=20)
    assert "positive not computable" in reliability_description(sure, CLASSES)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resamples": 0}, "argument `resamples` to be an integer of at least 1, but got 0"),
        ({"resamples": 10.5}, "argument `resamples`"),
        ({"resamples": True}, "argument `resamples`"),
        ({"seed": -1}, "argument `seed` to be an integer of at least 0"),
        ({"seed": None}, "argument `seed`"),
    ],
)
def test_resamples_and_seeds_out_of_range_are_refused_with_what_is_accepted(options, expected):
    with pytest.raises(ConfigError, match=expected):
        calibration_table(predictions(), **options)
