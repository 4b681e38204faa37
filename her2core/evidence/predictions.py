"""What did the network say? A run's table, or any other tool's, in; checked probabilities and labels out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.calibration import probabilities

#: What a row may be told apart by; every row has all four, unknown where the source does not say.
IDS = ("patch_id", "patient_id", "slide_id", "site")


@dataclass(frozen=True)
class Predictions:
    """One row a patch, slide or patient (``unit``).

    ``frame`` holds the ids (patch_id, patient_id, slide_id, site) and split; ``probs`` float64 (N, K); ``labels`` int64
    (N,), positions in ``classes``. ``notes`` are sentences that every figure made from them should carry. Nothing in
    it is changed once it is made: what is derived from it is computed once.

    Raises EvaluationError for a probability that is not finite, a label that is no class, or parts of other lengths.
    """

    frame: pd.DataFrame
    probs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    unit: str = "patch"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, k = len(self.labels), len(self.classes)
        if self.probs.shape != (n, k) or len(self.frame) != n:
            raise EvaluationError(
                f"{n} rows of {k} probabilities, one a label and class",
                got=f"probabilities of shape {self.probs.shape}, {len(self.frame)} rows of ids",
                where="predictions",
                fix="Give all parts of the same rows.",
            )
        if not np.isfinite(self.probs).all():
            row = int(np.argmin(np.isfinite(self.probs).all(axis=1)))
            raise EvaluationError(
                "a finite number for every class",
                got=str(self.probs[row].tolist())[:200],
                where=f"predictions, row {row + 1}",
                fix="Correct or drop such rows.",
            )
        if n and not 0 <= self.labels.min() <= self.labels.max() < k:
            raise EvaluationError(
                f"labels from 0 to {k - 1}",
                got=f"{self.labels.min()} to {self.labels.max()}",
                where="predictions",
                fix="Give each label as its place among the classes.",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def predicted(self) -> np.ndarray:
        """int64 (N,): the class of highest probability, the first of equals."""
        return self.probs.argmax(axis=1)

    @cached_property
    def patients(self) -> tuple[np.ndarray, pd.Index]:
        """int64 (N,): each row's patient as a position in the second, the patients' names in order."""
        return pd.factorize(self.frame["patient_id"], sort=True)

    @property
    def patients_known(self) -> bool:
        return UNKNOWN not in self.patients[1]

    def where(self, mask: np.ndarray) -> Predictions:
        """Only these rows: bool (N,), or positions in the order wanted."""
        if mask.dtype == bool and mask.all():
            return self
        return replace(
            self, frame=self.frame.iloc[mask].reset_index(drop=True), probs=self.probs[mask], labels=self.labels[mask]
        )

    def part(self, split: str) -> Predictions:
        """Only one part of the split: val or test."""
        return self.where((self.frame["split"] == split).to_numpy())


def read_predictions(
    frame: pd.DataFrame, *, classes: tuple[str, ...] | None = None, temperature: float = 1.0
) -> Predictions:
    """Predictions from a table with ``label`` and ``logit_<class>`` or ``probability_<class>`` columns.

    Scores are divided by ``temperature`` and put through softmax; probabilities must sum to one within 1e-3 and are
    taken as they are. Missing ids become ``unknown``, a missing split ``test``. Raises EvaluationError that names the
    first bad row for NaN, an unknown label, a sum that is not one, or a patch that stands twice.
    """
    kind = "logit_" if any(str(c).startswith("logit_") for c in frame) else "probability_"
    found = tuple(str(c).removeprefix(kind) for c in frame if str(c).startswith(kind))
    classes = classes or found
    if "label" not in frame or len(classes) < 2 or set(classes) - set(found):
        raise EvaluationError(
            "columns label and logit_<class> or probability_<class> for at least two classes",
            got=f"columns {', '.join(map(str, list(frame)[:12]))}",
            where="predictions",
            fix="Rename your columns so.",
        )
    if frame.empty:
        raise EvaluationError("at least one prediction", got="none", where="predictions", fix="Check the file.")
    values = np.stack([pd.to_numeric(frame[kind + c], errors="coerce").to_numpy(np.float64) for c in classes], axis=1)
    _refuse_row(~np.isfinite(values).all(axis=1), frame, "a finite number for every class")
    if kind == "probability_":
        _refuse_row(
            (values < -1e-9).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > 1e-3),
            frame,
            "probabilities from 0 to 1 that sum to one",
        )
    index = {name: i for i, name in enumerate(classes)}
    codes, names = pd.factorize(frame["label"])  # an empty cell is -1 and gets the last, which is no class
    labels = np.array([*(index.get(str(v), -1) for v in names), -1], np.int64)[codes]
    _refuse_row(labels < 0, frame, f"a label out of {', '.join(classes)}")
    ids = id_table({c: frame[c] for c in (*IDS, "split") if c in frame}, len(frame))
    named = ids["patch_id"] != UNKNOWN
    _refuse_row((ids["patch_id"].duplicated(keep=False) & named).to_numpy(), frame, "each patch once")
    probs = probabilities(values, temperature) if kind == "logit_" else values
    return Predictions(ids, probs, labels, tuple(classes))


def calibrated_predictions(frame: pd.DataFrame, card: Mapping[str, Any]) -> Predictions:
    """Read a run's table of predictions with the classes and the temperature of its card.

    Parameters
    ----------
    frame : DataFrame
        One row a patch, as ``predictions.parquet`` holds them: ids, split, label and ``logit_<class>``.
    card : mapping
        The run's model card; ``classes`` and ``temperature`` are read.

    Returns
    -------
    Predictions
        All rows, validation and test.

    Raises
    ------
    EvaluationError
        As ``read_predictions``.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["a"], "logit_a": [2.0], "logit_b": [0.0]})
    >>> calibrated_predictions(frame, {"classes": ["a", "b"], "temperature": 2.0}).probs.round(3).tolist()
    [[0.731, 0.269]]
    """
    return read_predictions(frame, classes=tuple(card["classes"]), temperature=card["temperature"])


def id_table(given: dict[str, pd.Series], rows: int) -> pd.DataFrame:
    """patch_id, patient_id, slide_id, site and split as text, ``rows`` long: what is missing is ``unknown``, a missing
    split ``test``."""
    ids = {}
    for column in IDS:
        cells = given.get(column)
        if cells is None:
            ids[column] = pd.Series(UNKNOWN, index=range(rows), dtype="str")
        else:
            cells = cells.reset_index(drop=True)
            ids[column] = cells.where(cells.notna(), UNKNOWN).astype("str")
    split = given.get("split")
    split = pd.Series("test", index=range(rows)) if split is None else split.reset_index(drop=True)
    ids["split"] = split.astype("str")
    return pd.DataFrame(ids)


def _refuse_row(bad: np.ndarray, frame: pd.DataFrame, expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise EvaluationError(
            expected,
            got=f"{int(bad.sum())} rows without, the first: {frame.iloc[row].to_dict()}"[:300],
            where=f"predictions, row {row + 1}",
            fix="Correct or drop these rows.",
        )


def refuse_empty(predictions: Predictions, where: str) -> None:
    """Raises EvaluationError when there is no row."""
    if not len(predictions):
        raise EvaluationError("at least one prediction", got="none", where=where, fix="Choose a part that holds some.")
