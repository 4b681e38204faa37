"""Tables of predictions of any tool: recognised columns, interpretation, and refusal of what could be misread."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from her2core.errors import ConfigError, TableError
from her2core.evidence.evaluation import evaluate
from her2core.evidence.prediction_columns import ROLES, ColumnMap, guess_columns
from her2core.evidence.predictions import Predictions

PROBS = {"probability_a": [0.9, 0.2, 0.4, 0.7], "probability_b": [0.1, 0.8, 0.6, 0.3]}
RIGHT_TO_LEFT = "\u202e"


@pytest.mark.parametrize(
    ("labels", "column", "classes"),
    [
        (["negative", "positive"], "probability_positive", ("negative", "positive")),
        ([0, 1], "y_score", ("0", "1")),
        (["neg", "pos"], "probability", ("neg", "pos")),
        (["no", "yes"], "p_no", ("yes", "no")),
    ],
)
def test_of_two_classes_one_score_is_enough(labels, column, classes):
    frame = pd.DataFrame({"label": labels * 3, column: [0.1, 0.9, 0.2, 0.7, 0.4, 0.5]})
    columns = guess_columns(frame)
    found = Predictions.from_frame(frame, columns)
    assert found.classes == classes
    np.testing.assert_allclose(found.probs[:, 1], frame[column])
    np.testing.assert_allclose(found.probs.sum(axis=1), 1)
    assert any("is one minus it" in note for note in found.notes)


def test_one_logit_is_a_sigmoid_and_an_answer_is_no_score():
    frame = pd.DataFrame({"label": ["a", "b"] * 2, "logit_b": [-2.0, 3.0, 0.0, 1.0]})
    found = Predictions.from_frame(frame, guess_columns(frame))
    np.testing.assert_allclose(found.probs[:, 1], 1 / (1 + np.exp(-frame["logit_b"])))
    assert guess_columns(pd.DataFrame({"label": [0, 1], "pred": [0, 1]})).scores == {}
    with pytest.raises(TableError, match="one score and one class"):
        Predictions.from_frame(frame, ColumnMap("label", {"a": "logit_b", "b": "logit_b"}, rest="c"))


def table(**changes) -> pd.DataFrame:
    columns = {"label": ["a", "b", "b", "a"], **PROBS} | changes
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


def refused(frame, columns=None, **options) -> str:
    with pytest.raises(TableError) as caught:
        Predictions.from_frame(frame, columns or guess_columns(frame), **options)
    message = str(caught.value)
    assert len(message) < 700
    assert not [c for c in message if unicodedata.category(c)[0] == "C"]
    return message


# recognising columns


@pytest.mark.parametrize(
    ("columns", "scores"),
    [
        (["probability_HER2-", "probability_HER2+"], ["HER2-", "HER2+"]),
        (["p_0", "p_1"], ["0", "1"]),
        (["negative_score", "positive_score"], ["negative", "positive"]),
        (["logit_x", "logit_y"], ["x", "y"]),
        (["P(negative)", "P(positive)"], ["negative", "positive"]),
        (["Probability of low", "Probability of high"], ["low", "high"]),
        (["y_prob_0", "y_prob_1"], ["0", "1"]),
        (["probability.1+", "probability.3+"], ["1+", "3+"]),
        (["probability_class_0", "probability_class_1"], ["0", "1"]),
        (["negative", "positive"], ["negative", "positive"]),
        (["in situ proba", "invasive proba"], ["in situ", "invasive"]),
    ],
)
def test_score_columns_are_found_by_the_names_tools_give_them(columns, scores):
    frame = pd.DataFrame({"label": scores * 2, columns[0]: [0.25] * 4, "p_value": 0.01, columns[1]: [0.75] * 4})
    found = guess_columns(frame)
    assert dict(found.scores) == dict(zip(scores, columns, strict=True))
    assert found.label == "label"
    assert Predictions.from_frame(frame, found, kind="probabilities").classes == tuple(scores)


def test_id_columns_are_found_and_the_rest_is_left_alone():
    frame = table(
        tile_name=list("wxyz"),
        **{"Case ID": [1, 2, 3, 4]},
        wsi=list("wxyz"),
        Hospital="h",
        subset="test",
        score_note="x",
    )
    found = guess_columns(frame)
    assert found == ColumnMap(
        "label", {"a": "probability_a", "b": "probability_b"}, "tile_name", "Case ID", "wsi", "Hospital", "subset"
    )
    assert ROLES == ("label", "predicted", "patch_id", "patient_id", "slide_id", "site", "split")


def test_what_is_not_recognised_is_left_open_and_never_raises():
    for frame in (
        pd.DataFrame(),
        pd.DataFrame({"x": [1.0]}),
        pd.DataFrame({0: [1.0], 1: [2.0]}),
        pd.DataFrame([[1, 2]], columns=["p_a", "p_a"]),
    ):
        found = guess_columns(frame)
        assert found.label is None
        assert not found.scores
        refused(frame, found)


def test_the_family_of_columns_that_fits_the_labels_wins():
    frame = table(score_x=1.0, score_y=2.0, score_z=3.0)
    assert set(guess_columns(frame).scores) == {"a", "b"}
    assert set(guess_columns(frame.drop(columns="label")).scores) == {"x", "y", "z"}


# reading


def test_a_whole_table_is_read_and_evaluated():
    rng = np.random.default_rng(0)
    patient = np.arange(300) % 30
    truth = np.array(["neg", "pos"])[patient % 2]
    probs = rng.dirichlet([1, 1], 300)
    frame = pd.DataFrame(
        {
            "tile": np.arange(300),
            "patient": patient,
            "wsi": patient,
            "truth": truth,
            "p_neg": probs[:, 0],
            "p_pos": probs[:, 1],
        }
    )
    p = Predictions.from_frame(frame, guess_columns(frame), classes=["pos", "neg"])
    assert p.classes == ("pos", "neg")
    np.testing.assert_array_equal(p.probs, probs[:, ::-1])
    np.testing.assert_array_equal(p.labels, (patient % 2 == 0).astype(int))
    assert p.notes == (
        "The table has no training rows: whether a tested patient was also trained on cannot be checked.",
    )
    found = evaluate(p)
    assert list(found.units["n"]) == [300, 30, 30]
    assert found.value("accuracy") == np.mean((probs[:, 1] > probs[:, 0]) == (truth == "pos"))


def test_logits_go_through_softmax_and_that_is_said():
    frame = pd.DataFrame({"label": ["a", "b"], "logit_a": [2.0, -3.0], "logit_b": [0.0, 1.0]})
    for options in ({}, {"kind": "logits"}):
        p = Predictions.from_frame(frame, guess_columns(frame), **options)
        np.testing.assert_allclose(p.probs, softmax(frame[["logit_a", "logit_b"]], axis=1))
        assert p.notes == ("Scores were read as logits and put through softmax.",)


def test_a_class_without_a_case_is_allowed_and_said_also_by_the_evaluation():
    frame = table(probability_b=[0.1, 0.8, 0.5, 0.3], probability_c=[0.0, 0.0, 0.1, 0.0])
    p = Predictions.from_frame(frame, guess_columns(frame))
    (note,) = p.notes
    assert "true class c" in note
    assert evaluate(p).notes == p.notes


def test_identifiers_that_differ_by_blanks_only_are_one():
    p = Predictions.from_frame(table(patient_id=["p", "p ", " q", "r"]))
    assert list(p.frame["patient_id"]) == ["p", "p", "q", "r"]


def test_ids_become_text_and_empty_cells_unknown():
    frame = table(patient_id=[1.0, 2.0, np.nan, 4.0], slide_id=["007", " ", None, "s4"], site=[1, 2, 3, 4])
    p = Predictions.from_frame(frame, guess_columns(frame))
    assert list(p.frame["patient_id"]) == ["1", "2", "unknown", "4"]
    assert list(p.frame["slide_id"]) == ["007", "unknown", "unknown", "s4"]
    assert list(p.frame["site"]) == ["1", "2", "3", "4"]
    assert set(p.frame["patch_id"]) == {"unknown"}
    assert set(p.frame["split"]) == {"test"}


def test_parts_of_the_split_by_their_usual_names():
    frame = table(split=["Training", "valid", "TEST", "test"])
    p = Predictions.from_frame(frame, guess_columns(frame))
    assert list(p.frame["split"]) == ["train", "val", "test", "test"]
    assert "'Training' as 'train'" in p.notes[0]
    assert "Expected train, val or test in every row, but got 'fold 3'" in refused(table(split="fold 3"))


def test_a_spelling_is_only_read_as_a_class_when_somebody_chose_so():
    frame = table(label=["A ", "b", "B", "a"])
    message = refused(frame)
    assert "labels spelt as the classes a, b" in message
    assert "'A' is another spelling of 'a'" in message
    columns = guess_columns(frame)
    p = Predictions.from_frame(frame, ColumnMap(columns.label, columns.scores, labels={"A ": "a", "B": "b"}))
    assert list(p.labels) == [0, 1, 1, 0]
    assert p.notes == ("Labels were read as classes: 'A' as 'a', 'B' as 'b'.",)
    with pytest.raises(ConfigError, match="a class out of a, b"):
        Predictions.from_frame(frame, ColumnMap(columns.label, columns.scores, labels={"A ": "c"}))


@pytest.mark.parametrize("labels", [["Negative", "POSITIVE"], ["neg", "HER2 pos"]])
def test_the_only_spelling_of_each_class_is_read_with_a_note(labels):
    p = Predictions.from_frame(pd.DataFrame({"label": labels, "p_negative": [0.9, 0.2], "p_positive": [0.1, 0.8]}))
    assert list(p.labels) == [0, 1]
    assert repr(labels[0]) in p.notes[0]


def test_numbers_in_the_label_column_name_classes_as_they_are_written():
    frame = pd.DataFrame({"label": [0.0, 1.0, 1.0], "p_0": [0.9, 0.2, 0.4], "p_1": [0.1, 0.8, 0.6]})
    assert list(Predictions.from_frame(frame, guess_columns(frame)).labels) == [0, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"label": None},
            "Expected a column for the label, but got no column chosen (predictions). Choose one of probability_a",
        ),
        (
            {"probability_b": None, "label": ["a", "b", "c", "a"]},
            "each of at least two classes, or a column of predicted classes, but got none",
        ),
        ({"probability_a": [0.9, None, 0.4, 0.7]}, "Expected a finite number in every row, but got an"),
        (
            {"probability_a": [0.9, np.inf, 0.4, 0.7]},
            "Expected a finite number in every row, but got an infinity (1 row)",
        ),
        (
            {"probability_a": ["0.9", "0.2", "high", "0.7"]},
            "Expected a finite number in every row, but got 'high' (1 row)",
        ),
        ({"probability_a": ["0,9", "0.2", "0,4", "1"]}, "Expected a finite number in every row, but got '0,9'"),
        ({"probability_a": ["90%", "1", "1", "1"]}, "Write shares from 0 to 1 instead of percent"),
        (
            {"probability_a": [1.2, 0.2, 0.4, 0.7], "probability_b": [-0.2, 0.8, 0.6, 0.3]},
            "Expected probabilities from 0 to 1",
        ),
        (
            {"probability_a": [0.9, 0.2, 0.3, 0.7]},
            "Expected probabilities that sum to one, but got a sum of 0.9 (1 row",
        ),
        ({"probability_a": [90, 20, 40, 70], "probability_b": [10, 80, 60, 30]}, "percent: a sum of 100 (4 rows off)"),
        ({"label": ["a", "c", "b", "d"]}, "Expected labels out of a, b, but got 'c', 'd' (2 rows)"),
        ({"label": ["a", None, "b", " "]}, "Expected a true label in every row, but got an empty cell (2 rows)"),
        ({"label": "a"}, "true labels of at least two classes, but got only 'a'"),
        ({"patch_id": ["x", "y", "x", "z"]}, "Expected each patch once, but got 'x' in rows 1, 3 (2 rows affected)"),
        ({"patient_id": [1.5, 2.0, 3.0, 4.0]}, "Expected names or whole numbers, but got 1.5"),
        (
            {"probability_a.1": [0.9, 0.2, 0.4, 0.7]},
            "column names that occur once, but got 'probability_a' and 'probability_a.1'",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(changes, message):
    frame = table(**changes)
    columns = guess_columns(frame)
    if "probability_a.1" in changes:
        columns = ColumnMap("label", {"a": "probability_a", "b": "probability_b"})
    assert message in refused(frame, columns)


def test_scores_that_could_be_either_are_a_persons_choice():
    frame = table().rename(columns={"probability_a": "logit_a", "probability_b": "logit_b"})
    assert "rows that all sum to one" in refused(frame)
    columns = guess_columns(frame)
    np.testing.assert_array_equal(
        Predictions.from_frame(frame, columns, kind="probabilities").probs[:, 0], PROBS["probability_a"]
    )
    assert Predictions.from_frame(frame, columns, kind="logits").probs[0, 0] == pytest.approx(1 / (1 + np.exp(-0.8)))
    scores = table(probability_a=[2.0, -1.0, 0.0, 0.5])
    assert "choose logits" in refused(scores)
    with pytest.raises(ConfigError, match="`kind`.*'softmax'"):
        Predictions.from_frame(scores, kind="softmax")


def test_columns_are_used_once_and_classes_are_the_same_in_both_places():
    assert "'probability_a' as probability of a and as probability of b" in refused(
        table(), ColumnMap("label", {"a": "probability_a", "b": "probability_a"})
    )
    assert "'probability_a' twice" in refused(
        pd.concat([table(), table()[["probability_a"]]], axis=1),
        ColumnMap("label", {"a": "probability_a", "b": "probability_b"}),
    )
    assert "no column for 'c'" in refused(table(), classes=["a", "c"])
    assert "every class once" in refused(table(), classes=["a", "b", "b"])
    assert "no column 'probability_z'" in refused(
        table(), ColumnMap("label", {"a": "probability_a", "b": "probability_z"})
    )
    assert "numbers, but got datetime64" in refused(
        table(probability_a=pd.Timestamp("2020-01-01")),
        ColumnMap("label", {"a": "probability_a", "b": "probability_b"}),
    )


def test_nasty_text_is_data_and_messages_stay_short_and_clean():
    long = "x" * 10_000
    assert "x...x" in refused(table(label=["a", long, "b", "a"]))
    evil = f"ev{RIGHT_TO_LEFT}il\x00\x1b[31m\n"
    assert "'evil[31m'" in refused(table(label=["a", evil, "b", "a"]))
    assert "evil" in refused(table(patch_id=[evil, evil, "x", "y"]))
    named = table().rename(columns={"probability_a": f"probability_{evil}"})
    refused(named, ColumnMap("label", {evil: f"probability_{evil}", "b": "probability_b"}))
    p = Predictions.from_frame(table(patient_id=["=1+1", "@SUM(A1)", "-2", long]), guess_columns(table(patient_id="x")))
    assert list(p.frame["patient_id"]) == ["=1+1", "@SUM(A1)", "-2", long]


def test_the_table_itself_is_left_alone():
    frame = table(patient_id=[1, 2, 3, 4], split="Test")
    before = frame.copy()
    Predictions.from_frame(frame, guess_columns(frame))
    pd.testing.assert_frame_equal(frame, before)
