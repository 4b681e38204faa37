"""Predictions in words: notes, prediction sets and the table of several patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from her2core.inference.prediction import Prediction
from her2core.io.text import SENTENCE_LENGTH, capitalised, markdown_text

if TYPE_CHECKING:
    from her2core.inference.field import FieldPrediction

#: Column of the out-of-distribution score, in units of its threshold: above 1 the patch is flagged.
OOD_COLUMN = "out-of-distribution score"


def reason_sentences(prediction: Prediction) -> list[str]:
    """Return why there is no reliable answer as sentences, escaped for Markdown.

    Parameters
    ----------
    prediction : Prediction
        The answer for one patch.

    Returns
    -------
    list of str
        Empty where the prediction is reliable.

    Examples
    --------
    >>> print(*reason_sentences(Prediction("a.png", ("low", "high"), (0.3, 0.7), ("one_colour",), {}, "demo")))
    The patch has one colour and no structure\\.
    """
    return [_sentence(reason) for reason in prediction.reasons]


def note_sentences(prediction: Prediction) -> list[str]:
    """Return the other flags of a prediction as sentences, escaped for Markdown.

    Parameters
    ----------
    prediction : Prediction
        The answer for one patch.

    Returns
    -------
    list of str
        What must be known when the answer is read, one sentence a flag.
    """
    return [_sentence(note) for note in prediction.notes if note not in prediction.reasons]


def prediction_set_sentence(prediction: Prediction) -> str:
    """Return the conformal prediction set of a patch as a sentence in Markdown.

    Parameters
    ----------
    prediction : Prediction
        The answer for one patch.

    Returns
    -------
    str
        The set with its coverage, or why there is none.

    Examples
    --------
    >>> patch = Prediction("a.png", ("negative", "positive"), (0.3, 0.7), (), {}, "demo", prediction_set=("positive",),
    ...                    coverage=0.9)
    >>> prediction_set_sentence(patch)
    'Prediction set at 90%: **positive**.'
    """
    if not prediction.reliable:
        return "Without a reliable answer no prediction set is given."
    if prediction.prediction_set is None:
        return _sentence(prediction.set_note) if prediction.set_note else "This model has no prediction sets."
    said = f" {_sentence(prediction.set_note)}" if prediction.set_note else ""
    level = f"{prediction.coverage:.0%}"
    names = ", ".join(markdown_text(c) for c in prediction.prediction_set)
    if len(prediction.prediction_set) == 1:
        asks = " It asks for an ISH test: a referral, not an answer." if prediction.referred else ""
        return f"Prediction set at {level}: **{names}**.{asks}{said}"
    return f"Prediction set at {level}: **{names}**. The patch alone does not distinguish between these classes.{said}"


def prediction_table(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return predictions as a table with one row a patch.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of one model.

    Returns
    -------
    pandas.DataFrame
        ``patch``, ``answer`` (one or several classes, NO_ANSWER or NOT_READ), ``prediction set`` (empty where there is
        no reliable answer), the raw probability of each class, OOD_COLUMN and ``notes``.

    Examples
    --------
    >>> patch = Prediction("a.png", ("negative", "positive"), (0.3, 0.7), (), {}, "demo")
    >>> prediction_table([patch])[["patch", "answer", "positive"]].to_dict("records")
    [{'patch': 'a.png', 'answer': 'positive', 'positive': 0.7}]
    """
    return pd.DataFrame(
        [
            {
                "patch": p.name,
                "answer": p.answer,
                "prediction set": ", ".join(p.reported_set or ()),
                **dict(zip(p.classes, p.probabilities or [float("nan")] * len(p.classes), strict=True)),
                OOD_COLUMN: p.ood_score,
                "notes": "; ".join(dict.fromkeys([*p.reasons, *p.notes])),
            }
            for p in predictions
        ]
    )


def with_files(table: pd.DataFrame, files: Mapping[str, str]) -> pd.DataFrame:
    """Return a table of patches with the names of their files, for exports: shown names are cleaned.

    Parameters
    ----------
    table : pandas.DataFrame
        With a column ``patch``.
    files : mapping of str to str
        Shown name -> name of the file as it was stated; the shown name holds where it is empty or absent.

    Returns
    -------
    pandas.DataFrame
        With a column ``file`` after ``patch``.

    Examples
    --------
    >>> shown = pd.DataFrame({"patch": ["1.png", "1.png (2)"]})
    >>> with_files(shown, {"1.png": "+1.png", "1.png (2)": "-1.png"})["file"].tolist()
    ['+1.png', '-1.png']
    """
    table = table.copy(deep=False)
    table.insert(list(table).index("patch") + 1, "file", [files.get(name) or name for name in table["patch"]])
    return table


def _sentence(phrase: str) -> str:
    text = capitalised(phrase)
    return markdown_text(text if text.endswith((".", "!", "?")) else f"{text}.", SENTENCE_LENGTH)


def field_table(found: FieldPrediction) -> pd.DataFrame:
    """Return the tiles of a field, with what they are tiles of, for export.

    Parameters
    ----------
    found : FieldPrediction
        From ``inference.field.predict_field``.

    Returns
    -------
    DataFrame
        ``found.tiles`` with ``field``, ``mpp``, ``model`` and ``field_answer``.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.inference.example import example_predictor
    >>> from her2core.inference.field import predict_field
    >>> glass = np.full((300, 400, 3), 245, np.uint8)
    >>> table = field_table(predict_field(example_predictor(), glass, mpp=0.5, field_um=50.0))
    >>> len(table), table["field_answer"].unique().tolist()
    (12, ['No reliable answer'])
    """
    return found.tiles.assign(field=found.name, mpp=found.mpp, model=found.model, field_answer=found.answer)
