"""How is an answer told to a person? Predictions in; sentences and tables out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dashboard.words import plain, sentence
from her2core.inference.predictor import Prediction

#: Column of the distance to the training data in units of its threshold: above 1 the patch is flagged.
DISTANCE = "distance to training data"


def notes_of(answer: Prediction) -> list[str]:
    """What must be known before the answer is read, one sentence each."""
    return [sentence(f"{note[0].upper()}{note[1:]}.") for note in answer.notes]


def said_in_words(answer: Prediction) -> str:
    """The prediction set in a sentence, or that the run has none."""
    if answer.prediction_set is None:
        return "This run has no prediction sets."
    level = f"{answer.coverage:.0%}"
    if not answer.prediction_set:
        return f"**No class is credible** at the {level} level: unlike the patches that the sets were fitted on."
    names = ", ".join(plain(c) for c in answer.prediction_set)
    if len(answer.prediction_set) == 1:
        return f"Prediction set at {level}: **{names}**."
    return f"Prediction set at {level}: **{names}**. The patch alone cannot tell these apart."


def answer_table(answers: Sequence[Prediction]) -> pd.DataFrame:
    """One row a patch: name, class or why none, prediction set, probabilities, notes."""
    return pd.DataFrame(
        [
            {
                "patch": a.name,
                "class": "not read" if a.error else a.label if a.usable else "not judged",
                "prediction set": "" if a.error or a.prediction_set is None else ", ".join(a.prediction_set) or "none",
                **dict(zip(a.classes, a.probabilities or [float("nan")] * len(a.classes), strict=True)),
                DISTANCE: a.ood_score,
                "notes": a.error or "; ".join(a.notes),
            }
            for a in answers
        ]
    )
