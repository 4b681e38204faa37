"""Heterogeneity between sites: against quadrature and Fisher's test, by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import binom, fisher_exact, norm

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.between_sites import NOT_KNOWN, NOT_NEW, between_sites, homogeneity, site_model
from her2core.evidence.inputs import inputs_from_folder, inputs_from_predictions
from her2core.evidence.predictions import read_predictions
from her2core.evidence.result_tables import result_table


def cohort(outcomes: dict[str, dict[str, tuple[int, int]]]) -> pd.DataFrame:
    """Site -> class -> (right, patients), one patch a patient, hard labels."""
    rows = [
        {"patient_id": f"{s}{c}{i}", "site": s, "label": c, "predicted": c if i < right else "xyz"[c == "x"]}
        for s, classes in outcomes.items()
        for c, (right, n) in classes.items()
        for i in range(n)
    ]
    return pd.DataFrame(rows)


def patients(outcomes):
    return aggregate(read_predictions(cohort(outcomes)), "patient")


def by_quadrature(hits, counts, levels):
    """Quantiles of the mean's posterior by scipy's adaptive quadrature over the sites' log odds, on a coarse grid."""

    def density(x, mean, spread, hit, count):
        return binom.pmf(hit, count, expit(x)) * norm.pdf(x, mean, spread)

    means, spreads = np.linspace(-3, 6, 31), np.linspace(0.02, 3, 9)
    log_posterior = np.empty((len(means), len(spreads)))
    for i, mean in enumerate(means):
        for j, spread in enumerate(spreads):
            total = -0.5 * spread**2 + 0.5 * np.log(expit(mean) * expit(-mean))
            for hit, count in zip(hits, counts, strict=True):
                at = (mean, spread, hit, count)
                total += np.log(quad(density, mean - 8 * spread, mean + 8 * spread, args=at, points=[mean])[0])
            log_posterior[i, j] = total
    of_mean = np.exp(log_posterior - log_posterior.max()).sum(axis=1)
    of_mean /= of_mean.sum()
    return expit(np.interp(levels, of_mean.cumsum() - of_mean / 2, means))


def test_the_summary_is_that_of_quadrature():
    hits, counts = np.array([9.0, 12.0, 5.0]), np.array([10.0, 20.0, 6.0])
    found = site_model(hits, counts)
    oracle = by_quadrature(hits, counts, (0.025, 0.5, 0.975))
    assert (found.low, found.value, found.high) == pytest.approx(oracle, abs=0.02)


def test_many_large_equal_sites_give_their_proportion_and_a_narrow_prediction():
    found = site_model(np.full(40, 160.0), np.full(40, 200.0))
    assert found.value == pytest.approx(0.8, abs=0.005)
    assert found.tau < 0.15
    assert found.low_new > 0.74


def test_the_spread_between_sites_is_found():
    rng = np.random.default_rng(4)
    theta = 1.0 + 0.8 * rng.normal(size=60)
    found = site_model(rng.binomial(100, expit(theta)).astype(float), np.full(60, 100.0))
    assert found.tau == pytest.approx(0.8, abs=0.2)
    assert (found.low_new, found.high_new) == pytest.approx(expit(1 + 0.8 * np.array([-1.96, 1.96])), abs=0.08)


def test_all_right_is_neither_a_degenerate_interval_nor_an_error():
    found = site_model(np.full(4, 5.0), np.full(4, 5.0))
    assert 0.6 < found.low_new < found.low < 0.95
    assert found.high < 1


def test_homogeneity_of_two_sites_is_fishers_test():
    hits, counts = np.array([9, 3]), np.array([12, 12])
    table = np.array([hits, counts - hits])
    assert homogeneity(hits, counts) == pytest.approx(fisher_exact(table).pvalue, abs=0.012)
    assert homogeneity(np.array([5, 5]), np.array([5, 5])) == 1


def test_proportions_of_sites_by_hand():
    outcomes = {"A": {"x": (8, 10), "y": (9, 10)}, "B": {"x": (5, 10), "y": (2, 4)}, "C": {"x": (6, 6), "y": (3, 5)}}
    found = between_sites(patients(outcomes), new_sites=True).set_index(["metric", "class"])
    expected = site_model(np.array([17.0, 7.0, 9.0]), np.array([20.0, 14.0, 11.0]))
    row = found.loc[("accuracy", "")]
    assert (row["value"], row["lower_95"]) == pytest.approx((expected.value, expected.low))
    assert (row["lowest"], row["highest"]) == pytest.approx((0.5, 0.85))
    assert (row["sites"], row["patients"]) == (3, 45)
    assert row["lower_prediction_95"] < row["lower_95"] < row["value"] < row["upper_95"] < row["upper_prediction_95"]
    assert (found.loc[("recall", "x"), "lowest"], found.loc[("recall", "x"), "highest"]) == (0.5, 1.0)
    assert "only 3 sites" in row["note"]


def test_a_site_without_a_class_counts_in_no_metric_of_that_class():
    found = between_sites(
        patients(
            {
                "A": {"x": (8, 10), "y": (9, 10)},
                "B": {"x": (5, 10), "y": (1, 1)},
                "C": {"x": (6, 6)},
                "D": {"x": (4, 6), "y": (2, 4)},
            }
        ),
        new_sites=None,
    ).set_index(["metric", "class"])
    assert found.loc[("accuracy", ""), "sites"] == 4
    assert found.loc[("recall", "x"), "sites"] == 4
    assert found.loc[("recall", "y"), "left_out"] == "B, C"
    assert found.loc[("recall", "y"), "note"] == "not given: fewer than 3 sites have at least 2 patients of y"
    assert np.isnan(found.loc[("recall", "y"), "value"])
    assert found.loc[("accuracy", ""), "note"].startswith(NOT_KNOWN)


def test_two_sites_say_nothing_and_patches_are_refused():
    two = {"A": {"x": (8, 10), "y": (9, 10)}, "B": {"x": (5, 10), "y": (2, 4)}}
    with pytest.raises(EvaluationError, match="at least 3 known sites in the test part, but got 2"):
        between_sites(patients(two), new_sites=True)
    with pytest.raises(EvaluationError, match="one row a patient"):
        between_sites(read_predictions(cohort(two)), new_sites=True)


def test_sites_that_differ_have_a_small_p_value_and_equal_ones_none():
    equal = between_sites(patients({s: {"x": (8, 10), "y": (8, 10)} for s in "ABCD"}), new_sites=False)
    assert equal.loc[0, "p_value"] == 1
    assert equal.loc[0, "note"].startswith(NOT_NEW)
    apart = {s: {"x": (n, 20), "y": (n, 20)} for s, n in zip("ABCD", (4, 10, 16, 20), strict=True)}
    assert between_sites(patients(apart), new_sites=True).loc[0, "p_value"] < 0.001


def test_whether_sites_are_new_follows_from_the_parts_of_a_table():
    frame = cohort({s: {"x": (8, 10), "y": (9, 10)} for s in "ABCDEF"})
    for split, note in (
        (np.where(frame["site"].isin(list("ABC")), "train", "test"), ""),
        (np.where(frame.index % 2, "train", "test"), NOT_NEW),
        (np.full(len(frame), "test"), NOT_KNOWN),
    ):
        inputs = inputs_from_predictions(read_predictions(frame.assign(split=split)))
        found = result_table(inputs, "between_sites").frame
        assert set(found["unit"]) == {"patient"}
        assert found["note"].iloc[0].startswith(note)
        assert (note == "") == found["lower_prediction_95"].notna().iloc[0]


@pytest.mark.parametrize(
    ("card", "known"),
    [({}, False), ({"split_unit": "site"}, True), ({"out_of_fold": "patient"}, False), ({"out_of_fold": "site"}, True)],
)
def test_whether_sites_are_new_follows_from_the_card_of_a_run(tiny_run, card, known):
    changed = {**tiny_run.card, "data": {**tiny_run.card["data"], "split_unit": card.get("split_unit", "patient")}}
    if "out_of_fold" in card:
        changed["out_of_fold"] = {"unit": card["out_of_fold"], "folds": ["1", "2"]}
    dataset = tiny_run.dataset
    if card.get("split_unit") == "site":
        dataset = dataset.assign(site=dataset["split"] + dataset["site"])
    assert inputs_from_folder(tiny_run.path, changed, dataset=dataset).new_sites is known
