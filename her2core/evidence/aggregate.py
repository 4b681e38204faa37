"""What do all patches of a patient say together? Patch predictions in, slide or patient predictions out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.predictions import Predictions

UNIT_COLUMN = {"slide": "slide_id", "patient": "patient_id"}


def aggregate(predictions: Predictions, unit: str) -> Predictions:
    """One row a ``unit`` (slide or patient) by the mean of its patches' probabilities.

    Raises EvaluationError for another unit, when the ids are unknown, or when a patient or slide has patches of
    several labels: then the label belongs to a region and a figure for the whole has no meaning.
    """
    if unit not in UNIT_COLUMN:
        raise EvaluationError(expected="slide or patient", got=repr(unit), where="unit", fix="Choose one of the two.")
    column = UNIT_COLUMN[unit]
    ids = predictions.frame[column]
    if (ids == UNKNOWN).any():
        raise EvaluationError(
            expected=f"a {unit} id in every row",
            got=f"{int((ids == UNKNOWN).sum())} rows without",
            where=f"{unit} level",
            fix="Add the ids to the predictions.",
        )
    keys = predictions.frame["split"] + "\x1f" + ids  # a patient on both sides is two rows, one a side
    codes, names = pd.factorize(keys, sort=True)
    lowest = np.full(len(names), np.iinfo(np.int64).max)
    highest = np.full(len(names), -1)
    np.minimum.at(lowest, codes, predictions.labels)
    np.maximum.at(highest, codes, predictions.labels)
    mixed = lowest != highest
    if mixed.any():
        raise EvaluationError(
            expected=f"one label a {unit}",
            got=f"{int(mixed.sum())} with several, the first: {names[mixed.argmax()].split(chr(31))[1]}",
            where=f"{unit} level",
            fix=f"The labels belong to smaller regions: report patches, or give each {unit} one label.",
        )
    count = np.bincount(codes)
    probs = np.stack([np.bincount(codes, weights=p) / count for p in predictions.probs.T], axis=1)
    first = pd.Series(codes).drop_duplicates().index
    order = np.argsort(codes[first])
    frame = predictions.frame.iloc[first[order]].reset_index(drop=True)
    if unit == "patient":
        frame = frame.assign(slide_id=UNKNOWN)
    return Predictions(frame.assign(patch_id=frame[column]), probs, lowest, predictions.classes, unit)
