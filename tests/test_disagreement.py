"""Disagreement of two classifiers on the same cases, and the projection of features to a plane."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.disagreement import OUTCOMES, outcome_counts, paired_rows
from her2core.evidence.misclassified import ORDERS, all_rows, ordered
from her2core.evidence.predictions import Predictions
from her2core.evidence.projection import METHODS, MOST_ROWS, project
from her2core.plots.projection import MOST_GROUPS, OTHERS, projection_figure

TRUE, FIRST, SECOND = list("aabbc"), list("abbac"), list("abcbc")


def table(predicted: list[str], **more) -> pd.DataFrame:
    ids = [f"T{i}" for i in range(len(predicted))]
    return pd.DataFrame({"patch_id": ids, "patient_id": list("PPQQQ"), "label": TRUE, "predicted": predicted, **more})


def test_outcomes_are_those_of_the_two_predictions():
    rows = paired_rows(Predictions.from_frame(table(FIRST)), Predictions.from_frame(table(SECOND)))
    assert rows["outcome"].tolist() == ["both_right", "same_error", "first_right", "second_right", "both_right"]
    assert rows["predicted_second"].tolist() == SECOND
    counts = outcome_counts(rows).set_index("outcome")
    assert list(counts.index) == list(OUTCOMES)
    assert counts["n"].tolist() == [1, 1, 1, 0, 2]
    assert counts.loc["both_right", "patients"] == 2
    assert counts["share"].sum() == pytest.approx(1)


def test_the_order_of_rows_does_not_matter():
    first, second = Predictions.from_frame(table(FIRST)), table(SECOND)
    turned = Predictions.from_frame(second.iloc[::-1].reset_index(drop=True), classes=first.classes)
    pd.testing.assert_frame_equal(paired_rows(first, Predictions.from_frame(second)), paired_rows(first, turned))


def test_both_wrong_differently():
    first, second = (Predictions.from_frame(table(p)) for p in (list("bbcac"), list("cabcc")))
    assert paired_rows(first, second)["outcome"].tolist()[:2] == ["other_error", "second_right"]


def test_other_cases_are_refused():
    other = table(SECOND).assign(patch_id=list("vwxyz"))
    with pytest.raises(EvaluationError, match="same cases.*other test patches"):
        paired_rows(Predictions.from_frame(table(FIRST)), Predictions.from_frame(other))


def test_every_order_sorts_by_its_column():
    scores = {f"probability_{c}": p for c, p in zip("abc", np.eye(3)[[0, 1, 1, 0, 2]].T * 0.8 + 0.1, strict=True)}
    scores["probability_a"] = scores["probability_a"] + [0, 0, 0, -0.2, 0.0]
    frame = table(FIRST, **scores).drop(columns="predicted")
    total = frame[list(scores)].sum(axis=1)
    frame[list(scores)] = frame[list(scores)].div(total, axis=0)
    rows = all_rows(Predictions.from_frame(frame))
    for order, (_, column, highest) in ORDERS.items():
        found = ordered(rows, order)[column]
        assert found.is_monotonic_decreasing if highest else found.is_monotonic_increasing
    with pytest.raises(ConfigError, match="order"):
        ordered(rows, "size")


def groups(rows: int = 60) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.normal(size=(rows // 2, 5)), rng.normal(size=(rows // 2, 5)) + 8])


def test_principal_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    found, model = project(groups()), PCA(2)
    expected = model.fit_transform(StandardScaler().fit_transform(groups()))
    np.testing.assert_allclose(np.abs(found.places), np.abs(expected), atol=1e-9)
    assert found.explained == pytest.approx(model.explained_variance_ratio_.sum())


@pytest.mark.parametrize("method", METHODS)
def test_projections_are_repeatable_and_separate_what_is_apart(method):
    first, second = project(groups(), method=method), project(groups(), method=method)
    np.testing.assert_array_equal(first.places, second.places)
    left, right = first.places[:30], first.places[30:]
    within = max(np.linalg.norm(of - of.mean(axis=0), axis=1).mean() for of in (left, right))
    assert np.linalg.norm(left.mean(axis=0) - right.mean(axis=0)) > 2 * within
    assert ("seed 0" in first.description) == (method == "tsne")


def test_constant_and_missing_features_are_left_out():
    features = np.column_stack([groups(), np.ones(60), np.where(np.arange(60) == 3, np.nan, 1.0)])
    np.testing.assert_allclose(project(features).places, project(groups()).places)


@pytest.mark.parametrize("wrong", [np.ones((2, 3)), np.ones(5), np.ones((20, 3)), np.ones((MOST_ROWS + 1, 3))])
def test_features_without_a_plane_are_refused(wrong):
    with pytest.raises(EvaluationError, match="projection"):
        project(wrong)


def test_points_keep_the_colour_of_their_class_and_others_share_one():
    rows = pd.DataFrame({"x": 0.0, "y": 0.0, "patch_id": [f"T{i}" for i in range(30)], "right": [True, False] * 15})
    rows["group"] = [f"P{i}" for i in range(30)]
    traces = projection_figure(rows).data
    assert len(traces) == MOST_GROUPS + 1
    assert traces[-1].name == OTHERS
    assert sum(len(trace.customdata) for trace in traces) == 30
    of_class = rows.assign(group=["b", "c"] * 15)
    colours = {trace.name: trace.marker.color for trace in projection_figure(of_class, order=("a", "b", "c")).data}
    whole = {
        trace.name: trace.marker.color
        for trace in projection_figure(rows.assign(group=["a", "b", "c"] * 10), order=("a", "b", "c")).data
    }
    assert colours == {name: whole[name] for name in "bc"}
