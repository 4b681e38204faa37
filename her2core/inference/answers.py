"""Predictions in words: notes, prediction sets and the table of several patches."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from her2core.inference.predictor import Prediction
from her2core.io.text import SENTENCE_LENGTH, capitalised, markdown_text

#: Column of the out-of-distribution score, in units of its threshold: above 1 the patch is flagged.
OOD_COLUMN = "out-of-distribution score"
NOT_READ, NOT_CLASSIFIED = "not read", "not classified"


def note_sentences(prediction: Prediction) -> list[str]:
    """Return the flags of a prediction as sentences, escaped for Markdown.

    Parameters
    ----------
    prediction : Prediction
        The answer for one patch.

    Returns
    -------
    list of str
        What must be known before the answer is read, one sentence a flag.
    """
    return [markdown_text(f"{capitalised(note)}.", SENTENCE_LENGTH) for note in prediction.notes]


def prediction_set_sentence(prediction: Prediction) -> str:
    """Return the conformal prediction set of a patch as a sentence in Markdown.

    Parameters
    ----------
    prediction : Prediction
        The answer for one patch.

    Returns
    -------
    str
        The set with its coverage, or that the run has none.

    Examples
    --------
    >>> patch = Prediction("a.png", ("negative", "positive"), (0.3, 0.7), (), {}, "demo", prediction_set=("positive",),
    ...                    coverage=0.9)
    >>> prediction_set_sentence(patch)
    'Prediction set at 90%: **positive**.'
    """
    if prediction.prediction_set is None:
        return "This model has no prediction sets."
    level = f"{prediction.coverage:.0%}"
    if not prediction.prediction_set:
        return f"**Empty prediction set** at {level}: the patch is unlike those that the sets were calibrated on."
    names = ", ".join(markdown_text(c) for c in prediction.prediction_set)
    if len(prediction.prediction_set) == 1:
        return f"Prediction set at {level}: **{names}**."
    return f"Prediction set at {level}: **{names}**. The patch alone does not distinguish between these classes."


def prediction_table(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return predictions as a table with one row a patch.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of one model.

    Returns
    -------
    pandas.DataFrame
        ``patch``, ``class`` (or why there is none), ``prediction set``, the probability of each class, OOD_COLUMN and
        ``notes``.

    Examples
    --------
    >>> patch = Prediction("a.png", ("negative", "positive"), (0.3, 0.7), (), {}, "demo")
    >>> prediction_table([patch])[["patch", "class", "positive"]].to_dict("records")
    [{'patch': 'a.png', 'class': 'positive', 'positive': 0.7}]
    """
    return pd.DataFrame(
        [
            {
                "patch": p.name,
                "class": NOT_READ if p.error else p.label if p.usable else NOT_CLASSIFIED,
                "prediction set": "" if p.error or p.prediction_set is None else ", ".join(p.prediction_set) or "none",
                **dict(zip(p.classes, p.probabilities or [float("nan")] * len(p.classes), strict=True)),
                OOD_COLUMN: p.ood_score,
                "notes": p.error or "; ".join(p.notes),
            }
            for p in predictions
        ]
    )
