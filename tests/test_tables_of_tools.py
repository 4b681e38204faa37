"""Tables as other tools, spreadsheets and people write them: read as meant with a note, or refused; never misread."""

from __future__ import annotations

import io
import unicodedata

import numpy as np
import openpyxl
import pandas as pd
import pytest

from her2core.errors import TableError
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.evidence.score_columns import is_score_name
from her2core.evidence.table_findings import SPELLINGS_WARNING
from her2core.evidence.verdict import verdict
from her2core.io.tables import read_table

CLASSES = np.array(["negative", "equivocal", "positive"])
N = 60
_RNG = np.random.default_rng(7)
PATIENT = np.array([f"P{i // 5:02d}" for i in range(N)])
TRUE = np.arange(N) // 5 % 3
PROBS = _RNG.dirichlet([1, 1, 1], N) * 0.5 + 0.5 * np.eye(3)[np.where(_RNG.uniform(size=N) < 0.7, TRUE, (TRUE + 1) % 3)]
ANSWER = PROBS.argmax(axis=1)
RIGHT = float((ANSWER == TRUE).mean())
TWO, SCORE = np.arange(N) // 5 % 2, _RNG.uniform(size=N)
RIGHT_OF_TWO = float(((SCORE > 0.5) == TWO).mean())


def table(prefix="prob_", names=CLASSES, **columns) -> pd.DataFrame:
    scores = {f"{prefix}{name}": PROBS[:, k] for k, name in enumerate(names)}
    return pd.DataFrame({"patient": PATIENT, "label": CLASSES[TRUE], **columns, **scores})


def two(**columns) -> pd.DataFrame:
    return pd.DataFrame({"patient": PATIENT, "label": TWO, **columns})


def hard(true=None, predicted=None) -> pd.DataFrame:
    true, predicted = (CLASSES[c] if v is None else v for v, c in ((true, TRUE), (predicted, ANSWER)))
    return pd.DataFrame({"patient": PATIENT, "GT": true, "Pred": predicted})


def csv(frame: pd.DataFrame, **options) -> bytes:
    return frame.to_csv(index=False, **options).encode(options.get("encoding", "utf-8"))


def excel(**sheets: list[list[object]]) -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(buffer)
    return buffer.getvalue()


def rows(frame: pd.DataFrame) -> list[list[object]]:
    return [list(frame), *frame.astype(object).to_numpy().tolist()]


def accuracy(found: Predictions) -> float:
    test = found.part("test")
    return float((test.predicted == test.labels).mean())


def said(found: Predictions) -> str:
    return " ".join((*found.warnings, *found.notes))


PERCENT = table().assign(
    **{f"prob_{c}": [f"{100 * p:.2f} %".replace(".", ",") for p in PROBS[:, k]] for k, c in enumerate(CLASSES)}
)
LOGARITHMS = table().assign(**{f"prob_{c}": np.log(PROBS[:, k]) for k, c in enumerate(CLASSES)})
ZERO_OR_ONE = table().assign(**{f"prob_{c}": (k == ANSWER) * 1 for k, c in enumerate(CLASSES)})
SPELLED = table(patient=[p.lower() if i % 2 else p for i, p in enumerate(PATIENT)])
DOMINANT = table(patient=["P0"] * 40 + [f"P{i}" for i in range(1, 21)])
CONFIDENCE = np.maximum(SCORE, 1 - SCORE)
READ = {
    # scores under an affix that is not known: their values decide
    "MONAI": (csv(table("pred_")), RIGHT, ""),
    "tidymodels": (csv(table(".pred_").assign(**{".pred_class": CLASSES[ANSWER]})), RIGHT, ""),
    "Hugging Face": (csv(table("LABEL_", range(3), label=TRUE)), RIGHT, ""),
    "QuPath": (csv(table("Classification probability: "), sep="\t"), RIGHT, ""),
    "caret": (csv(table("", obs=CLASSES[TRUE], pred=CLASSES[ANSWER]).drop(columns="label")), RIGHT, ""),
    "Slideflow": (
        csv(table("her2-y_pred", range(3), **{"her2-y_true": TRUE}).drop(columns="label")),
        RIGHT,
        "",
    ),
    "logarithms, logp": (csv(LOGARITHMS.rename(columns=lambda c: c.replace("prob_", "logp_"))), RIGHT, "log"),
    "logarithms": (csv(LOGARITHMS), RIGHT, "log"),
    "a score called pred": (csv(two(pred=SCORE)), RIGHT_OF_TWO, "score of 1 only"),
    "percent signs": (csv(PERCENT, sep=";"), RIGHT, "Percentages were divided by 100"),
    # the true class beside a predicted one called label
    "two labels": (csv(table(label=CLASSES[ANSWER], true_label=CLASSES[TRUE])), RIGHT, "column 'label' differs"),
    # the score of the predicted class is none of the positive class
    "confidence": (csv(two(pred=(SCORE > 0.5).astype(int), confidence=CONFIDENCE)), RIGHT_OF_TWO, "no scores"),
    # dummy variables of the truth are no predictions
    "dummy coding": (
        csv(table("", pred=CLASSES[ANSWER]).assign(**{c: (k == TRUE) * 1 for k, c in enumerate(CLASSES)})),
        RIGHT,
        "no scores",
    ),
    # rows above the header and below the table
    "a title": (b"Results, of 2025\n\n" + csv(table()), RIGHT, "1 row above the names of the columns was left out"),
    "comments": (b"# net\n# epoch 3\n" + csv(table()), RIGHT, "2 rows above"),
    "a title in Excel": (excel(S=[["HER2 results"], [], *rows(table())]), RIGHT, "1 row above"),
    "groups of columns": (excel(S=[["case", None, "model"], *rows(table())]), RIGHT, "1 row above"),
    "another sheet first": (excel(Sum=[["metric", "value"], ["accuracy", 1]], S=rows(table())), RIGHT, "'S' was read"),
    "cleared rows": (csv(table()) + b",,,,\r\n" * 3, RIGHT, "without any value at the end"),
    # accents as a Mac's file system writes them
    "decomposed letters": (
        csv(table("prob_", ["négatif", "équivoque", "positif"]).assign(
            label=[unicodedata.normalize("NFD", ("négatif", "équivoque", "positif")[t]) for t in TRUE]
        )),
        RIGHT,
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_tables_are_read_as_they_are_meant(case):
    data, right, words = READ[case]
    found = read_predictions(data)
    assert accuracy(found) == pytest.approx(right)
    assert found.patients_known
    assert words in said(found)


SPLITS = {
    "is_test": (np.arange(N) < 30, "30 training, 30 test"),
    "is_train": (["no"] * 30 + ["yes"] * 30, "30 training, 30 test"),
    "cohort": (["train"] * 20 + ["test"] * 40, "20 training, 40 test"),
}


@pytest.mark.parametrize("name", SPLITS)
def test_training_rows_are_not_counted_as_tested(name):
    cells, words = SPLITS[name]
    found = read_predictions(csv(table(**{name: cells})))
    assert words in said(found)


REFUSED = {
    # predicted classes that would become classes of their own
    "fractions as answers": (csv(hard(predicted=PROBS[:, 0])), "Expected predicted classes, but got numbers such as"),
    "other names": (csv(hard(predicted=ANSWER)), "predicted classes that are also true ones"),
    "a line of totals": (csv(hard()) + b"Total,60,41\n", "a line of totals"),
    "a missing label": (csv(hard(true=["NA", *CLASSES[TRUE][1:]])), "often stands for a missing one"),
    "two spellings": (csv(hard(true=["NEGATIVE", *CLASSES[TRUE][1:]])), "one spelling of each class"),
    "a confusion matrix": (
        csv(pd.DataFrame({"true": CLASSES, **dict(zip(CLASSES, np.eye(3) * 0.7 + 0.1, strict=True))})),
        "a confusion matrix",
    ),
    "classes 1 and 2": (csv(two(prob=SCORE).assign(label=TWO + 1)), "a probability column for each"),
    "percent of one class": (csv(two(score=100 * SCORE)), "divide them by 100"),
    "two models": (csv(table("a_").assign(**{f"b_{c}": PROBS[:, k] for k, c in enumerate(CLASSES)})), "b_positive"),
    "a part without a name": (csv(table(set=["train"] * 30 + ["tset"] * 30)), "got 'tset' (30 rows)"),
    "several seeds": (csv(pd.concat([table(tile=range(N), seed=s) for s in (0, 1)])), "give one table for each 'seed'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_would_be_misread_are_refused(case):
    data, words = REFUSED[case]
    with pytest.raises(TableError) as caught:
        read_predictions(data)
    assert words in str(caught.value)


WARNED = {
    "an id in two spellings": (csv(SPELLED), "'P00' and 'p00'"),
    "equal rows": (csv(pd.concat([table(), table().head(7)])), "7 of 67 rows equal another one"),
    "another predicted class": (csv(table("p_", range(3), label=TRUE, Y_hat=np.roll(ANSWER, 1))), "'Y_hat' and the"),
    "never below one half": (csv(two(confidence=CONFIDENCE)), "every figure is wrong"),
    "ties": (csv(table().assign(**{f"prob_{c}": 1 / 3 for c in CLASSES})), "highest probability in 60 rows"),
    "scores of 0 and 1": (csv(ZERO_OR_ONE), "0 or 1"),
    "two families": (csv(table().assign(**{f"score_{c}": PROBS[:, k] for k, c in enumerate(CLASSES)})), "were not"),
    "a dominant patient": (csv(DOMINANT), "40 of 60"),
}  # fmt: skip


@pytest.mark.parametrize("case", WARNED)
def test_what_may_make_figures_wrong_is_said(case):
    data, words = WARNED[case]
    assert words in said(read_predictions(data))


def test_several_spellings_of_an_id_limit_the_claim_of_the_verdict():
    found = verdict(WARNED["an id in two spellings"][0])
    aspect = found.aspect("identifiers")
    assert aspect.grade == "limits the claim"
    assert SPELLINGS_WARNING in aspect.finding


def test_letters_of_an_unknown_encoding_stay_apart():
    """Shift JIS is read as Windows-1252, in which five bytes are no letter: two patients must not become one."""
    frame = read_table("id,x\n高春,1\n垂春,2\n".encode("shift_jis")).frame
    assert frame["id"].nunique() == 2


def test_probabilities_that_are_always_right_are_not_called_calibrated():
    sure = {f"prob_{c}": (k == TRUE) * 1.0 for k, c in enumerate(CLASSES)}
    aspect = verdict(table().assign(**sure)).aspect("calibration")
    assert aspect.grade == "not known"
    assert "too few rows are wrong" in aspect.reason


def test_a_constant_prediction_is_one_of_the_classes_that_occur():
    finding = verdict(table(prob_background=0.0)).aspect("baselines").finding
    assert "constant prediction is 0.33" in finding


def test_a_long_name_of_separators_is_looked_at_once():
    """Time grows with the length of a name, not with its square: a header of a hostile file would not end otherwise."""
    assert not is_score_name("_" * 100_000)
