"""Predictions of any tool: predicted classes only, rounded scores, class order, findings about the table, options."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

from her2core.errors import ConfigError, EvaluationError, TableError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.compare import compare_runs
from her2core.evidence.evaluation import evaluate
from her2core.evidence.inputs import inputs_from_predictions
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.evidence.result_tables import result_table


def table(**changes) -> pd.DataFrame:
    columns = {
        "label": ["a", "b", "b", "a"],
        "probability_a": [0.9, 0.2, 0.4, 0.7],
        "probability_b": [0.1, 0.8, 0.6, 0.3],
    } | changes
    return pd.DataFrame(columns)


def refused(frame: pd.DataFrame, **options) -> str:
    with pytest.raises(TableError) as caught:
        Predictions.from_frame(frame, **options)
    return str(caught.value)


# predicted classes without scores


def hard(n=120, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    patient = np.arange(n) % 24
    true = np.array(["0/1+", "2+", "3+"])[patient % 3]
    wrong = rng.uniform(size=n) < 0.2
    predicted = np.where(wrong, np.roll(true, 1), true)
    return pd.DataFrame({"PatientID": patient, "GT": true, "Pred": predicted}).assign(**columns)


def test_predicted_classes_alone_give_every_figure_that_needs_no_score():
    frame = hard()
    p = Predictions.from_frame(frame)
    assert not p.has_scores
    assert p.classes == ("0/1+", "2+", "3+")
    assert any("no scores" in note for note in p.notes)
    found = evaluate(p)
    assert found.value("accuracy") == pytest.approx((frame["GT"] == frame["Pred"]).mean())
    kappa = sk.cohen_kappa_score(frame["GT"], frame["Pred"], weights="quadratic")
    row = found.metrics.query("metric == 'quadratic_kappa' and unit == 'patch'").iloc[0]
    assert row["value"] == pytest.approx(kappa)
    assert row["lower_95"] < kappa < row["upper_95"]
    assert not set(found.metrics["metric"]) & {"auroc", "macro_auroc", "negative_log_likelihood", "average_precision"}
    confusion = found.confusion.query("unit == 'patch'").pivot(index="true", columns="predicted", values="count")
    np.testing.assert_array_equal(confusion.to_numpy(), sk.confusion_matrix(frame["GT"], frame["Pred"]))


def test_patients_without_scores_are_decided_by_the_vote_of_their_patches():
    frame = hard()
    p = aggregate(Predictions.from_frame(frame), "patient")
    votes = frame.groupby("PatientID")["Pred"].agg(lambda s: s.mode().iloc[0])
    expected = votes.rename(index=str)
    assert [p.classes[i] for i in p.predicted] == expected.loc[p.frame["patient_id"]].tolist()
    assert not p.has_scores


def test_what_needs_scores_is_refused_with_the_reason_in_every_table():
    p = Predictions.from_frame(hard())
    with pytest.raises(EvaluationError, match="predicted classes only"):
        _ = p.probs
    inputs = inputs_from_predictions(p)
    for name in ("calibration", "reliability", "risk_coverage", "decisions"):
        made = result_table(inputs, name, resamples=20)
        assert made.frame.empty
        assert made.missing["reason"].str.contains("predicted classes only").any()


def test_scores_are_used_where_there_are_both_and_a_part_keeps_the_kind():
    frame = table(pred=["b", "b", "a", "a"], split=["val", "test", "test", "test"])
    p = Predictions.from_frame(frame)
    assert p.has_scores
    assert list(p.predicted) == [0, 1, 1, 0]
    part = Predictions.from_frame(hard(split=["val", "test"] * 60)).part("test")
    assert len(part) == 60
    assert not part.has_scores


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Pred": None}, "Expected a predicted label in every row, but got an empty cell"),
        ({"Pred": 0.5}, "Expected labels out of"),
    ],
)
def test_predicted_classes_that_cannot_be_read_are_refused(changes, message):
    with pytest.raises(TableError, match=message):
        Predictions.from_frame(hard(**changes), classes=["0/1+", "2+", "3+"])


# rounding


def rounded(values: np.ndarray, decimals: int | None) -> pd.DataFrame:
    values = values if decimals is None else np.round(values, decimals)
    return pd.DataFrame(
        {"label": ["a", "b", "c"] * (len(values) // 3), **dict(zip(("p_a", "p_b", "p_c"), values.T, strict=True))}
    )


@pytest.mark.parametrize("decimals", [2, 3, 4])
def test_rounded_probabilities_are_divided_by_their_sum_with_a_note(decimals):
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], 300)
    frame = rounded(probs, decimals)
    p = Predictions.from_frame(frame)
    given_ = frame[["p_a", "p_b", "p_c"]].to_numpy()
    assert np.abs(given_.sum(axis=1) - 1).max() > 1e-5
    np.testing.assert_allclose(p.probs.sum(axis=1), 1)
    np.testing.assert_allclose(p.probs, given_ / given_.sum(axis=1, keepdims=True))
    assert f"rounded to {decimals} decimals" in p.notes[0]


@pytest.mark.parametrize("decimals", [1, 0])
def test_what_is_too_coarse_to_be_rounding_is_refused(decimals):
    frame = rounded(np.random.default_rng(0).dirichlet([1, 1, 1], 300), decimals)
    assert "probabilities that sum to one" in refused(frame)


def test_sums_further_off_than_their_decimals_allow_are_refused():
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], 300).round(3)
    probs[7, 0] += 0.004
    assert "row 8" in refused(rounded(probs, 3))
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], 300)
    probs[7, 0] += 0.002  # no rounding in sight: at most 0.001
    assert "row 8" in refused(rounded(probs, None))


def test_unrounded_probabilities_are_taken_as_they_are():
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], 300)
    p = Predictions.from_frame(rounded(probs, None))
    np.testing.assert_array_equal(p.probs, probs)
    assert p.notes == ()


# order of classes


@pytest.mark.parametrize("order", [("equivocal", "negative", "positive"), ("positive", "equivocal", "negative")])
def test_figures_do_not_depend_on_the_order_of_columns(order):
    rng = np.random.default_rng(3)
    names = ("negative", "equivocal", "positive")
    true = rng.integers(0, 3, 200)
    probs = rng.dirichlet([1, 1, 1], 200) * 0.4 + 0.6 * np.eye(3)[np.clip(true + rng.integers(-1, 2, 200), 0, 2)]
    columns = {f"prob_{c}": probs[:, names.index(c)] for c in order}
    p = Predictions.from_frame(pd.DataFrame({"label": np.array(names)[true], **columns}))
    assert p.classes == names
    kappa = sk.cohen_kappa_score(true, probs.argmax(axis=1), weights="quadratic")
    assert evaluate(p).value("quadratic_kappa") == pytest.approx(kappa)


# findings about the table


def split_table(**changes) -> pd.DataFrame:
    patient = np.repeat([f"P{i}" for i in range(12)], 4)
    frame = pd.DataFrame({"case": patient, "y_true": np.tile(["a", "b"], 24), "p_a": 0.4, "p_b": 0.6})
    return frame.assign(fold=np.tile(["train", "train", "val", "test"], 12)).assign(**changes)


def test_a_split_is_found_by_its_values_and_training_rows_are_never_tested():
    p = Predictions.from_frame(split_table())
    assert p.frame["split"].value_counts().to_dict() == {"train": 24, "val": 12, "test": 12}
    assert evaluate(p).units["n"].iloc[0] == 12
    assert any("'fold'" in note and "24 training" in note for note in p.notes)


def test_patients_in_several_parts_are_the_first_warning():
    p = Predictions.from_frame(split_table())
    assert "more than one split part (12 of 12 patients)" in p.warnings[0]
    assert "inflated" in p.warnings[0]
    assert evaluate(p).warnings == p.warnings
    apart = split_table(fold=np.repeat(["train", "val", "test"], 16))
    assert not any("split part" in w for w in Predictions.from_frame(apart).warnings)


def test_few_patients_or_one_of_a_class_are_a_warning():
    many = split_table(fold="test", case=np.arange(48))
    assert Predictions.from_frame(many).warnings == ()
    one = many.assign(y_true="a", case=np.arange(48))
    one.loc[:1, ["y_true", "case"]] = "b", 0
    (warning,) = Predictions.from_frame(one).warnings
    assert warning.startswith("Only one patient of the test part has the class b")
    (warning,) = Predictions.from_frame(many.assign(case=np.arange(48) // 8)).warnings
    assert warning.startswith("Few patients: the test part has only 6")


def test_overlap_with_training_rows_that_are_not_there_is_a_note():
    p = Predictions.from_frame(split_table(fold="test", case=np.arange(48)))
    assert any("also trained on cannot be checked" in note for note in p.notes)
    whole = Predictions.from_frame(split_table(fold=np.repeat(["train", "val", "test"], 16), case=np.arange(48)))
    assert not any("also trained on" in note for note in whole.notes)


@pytest.mark.parametrize("case", ["nan", "Unknown", None, "#N/A"])
def test_unknown_patients_leave_the_overlap_unchecked(case):
    (warning,) = Predictions.from_frame(split_table(case=case)).warnings
    assert "Patient overlap between training and test cannot be checked" in warning
    some = split_table(fold="test")
    some.loc[:4, "case"] = case
    assert "5 of 48 rows" in Predictions.from_frame(some).warnings[0]


@pytest.mark.parametrize(
    "ids", [["1.23457E+15", "9.87654E+15"], [1.23457e15, 9.87654e15], ["1234567890123450", "98765432109876500"]]
)
def test_identifiers_that_a_spreadsheet_rounded_are_a_warning(ids):
    p = Predictions.from_frame(split_table(case=ids * 24, fold="test"))
    assert any("rounded by a spreadsheet" in w for w in p.warnings)
    sound = Predictions.from_frame(split_table(case=["1234567890123456", "98765432109876543"] * 24, fold="test"))
    assert not any("rounded" in w for w in sound.warnings)


def test_a_validation_part_without_a_class_is_a_note():
    frame = split_table(fold=np.tile(["test", "test", "val", "test"], 12), case=np.arange(48))
    frame.loc[frame["fold"] == "val", "y_true"] = "a"
    (note,) = (n for n in Predictions.from_frame(frame).notes if "validation part" in n)
    assert "no row of b" in note


# what a caller may state


def test_columns_scores_labels_and_classes_can_be_stated():
    frame = pd.DataFrame({"outcome": [0, 1, 1], "u": [0.1, 0.8, 0.4], "v": [0.9, 0.2, 0.6], "who": ["x", "y", "x"]})
    p = read_predictions(
        frame,
        columns={"label": "outcome", "patient_id": "who"},
        scores={"positive": "u", "negative": "v"},
        labels={"0": "negative", "1": "positive"},
    )
    assert p.classes == ("negative", "positive")
    assert list(p.labels) == [0, 1, 1]
    np.testing.assert_array_equal(p.probs[:, 1], frame["u"])
    assert list(p.frame["patient_id"]) == ["x", "y", "x"]
    one = read_predictions(frame, columns={"label": "outcome"}, scores={"1": "u"})
    np.testing.assert_array_equal(one.probs[:, 1], frame["u"])
    turned = read_predictions(frame, columns={"label": "outcome"}, scores={"1": "u"}, classes=["1", "0"])
    assert turned.classes == ("1", "0")


def test_a_role_can_be_emptied():
    frame = split_table()
    assert set(read_predictions(frame, columns={"split": ""}).frame["split"]) == {"test"}
    with pytest.raises(ConfigError, match="a role out of label, predicted"):
        read_predictions(frame, columns={"colour": "case"})


def test_the_same_table_is_read_alike_from_path_bytes_and_frame(tmp_path):
    frame = table(patient_id=["007", "nan", "P3", "P4"], Y=[0.0, 1.0, 1.0, 0.0])
    frame = frame.drop(columns="label").rename(columns={"probability_a": "p_0", "probability_b": "p_1"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    found = [read_predictions(tmp_path / name) for name in ("t.csv", "t.parquet", "t.xlsx")]
    found += [read_predictions((tmp_path / "t.csv").read_bytes()), read_predictions(frame)]
    for p in found:
        assert p.classes == ("0", "1")
        assert list(p.frame["patient_id"]) == ["007", "unknown", "P3", "P4"]
        np.testing.assert_allclose(p.probs, found[0].probs)
        np.testing.assert_array_equal(p.labels, [0, 1, 1, 0])
    assert evaluate(frame).value("accuracy") == evaluate(tmp_path / "t.xlsx").value("accuracy")


def test_a_label_is_never_taken_for_the_position_of_a_class():
    assert "labels out of a, b, but got '0'" in refused(table(label=["a", "b", "0", "a"]))


# comparison of tables


def test_two_tables_are_compared_row_by_row_of_the_same_patches(tmp_path):
    rng = np.random.default_rng(0)
    n = 240
    true = np.arange(n) // 4 % 2
    frame = pd.DataFrame({"tile": [f"t{i}" for i in range(n)], "patient": np.arange(n) // 4, "y": true})
    good, bad = (np.clip(0.5 + w * (true - 0.5) + rng.normal(0, 0.2, n), 0, 1) for w in (0.8, 0.1))
    first, second = (frame.assign(p_0=1 - p, p_1=p) for p in (bad, good))
    found = compare_runs(first, second.sample(frac=1, random_state=0), unit="patch", primary="accuracy")
    row = found.primary
    assert (found.first, found.second) == ("first", "second")
    assert row["first"] == pytest.approx(((bad > 0.5) == true).mean())
    assert row["second"] == pytest.approx(((good > 0.5) == true).mean())
    assert row["statement"] == "second is better"
    first.to_csv(tmp_path / "old.csv", index=False)
    second.to_parquet(tmp_path / "new.parquet")
    named = compare_runs(tmp_path / "old.csv", tmp_path / "new.parquet", unit="patch", primary="accuracy")
    assert (named.first, named.second) == ("old.csv", "new.parquet")
    assert named.table.set_index("metric").loc["accuracy", "difference"] == pytest.approx(row["difference"])


def test_tables_whose_rows_cannot_be_paired_are_not_compared():
    with pytest.raises(EvaluationError, match="without an identifier"):
        compare_runs(table(), table())
    with pytest.raises(EvaluationError, match="other test patches"):
        compare_runs(table(patch_id=list("wxyz")), table(patch_id=list("vxyz")))
