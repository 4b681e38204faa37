"""Who is on which side of the split? A run, or a table of predictions, in; counts by part and class, overlaps, out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import RunError
from her2core.evidence.predictions import Predictions
from her2core.runs.folder import Run

PARTS = ("train", "val", "test")
NAMES = {"train": "training", "val": "validation", "test": "test"}
#: What the ids can be asked about: who stands in several parts.
ASKED = {"patient": "patient_id", "slide": "slide_id"}
#: Units of a split that keep patients apart, if their ids are right.
_KEEPING = ("patient", "site")

Overlap = Literal["none", "some", "unknown"]


@dataclass(frozen=True, eq=False)
class Partition:
    """``unit``: by what the data were divided; None where nobody says. ``counts``: part, class, patches, patients
    (Int64, NA where unknown). ``shared``: patient and slide -> how many stand in several parts; None where none is
    seen, but an id is unknown or a part is not at hand. ``parts``: those at hand."""

    unit: str | None
    counts: pd.DataFrame
    shared: Mapping[str, int | None]
    parts: tuple[str, ...]

    @property
    def patients(self) -> Overlap:
        """Whether patients stand in several parts, as far as the ids show."""
        count = self.shared["patient"]
        return "unknown" if count is None else "some" if count else "none"

    @property
    def keeps_patients_apart(self) -> bool:
        """Shown by the ids of all three parts, and meant by the split: figures then say something of new patients."""
        return self.patients == "none" and self.unit in _KEEPING

    @property
    def sentence(self) -> str:
        """What the split allows to be claimed."""
        if self.keeps_patients_apart:
            return "No patient stands in two parts: the ids of training, validation and test were compared."
        if self.patients == "some":
            return (
                f"{_counted(self.shared['patient'])} in several parts: the figures make no claim about new patients, "
                "and may be inflated."
            )
        if self.patients == "none":
            return f"No patient stands in two parts, but the data were divided by {_unit(self.unit)}, not by patient."
        missing = [NAMES[p] for p in PARTS if p not in self.parts]
        why = f"the {' and '.join(missing)} part is not at hand" if missing else "patient ids are unknown"
        return f"Whether a patient stands in two parts cannot be shown: {why}. No claim about new patients is possible."


def partition_of_run(run: Run) -> Partition:
    """From the run's data table; from its split and predictions where an older run has none (labels of training are
    then unknown and its patients cannot be compared)."""
    try:
        data = run.dataset
    except RunError:
        data = run.predictions
    return _partition(data, run.card["data"]["split_unit"], tuple(run.classes))


def partition_of_predictions(predictions: Predictions) -> Partition:
    """From the ids and the split column of a table of predictions."""
    labels = pd.Series(predictions.classes, dtype="str").take(predictions.labels).to_numpy()
    return _partition(predictions.frame.assign(label=labels), None, predictions.classes)


def _partition(data: pd.DataFrame, unit: str | None, classes: tuple[str, ...]) -> Partition:
    parts = tuple(p for p in PARTS if (data["split"] == p).any())
    rows = []
    for part in parts:
        for name in classes:
            here = data[(data["split"] == part) & (data["label"] == name)]
            known = not (data.loc[data["split"] == part, "patient_id"].astype(object).fillna(UNKNOWN) == UNKNOWN).any()
            rows.append((part, name, len(here), here["patient_id"].nunique() if known else pd.NA))
    counts = pd.DataFrame(rows, columns=["part", "class", "patches", "patients"]).astype({"patients": "Int64"})
    shared: dict[str, int | None] = {}
    for what, column in ASKED.items():
        ids = data[column].astype(object).fillna(UNKNOWN).astype("str")
        several = int((data.groupby(ids.to_numpy())["split"].nunique().drop(UNKNOWN, errors="ignore") > 1).sum())
        unknown = (ids == UNKNOWN).any() or set(parts) != set(PARTS)
        shared[what] = several if several or not unknown else None
    return Partition(unit, counts, shared, parts)


def _unit(unit: str | None) -> str:
    words = {"patch_random": "random patches", "predefined": "a split that came with the data"}
    return "a unit that nobody states" if unit is None else words.get(unit, unit)


def _counted(count: int | None) -> str:
    return "1 patient stands" if count == 1 else f"{count} patients stand"
