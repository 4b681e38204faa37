"""What did the network say? A run's table, or any other tool's, in; checked probabilities and labels out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.calibration import probabilities


@dataclass(frozen=True)
class Predictions:
    """One row a patch, slide or patient (``unit``).

    ``frame`` holds the ids (patch_id, patient_id, slide_id, site) and split; ``probs`` float64 (N, K); ``labels`` int64
    (N,), positions in ``classes``.
    """

    frame: pd.DataFrame
    probs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    unit: str = "patch"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """int64 (N,): the class of highest probability, the first of equals."""
        return self.probs.argmax(axis=1)

    @property
    def patients_known(self) -> bool:
        return not (self.frame["patient_id"] == UNKNOWN).any()

    def where(self, mask: np.ndarray) -> Predictions:
        """Only these rows: bool (N,), or positions in the order wanted."""
        return replace(
            self, frame=self.frame.iloc[mask].reset_index(drop=True), probs=self.probs[mask], labels=self.labels[mask]
        )

    def part(self, split: str) -> Predictions:
        """Only one part of the split: val or test."""
        return self.where((self.frame["split"] == split).to_numpy())


def read_predictions(
    frame: pd.DataFrame, *, classes: tuple[str, ...] | None = None, temperature: float = 1.0
) -> Predictions:
    """Predictions from a table with ``label`` and ``logit_<class>`` or ``prob_<class>`` columns.

    Scores are divided by ``temperature`` and put through softmax; probabilities must sum to one within 1e-3 and are
    taken as they are. Missing ids become ``unknown``, a missing split ``test``. Raises EvaluationError that names the
    first bad row for NaN, an unknown label, a sum that is not one, or a patch that stands twice.
    """
    kind = "logit_" if any(str(c).startswith("logit_") for c in frame) else "prob_"
    found = tuple(str(c).removeprefix(kind) for c in frame if str(c).startswith(kind))
    classes = classes or found
    if "label" not in frame or len(classes) < 2 or set(classes) - set(found):
        raise EvaluationError(
            expected="columns label and logit_<class> or prob_<class> for at least two classes",
            got=f"columns {', '.join(map(str, list(frame)[:12]))}",
            where="predictions",
            fix="Rename your columns so.",
        )
    if frame.empty:
        raise EvaluationError(
            expected="at least one prediction", got="none", where="predictions", fix="Check the file."
        )
    values = frame[[kind + c for c in classes]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    _refuse_row(~np.isfinite(values).all(axis=1), frame, "a finite number for every class")
    if kind == "prob_":
        _refuse_row((values < -1e-9).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > 1e-3), frame,
                    "probabilities from 0 to 1 that sum to one")  # fmt: skip
    index = {name: i for i, name in enumerate(classes)}
    labels = frame["label"].map(lambda v: index.get(str(v), -1)).to_numpy(np.int64)
    _refuse_row(labels < 0, frame, f"a label out of {', '.join(classes)}")
    ids = pd.DataFrame(index=frame.index)
    for column in ("patch_id", "patient_id", "slide_id", "site"):
        given = frame[column] if column in frame else pd.Series(None, index=frame.index, dtype="object")
        ids[column] = given.where(given.notna(), UNKNOWN).astype("str")
    ids["split"] = frame["split"].astype("str") if "split" in frame else "test"
    named = ids["patch_id"] != UNKNOWN
    _refuse_row((ids["patch_id"].duplicated(keep=False) & named).to_numpy(), frame, "each patch once")
    probs = probabilities(values, temperature) if kind == "logit_" else values
    return Predictions(ids.reset_index(drop=True), probs, labels, tuple(classes))


def _refuse_row(bad: np.ndarray, frame: pd.DataFrame, expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise EvaluationError(
            expected=expected, got=f"{int(bad.sum())} rows without, the first: {frame.iloc[row].to_dict()}"[:300],
            where=f"predictions, row {row + 1}", fix="Correct or drop these rows.",
        )  # fmt: skip
