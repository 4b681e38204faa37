"""Inputs of the verdict, from a run or from any tool's table: evaluation, split, checks, baselines, calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from her2core.data.split_units import SPLIT_UNITS
from her2core.errors import EvaluationError, RunError
from her2core.evidence.evaluation import Evaluation
from her2core.evidence.partition import Partition, partition_of_predictions, partition_of_run
from her2core.evidence.planning import EffectiveSample, effective_sample
from her2core.evidence.predictions import Predictions
from her2core.evidence.reliability import calibration_table
from her2core.evidence.table_findings import ROUNDED_WARNING
from her2core.evidence.verdict.rules import MOST_ROWS, Rule
from her2core.runs.folder import Run

if TYPE_CHECKING:
    from her2core.data.checks.report import CheckReport

#: Part of the reason why there is no figure by patient.
SEVERAL_LABELS = "one label per patient"
NO_PROBABILITIES = "there are predicted classes only, without probabilities"


@dataclass(frozen=True)
class VerdictInputs:
    """Everything that the verdict rests on; made by ``inputs_of_run`` or ``inputs_of_table``.

    Parameters
    ----------
    name : str
    evaluation : Evaluation
        Of the test part.
    predictions : Predictions
        All parts that there are.
    partition : Partition
    from_run : bool
        Whether this is a run of this project; otherwise a table of predictions.
    checks : CheckReport, optional
        How the data checks of the run ended.
    baselines, calibration : DataFrame, optional
        Tables of the run; for a table of predictions the calibration is computed.
    reasons : mapping of str to str
        For each of the three that is None, under its name, why, as a clause.
    """

    name: str
    evaluation: Evaluation
    predictions: Predictions
    partition: Partition
    from_run: bool
    checks: CheckReport | None = None
    baselines: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    @cached_property
    def test(self) -> Predictions:
        """The test part."""
        return self.predictions.part("test")

    @cached_property
    def effective(self) -> EffectiveSample | None:
        """What the test patches are worth."""
        return effective_sample(self.test)

    @cached_property
    def patients_by_class(self) -> dict[str, int]:
        """Number of tested patients of each class, 0 for a class without test rows; patients must be known."""
        codes, _ = self.test.patients
        pairs = np.unique(codes.astype(np.int64) * len(self.test.classes) + self.test.labels)
        counts = np.bincount(pairs % len(self.test.classes), minlength=len(self.test.classes))
        return dict(zip(self.test.classes, counts.tolist(), strict=True))

    @property
    def compared(self) -> bool:
        """Whether the patients of the test part were compared with those of all other parts, and none is in two."""
        table = not self.from_run and {"train", "test"} <= set(self.partition.parts) and self.predictions.patients_known
        return self.partition.patients == "none" or (table and self.partition.patients != "some")

    @property
    def rounded(self) -> bool:
        """Whether a spreadsheet rounded the patient identifiers, so that patients have become one."""
        of_table = any(said.startswith(ROUNDED_WARNING) for said in self.evaluation.warnings)
        return of_table or any(f.code == "rounded-ids" for f in self.checks or ())

    @property
    def claimed_for(self) -> str:
        """What the figures of a split that keeps its promise describe."""
        unit = SPLIT_UNITS.get(self.partition.unit or "")
        return unit.claim if unit is not None and unit.separates_patients else "performance on new patients"

    def metric(self, name: str, unit: str) -> dict[str, Any] | None:
        """The row of a metric over all classes.

        Parameters
        ----------
        name : str
        unit : {'patch', 'slide', 'patient'}

        Returns
        -------
        dict or None
            None where the unit was not assessed, or the metric not computed or undefined.
        """
        rows = self.evaluation.metrics
        rows = rows[(rows["unit"] == unit) & (rows["metric"] == name)]
        rows = rows[rows["class"].astype(object).fillna("") == ""]
        if rows.empty or pd.isna(rows["value"].iloc[0]):
            return None
        row = rows.iloc[0].to_dict()
        return {str(k): "" if isinstance(v, float) and k in ("note", "interval_method") else v for k, v in row.items()}

    def why_not(self, unit: str) -> str:
        """Why a unit was not assessed.

        Parameters
        ----------
        unit : {'patch', 'slide', 'patient'}

        Returns
        -------
        str
            Empty where it was assessed.
        """
        rows = self.evaluation.units
        rows = rows[(rows["unit"] == unit) & ~rows["assessed"].astype(bool)]
        return "" if rows.empty else str(rows["reason"].iloc[0])

    def taken(self, rule: Rule) -> list[str]:
        """Warnings and notes of the run or table that a rule takes up, word for word.

        Parameters
        ----------
        rule : Rule

        Returns
        -------
        list of str
        """
        every = (*self.evaluation.warnings, *self.evaluation.notes)
        return [said for said in every if said.startswith(rule.warnings)] if rule.warnings else []


def inputs_of_run(run: Run, evaluation: Evaluation) -> VerdictInputs:
    """Read what the verdict on a run rests on.

    Parameters
    ----------
    run : Run
    evaluation : Evaluation
        Of its test part.

    Returns
    -------
    VerdictInputs
        What the run does not hold is None, with the reason.
    """
    reasons: dict[str, str] = {}
    checks: CheckReport | None = None
    try:
        checks = run.checks
    except RunError:
        reasons["checks"] = "the run does not record its data checks"
    baselines: pd.DataFrame | None = None
    try:
        baselines = run.baselines
        reasons["baselines"] = "baselines were not computed for this run"
    except RunError:
        reasons["baselines"] = "the table of the baselines cannot be read"
    calibration: pd.DataFrame | None = None
    try:
        calibration = run.table("calibration")
        calibration = calibration[calibration["scores"] != "uncalibrated"]
    except RunError:
        calibration = _calibration(run.calibrated_predictions.part("test"), reasons)
    return VerdictInputs(
        run.name,
        evaluation,
        run.calibrated_predictions,
        partition_of_run(run),
        True,
        checks,
        baselines,
        calibration,
        reasons,
    )


def inputs_of_table(predictions: Predictions, evaluation: Evaluation, *, name: str) -> VerdictInputs:
    """Compute what the verdict on a table of predictions rests on.

    Parameters
    ----------
    predictions : Predictions
        All parts of the split.
    evaluation : Evaluation
        Of the test part.
    name : str

    Returns
    -------
    VerdictInputs
    """
    reasons = {
        "checks": "a table of predictions has no images to check",
        "baselines": "a table of predictions has no data for baselines",
    }
    calibration = _calibration(predictions.part("test"), reasons)
    partition = partition_of_predictions(predictions)
    return VerdictInputs(name, evaluation, predictions, partition, False, None, None, calibration, reasons)


def _calibration(test: Predictions, reasons: dict[str, str]) -> pd.DataFrame | None:
    if not test.has_scores:
        reasons["calibration"] = NO_PROBABILITIES
        return None
    if len(test) > MOST_ROWS:
        reasons["calibration"] = f"intervals of more than {MOST_ROWS:,} rows are computed on the page Calibration"
        return None
    try:
        return calibration_table(test)
    except EvaluationError as refused:
        reasons["calibration"] = refused.sentence
        return None
