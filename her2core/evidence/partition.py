"""Partition of a run's data: counts by partition and class, and ids that several partitions share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from her2core.data.split_units import PART_NAMES, PARTS, known_split, split_label
from her2core.errors import RunError
from her2core.evidence.predictions import Predictions
from her2core.io.cells import UNKNOWN
from her2core.runs.folder import Run

#: Level of disjointness -> column with its ids.
LEVELS = {"patient": "patient_id", "slide": "slide_id"}

Overlap = Literal["none", "some", "unknown"]


@dataclass(frozen=True, eq=False)
class Partition:
    """How data were partitioned.

    Attributes
    ----------
    unit : str or None
        Split unit: 'patient', 'slide', 'field', 'site', 'patch_random', 'predefined'; None where it is not stated.
    counts : DataFrame
        Columns part, class, patches and patients (Int64, NA where unknown).
    shared : mapping of str to int or None
        'patient' and 'slide' -> number of ids that occur in several partitions; None where none is seen but an id
        is unknown or a partition is not available.
    parts : tuple of str
        The partitions that are available, out of 'train', 'val' and 'test'.
    folds : bool
        Whether each row was tested by a model of its own fold: ids are then compared between folds.
    """

    unit: str | None
    counts: pd.DataFrame
    shared: Mapping[str, int | None]
    parts: tuple[str, ...]
    folds: bool = False

    @property
    def patients(self) -> Overlap:
        """Whether patients occur in several partitions, as far as the ids show.

        Examples
        --------
        >>> Partition(None, pd.DataFrame(), {"patient": 3, "slide": 0}, PARTS).patients
        'some'
        """
        count = self.shared["patient"]
        return "unknown" if count is None else "some" if count else "none"

    @property
    def keeps_patients_apart(self) -> bool:
        """Whether the split unit keeps patients disjoint and the ids of all partitions confirm it.

        Only then do the figures apply to new patients.

        Examples
        --------
        >>> Partition("slide", pd.DataFrame(), {"patient": 0, "slide": 0}, PARTS).keeps_patients_apart
        False
        """
        unit = known_split(self.unit)
        return self.patients == "none" and unit is not None and unit.separates_patients

    @property
    def sentence(self) -> str:
        """What can be claimed under this partition, in words.

        Examples
        --------
        >>> counts = pd.DataFrame(columns=["part", "class", "patches", "patients"])
        >>> Partition("patient", counts, {"patient": 0, "slide": 0}, PARTS).sentence[:35]
        'Partitions are disjoint by patient:'
        """
        if self.keeps_patients_apart and self.folds:
            return "Folds are disjoint by patient: the ids of all folds were compared."
        if self.keeps_patients_apart:
            return "Partitions are disjoint by patient: the ids of training, validation and test were compared."
        if self.patients == "some":
            return (
                f"{_counted(self.shared['patient'])} in several partitions: the figures support no claim about new "
                "patients and may be inflated."
            )
        if self.patients == "none":
            split = split_label(self.unit)
            return f"No patient occurs in two partitions, but the data were split {split}, not by patient."
        missing = [] if self.folds else [PART_NAMES[p] for p in PARTS if p not in self.parts]
        why = f"the {' and '.join(missing)} partition is not available" if missing else "patient ids are unknown"
        return f"Whether partitions share patients is unknown: {why}. No claim about new patients is possible."


def partition_of_run(run: Run) -> Partition:
    """Partition of a run, from its data table.

    A run without that table is described from its predictions; labels of the training partition are then unknown and
    its patients cannot be compared. Of out-of-fold predictions, ids are compared between the folds of splits.parquet.

    Parameters
    ----------
    run : Run
        A finished run.

    Returns
    -------
    Partition
    """
    try:
        data = run.dataset
    except RunError:
        data = run.predictions
    folds, splits = None, _splits(run)
    if "fold" in splits:
        folds = splits.set_index("patch_id")["fold"].reindex(data["patch_id"])
    return _partition(data, run.card["data"]["split_unit"], tuple(run.classes), folds)


def _splits(run: Run) -> pd.DataFrame:
    try:
        return run.splits
    except RunError:
        return pd.DataFrame()


def partition_of_predictions(predictions: Predictions) -> Partition:
    """Partition of a table of predictions, from its ids and its split column.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> example_report().partition.parts
    ('val', 'test')
    """
    labels = pd.Series(predictions.classes, dtype="str").take(predictions.labels).to_numpy()
    return _partition(predictions.frame.assign(label=labels), None, predictions.classes)


def _partition(
    data: pd.DataFrame, unit: str | None, classes: tuple[str, ...], folds: pd.Series | None = None
) -> Partition:
    parts = tuple(p for p in PARTS if (data["split"] == p).any())
    place = pd.Index(parts, dtype=object).get_indexer(data["split"].astype(object))
    label = pd.Index(classes, dtype=object).get_indexer(data["label"].astype(object))
    patients, _ = pd.factorize(_known(data["patient_id"]))  # unknown ids are -1
    counts = pd.DataFrame(
        [
            (part, name, int(here.sum()), _different(patients[here]) if (patients[place == i] >= 0).all() else pd.NA)
            for i, part in enumerate(parts)
            for j, name in enumerate(classes)
            for here in [(place == i) & (label == j)]
        ],
        columns=["part", "class", "patches", "patients"],
    ).astype({"patients": "Int64"})
    apart = place if folds is None else pd.factorize(folds.to_numpy())[0]
    complete = folds is not None or set(parts) == set(PARTS)
    shared: dict[str, int | None] = {}
    for what, column in LEVELS.items():
        ids = patients if column == "patient_id" else pd.factorize(_known(data[column]))[0]
        known, stride = (ids >= 0) & (apart >= 0), int(apart.max(initial=0)) + 1
        pairs = np.unique(ids[known] * stride + apart[known]) // stride
        several = int((np.bincount(pairs) > 1).sum())
        shared[what] = several if several or (complete and not (ids < 0).any()) else None
    return Partition(unit, counts, shared, parts, folds is not None)


def _known(ids: pd.Series) -> pd.Series:
    """Ids, missing where they are unknown."""
    return ids.mask((ids == UNKNOWN).fillna(True))


def _different(codes: np.ndarray) -> int:
    return len(np.unique(codes))


def _counted(count: int | None) -> str:
    return "1 patient occurs" if count == 1 else f"{count:,} patients occur"
