"""Predictions of a model: true classes, probabilities or predicted classes, and whose they are.

Every figure of ``her2core.evidence`` is computed from ``Predictions``, whether they come from a run of this project or
from the table of any other tool.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.out_of_fold import out_of_fold_note
from her2core.evidence.prediction_columns import (
    ID_ROLES,
    ColumnMap,
    guess_columns,
    map_columns,
    names_predictions,
    with_roles,
)
from her2core.evidence.prediction_table import id_table, interpret_table
from her2core.io.cells import UNKNOWN
from her2core.io.limits import TableLimits
from her2core.io.tables import read_table

if TYPE_CHECKING:
    from her2core.runs.folder import Run

__all__ = ["IDS", "ColumnMap", "Predictions", "calibrated_predictions", "id_table", "read_predictions"]

#: Identifiers of a row; every row has all four, ``unknown`` where the source does not state one.
IDS = ID_ROLES


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Predictions, one row a patch, slide or patient.

    Parameters
    ----------
    frame : DataFrame
        Columns patch_id, patient_id, slide_id, site and split (train, val or test), all text; and those of
        ``io.columns.GROUP_ROLES`` that a table has, such as age_group.
    probabilities : ndarray of float64, shape (N, K), or None
        Probabilities; None where only predicted classes are known. Read them as ``probs``.
    labels : ndarray of int64, shape (N,)
        True classes as positions in ``classes``.
    classes : tuple of str
        The K classes, in order.
    unit : str
        "patch", "slide" or "patient": what a row is.
    notes : tuple of str
        Sentences on how the table was read, to be shown with every figure.
    warnings : tuple of str
        Sentences on what may make figures wrong, to be shown before any figure.
    predicted_labels : ndarray of int64, shape (N,), optional
        Predicted classes where there are no probabilities.

    Raises
    ------
    EvaluationError
        For a probability that is not finite, a label that is no class, parts of different lengths.

    Examples
    --------
    >>> frame = pd.DataFrame({"patient": ["P1", "P2"], "y": ["neg", "pos"], "p_neg": [0.9, 0.4], "p_pos": [0.1, 0.6]})
    >>> predictions = Predictions.from_frame(frame)
    >>> predictions
    Predictions(2 patches of 2 patients; classes neg, pos; test 2)
    >>> predictions.predicted.tolist(), predictions.labels.tolist()
    ([0, 1], [0, 1])
    """

    frame: pd.DataFrame
    probabilities: np.ndarray | None
    labels: np.ndarray
    classes: tuple[str, ...]
    unit: str = "patch"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    predicted_labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, k, probs, hard = len(self.labels), len(self.classes), self.probabilities, self.predicted_labels
        if (probs is None) == (hard is None):
            raise EvaluationError(
                "either probabilities or predicted classes",
                got="neither" if hard is None else "both",
                where="predictions",
                fix="Give one of the two.",
            )
        shape = (n, k) if probs is None else probs.shape
        if shape != (n, k) or len(self.frame) != n or (hard is not None and hard.shape != (n,)):
            raise EvaluationError(
                f"{n} rows of {k} probabilities, one per label and class",
                got=f"probabilities of shape {shape}, {len(self.frame)} rows of identifiers",
                where="predictions",
                fix="Give all parts of the same rows.",
            )
        if probs is not None and not np.isfinite(probs).all():
            row = int(np.argmin(np.isfinite(probs).all(axis=1)))
            raise EvaluationError(
                "a finite number for every class",
                got=str(probs[row].tolist())[:200],
                where=f"predictions, row {row + 1}",
                fix="Correct or drop such rows.",
            )
        for labels in (self.labels, hard):
            if labels is not None and n and not 0 <= labels.min() <= labels.max() < k:
                raise EvaluationError(
                    f"labels from 0 to {k - 1}",
                    got=f"{labels.min()} to {labels.max()}",
                    where="predictions",
                    fix="Give each label as its position among the classes.",
                )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        columns: ColumnMap | None = None,
        *,
        classes: Sequence[str] | None = None,
        kind: str = "auto",
        temperature: float = 1.0,
    ) -> Predictions:
        """Predictions from a table in memory.

        Parameters
        ----------
        frame : DataFrame
            One row a patch, slide or patient; it is not changed.
        columns : ColumnMap, optional
            Which column holds what; recognised by name when left out (``guess_columns``).
        classes : sequence of str, optional
            All classes in their order; clinical order, or that of the columns, when left out.
        kind : {"probabilities", "logits", "auto"}
            What the scores are; "auto" takes them as logits where their columns are named so.
        temperature : float
            Logits are divided by it before the softmax.

        Returns
        -------
        Predictions
            Findings about the table are in ``warnings`` and ``notes``.

        Raises
        ------
        TableError
            Naming the first row or column that cannot be read.

        Examples
        --------
        >>> frame = pd.DataFrame({"GT": [0, 1, 1], "Pred": [0, 1, 0]})
        >>> predictions = Predictions.from_frame(frame)
        >>> predictions.has_scores, predictions.predicted.tolist()
        (False, [0, 1, 0])
        """
        table = read_table(frame)
        columns = guess_columns(table.frame) if columns is None else columns
        read = interpret_table(table.frame, columns, classes=classes, kind=kind, temperature=temperature)
        return cls(**vars(read))

    @property
    def has_scores(self) -> bool:
        """Whether there are probabilities, and not predicted classes only."""
        return self.probabilities is not None

    @property
    def probs(self) -> np.ndarray:
        """Probabilities, float64 of shape (N, K).

        Raises
        ------
        EvaluationError
            Where only predicted classes are known.
        """
        if self.probabilities is None:
            raise EvaluationError(
                "a probability for each class",
                got="predicted classes only",
                where="predictions",
                fix="Export the model's probabilities for the figures that need scores.",
            )
        return self.probabilities

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted classes, int64 of shape (N,): the class of highest probability, the first of equals."""
        return self.probs.argmax(axis=1) if self.predicted_labels is None else self.predicted_labels

    @cached_property
    def patients(self) -> tuple[np.ndarray, pd.Index]:
        """Each row's patient as a position in the second, int64 of shape (N,), and the patients in order."""
        codes, names = pd.factorize(self.frame["patient_id"], sort=True)
        return codes, names

    @property
    def patients_known(self) -> bool:
        """Whether every row names its patient."""
        return UNKNOWN not in self.patients[1]

    @property
    def absent_classes(self) -> tuple[str, ...]:
        """Classes of which no row truly is."""
        return tuple(name for i, name in enumerate(self.classes) if not (self.labels == i).any())

    def where(self, mask: np.ndarray) -> Predictions:
        """Only some rows.

        Parameters
        ----------
        mask : ndarray of bool, shape (N,), or of int
            Which rows; or positions, in the order wanted.

        Returns
        -------
        Predictions

        Examples
        --------
        >>> frame = pd.DataFrame({"y": [0, 1, 1], "pred": [0, 1, 0]})
        >>> predictions = Predictions.from_frame(frame)
        >>> len(predictions.where(predictions.predicted == predictions.labels))
        2
        """
        if mask.dtype == bool and mask.all():
            return self
        return replace(
            self,
            frame=self.frame.iloc[mask].reset_index(drop=True),
            probabilities=None if self.probabilities is None else self.probabilities[mask],
            labels=self.labels[mask],
            predicted_labels=None if self.predicted_labels is None else self.predicted_labels[mask],
        )

    def part(self, split: str) -> Predictions:
        """One part of the split.

        Parameters
        ----------
        split : str
            "val" or "test".

        Returns
        -------
        Predictions
            Perhaps without rows.

        Examples
        --------
        >>> frame = pd.DataFrame({"y": [0, 1, 1], "pred": [0, 1, 0], "set": ["val", "test", "test"]})
        >>> len(Predictions.from_frame(frame).part("test"))
        2
        """
        return self.where((self.frame["split"] == split).to_numpy())

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        units = f"{len(self):,} {self.unit}{'es' if self.unit == 'patch' else 's'}"
        of = f" of {len(self.patients[1]):,} patients" if self.patients_known and self.unit != "patient" else ""
        parts = ", ".join(f"{part} {n:,}" for part, n in self.frame["split"].value_counts().items())
        scores = "" if self.has_scores else "; no scores"
        return f"Predictions({units}{of}; classes {', '.join(self.classes)}; {parts}{scores})"


def read_predictions(
    source: str | os.PathLike[str] | bytes | pd.DataFrame | Run,
    *,
    columns: Mapping[str, str] | None = None,
    scores: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    kind: str = "auto",
    name: str = "",
    temperature: float = 1.0,
    limits: TableLimits | None = None,
) -> Predictions:
    """Read predictions of any tool, or of a run of this project.

    Parameters
    ----------
    source : path, bytes, DataFrame or Run
        A table (CSV, Parquet, Excel; see ``her2core.io.tables.read_table``) with one row a patch, slide or patient; or
        a run, or its folder, whose probabilities are calibrated.
    columns : mapping of str to str, optional
        Role (label, predicted, patch_id, patient_id, slide_id, site, split) -> column, where the column is not
        recognised by name; "" for a role that no column has.
    scores : mapping of str to str, optional
        Class -> column of its probability or logit. Of two classes one is enough.
    labels : mapping of str to str, optional
        Spelling in the label columns -> the class it means.
    classes : sequence of str, optional
        All classes in their order.
    kind : {"probabilities", "logits", "auto"}
        What the scores are; "auto" takes them as logits where their columns are named so.
    name : str, optional
        What to call the table in messages.
    temperature : float
        Logits are divided by it before the softmax.
    limits : TableLimits, optional
        Largest table.

    Returns
    -------
    Predictions
        Findings about the table are in ``warnings`` and ``notes``.

    Raises
    ------
    TableError
        For what is no table, and for what cannot be read in it.
    ConfigError
        For an unknown role or kind, and for options that a run does not take.

    Examples
    --------
    >>> table = b"PatientID;y_true;prob_1\\nP1;0;0,2\\nP2;1;0,7\\n"
    >>> predictions = read_predictions(table)
    >>> predictions.classes, predictions.probs[:, 1].tolist()
    (('0', '1'), [0.2, 0.7])
    >>> read_predictions(table, labels={"0": "negative", "1": "positive"}, scores={"positive": "prob_1"}).classes
    ('negative', 'positive')
    """
    from her2core.runs.folder import Run, open_run

    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        source = open_run(source)
    if isinstance(source, Run):
        if columns or scores or labels or classes or kind != "auto":
            raise ConfigError(
                "a table of predictions with columns, scores, labels, classes or kind",
                got="a run, whose card states them",
                where=source.name,
                fix="Leave these options out.",
            )
        return source.calibrated_predictions
    known = dict(columns or {})
    stated = [c for c in known.values() if c]
    named = [*stated, *(scores or {}).values()]
    table = read_table(
        source, name=name, text=stated, limits=limits, wanted=lambda row: names_predictions(row, chosen=named)
    )
    mapped = map_columns(table.frame, known, scores=scores, labels=labels, classes=classes)
    found = Predictions.from_frame(table.frame, mapped, classes=classes, kind=kind, temperature=temperature)
    return replace(found, notes=(*table.notes, *found.notes))


def calibrated_predictions(frame: pd.DataFrame, card: Mapping[str, Any]) -> Predictions:
    """Read a run's table of predictions with the classes and the temperature of its card.

    Parameters
    ----------
    frame : DataFrame
        One row a patch, as ``predictions.parquet`` has them: identifiers, split, label and ``logit_<class>``; of
        out-of-fold predictions also ``temperature``, of the model that predicted the row, which takes the place of the
        card's.
    card : mapping
        The run's model card; ``classes`` and ``temperature`` are read.

    Returns
    -------
    Predictions
        All rows, validation and test. What has to be said of a run is in its own ``warnings``; that predictions are
        out-of-fold is a note.

    Raises
    ------
    TableError
        As ``read_predictions``.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["a"], "logit_a": [2.0], "logit_b": [0.0]})
    >>> calibrated_predictions(frame, {"classes": ["a", "b"], "temperature": 2.0}).probs.round(3).tolist()
    [[0.731, 0.269]]
    """
    classes = tuple(card["classes"])
    kind = "logit" if any(str(c).startswith("logit_") for c in frame) else "probability"
    ids = {role: role for role in (*IDS, "split") if role in frame}
    columns = with_roles(ColumnMap("label", {c: f"{kind}_{c}" for c in classes}), ids)
    given, temperature = "logits" if kind == "logit" else "probabilities", card["temperature"]
    if kind == "logit" and "temperature" in frame:
        names = list(columns.scores.values())
        frame = frame.assign(**{name: frame[name] / frame["temperature"] for name in names})
        temperature = 1.0
    found = Predictions.from_frame(frame, columns, classes=classes, kind=given, temperature=temperature)
    note = out_of_fold_note(card)
    return replace(found, notes=(note,) if note else (), warnings=())
