"""What is there to report of a run, or of any tool's predictions? One of them in; a RunReport, all its evidence, out.

A run's figures are read from its evaluation tables where all are there, and computed from its predictions otherwise
(or when asked for); those of a table of predictions are computed. What is not known stays None and is said so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from her2core.errors import Her2Error, RunError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.curves import roc_points
from her2core.evidence.evaluation import TABLES, Evaluation, evaluate
from her2core.evidence.misclassified import mistakes
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import TABLES as EXHIBITS
from her2core.evidence.result_tables import all_missing, all_result_tables, inputs_from_folder, inputs_from_predictions
from her2core.report.document import Picture
from her2core.report.partition import Partition, partition_of_predictions, partition_of_run
from her2core.runs.folder import Run
from her2core.runs.pictures import is_synthetic, pictures_of

#: Mistakes that are listed, and those that are shown.
LISTED, SHOWN = 15, 8
#: Words in the name of a column that says something of people.
_PEOPLE = {"age", "sex", "gender", "ethnicity", "race", "ancestry"}
_NO_PICTURES = "Pictures are left out unless they are asked for (--pictures)."


@dataclass(frozen=True, eq=False)
class RunReport:
    """All that a report says, before it is put into words.

    ``run``: None for a table of predictions. ``evaluation``: with the ordinal rows. ``result_tables``: name of a
    table
    of
    ``evidence.result_tables`` -> its rows; ``missing``: what could not be given (inputs.MISSING). ``wrong``: unit
    -> its
    mistakes, the surest first, the first LISTED; ``wrong_counts``: unit -> (mistakes, rows); ``wrong_patients``: how
    many mistaken patches each patient has, the most first (empty where patients are unknown). ``roc``: unit -> points.
    ``coverage`` of the prediction sets and ``maps`` (trials of the maps) are None where there are none. ``pictures``
    of mistakes, or ``pictures_note`` why there are none. ``origin``: where the figures were taken from.
    """

    name: str
    classes: tuple[str, ...]
    warnings: tuple[str, ...]
    synthetic: bool
    evaluation: Evaluation
    result_tables: Mapping[str, pd.DataFrame]
    missing: pd.DataFrame
    partition: Partition
    wrong: Mapping[str, pd.DataFrame]
    wrong_counts: Mapping[str, tuple[int, int]]
    wrong_patients: Mapping[str, int]
    roc: Mapping[str, pd.DataFrame]
    origin: str
    run: Run | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Mapping[str, Any], ...] | None = None
    coverage: pd.DataFrame | None = None
    maps: pd.DataFrame | None = None
    pictures: tuple[Picture, ...] = ()
    pictures_note: str = _NO_PICTURES

    @property
    def units(self) -> tuple[str, ...]:
        """patch, slide and patient, as far as they could be assessed."""
        held = self.evaluation.units
        return tuple(held.loc[held["assessed"].astype(bool), "unit"])

    @property
    def card(self) -> Mapping[str, Any]:
        return {} if self.run is None else self.run.card

    def table(self, name: str, unit: str) -> pd.DataFrame:
        """The rows of one result_table by one unit; empty where it could not be given."""
        held = self.result_tables[name]
        return held[held["unit"] == unit].reset_index(drop=True)

    @property
    def about_people(self) -> tuple[str, ...]:
        """Columns that made subgroups and say something of people: age, sex and the like."""
        held = dict.fromkeys(map(str, self.result_tables["subgroups"]["by"]))
        return tuple(by for by in held if _PEOPLE & set(re.findall("[a-z]+", by.lower())))

    @property
    def resamples_patients(self) -> bool:
        """Whether intervals draw whole patients."""
        return bool((self.evaluation.metrics["resampling_unit"] == "patient").all())


def run_report(run: Run, *, fresh: bool = False, pictures: bool = False, base: str | Path = ".") -> RunReport:
    """The report of a finished run, with or without weights.

    ``fresh``: compute every figure from the predictions, even where the run has its tables. ``pictures``: show the
    surest mistakes, drawn again where they are synthetic, otherwise read through the run's manifest (below ``base``).

    Raises a Her2Error for tables or predictions that are broken or hold no test part.
    """
    predictions = run.calibrated_predictions
    held = None if fresh else _held(run)
    if held is None:
        result_tables = all_result_tables(inputs_from_folder(run.path, run.card))
        held = evaluate(run, whole=True), {n: e.frame for n, e in result_tables.items()}, all_missing(result_tables)
        origin = "All figures were computed from the run's predictions when this report was made."
    else:
        origin = "Figures are those of the run's evaluation tables (her2 evaluate --save), read, not recomputed."
    evaluation, tables, missing = held
    shared = _shared(predictions, evaluation)
    shown, note = _pictures(run, shared["wrong"]["patch"], Path(base)) if pictures else ((), _NO_PICTURES)
    return RunReport(
        name=run.name,
        classes=run.classes,
        warnings=run.warnings,
        synthetic=is_synthetic(run),
        evaluation=evaluation,
        result_tables=tables,
        missing=missing,
        partition=partition_of_run(run),
        origin=origin,
        run=run,
        config=_config(run),
        checks=_checks(run),
        coverage=_table(run, "prediction_sets"),
        maps=_table(run, "maps"),
        pictures=shown,
        pictures_note=note,
        **shared,
    )


def predictions_report(predictions: Predictions, *, name: str, resamples: int = 2000) -> RunReport:
    """The report of any tool's predictions, all parts of their split together; ``name`` is the file's.

    Raises EvaluationError when there is no test part.
    """
    result_tables = all_result_tables(inputs_from_predictions(predictions), resamples=resamples)
    evaluation = evaluate(predictions, resamples=resamples, whole=True)
    return RunReport(
        name=name,
        classes=predictions.classes,
        warnings=predictions.notes,
        synthetic=False,
        evaluation=evaluation,
        result_tables={n: e.frame for n, e in result_tables.items()},
        missing=all_missing(result_tables),
        partition=partition_of_predictions(predictions),
        origin="All figures were computed from the table of predictions when this report was made.",
        pictures_note="A table of predictions holds no pictures.",
        **_shared(predictions, evaluation),
    )


def _shared(predictions: Predictions, evaluation: Evaluation) -> dict[str, Any]:
    """What both kinds compute from their rows: mistakes and ROC points by unit."""
    test, wrong, counts, roc, patients = predictions.part("test"), {}, {}, {}, {}
    for unit in evaluation.units[evaluation.units["assessed"].astype(bool)].itertuples():
        rule = unit.rule if isinstance(unit.rule, str) and unit.rule else "mean"
        at = test if unit.unit == "patch" else aggregate(test, unit.unit, rule=rule)
        found = mistakes(at)
        wrong[unit.unit], counts[unit.unit] = found.head(LISTED), (len(found), len(at))
        roc[unit.unit] = roc_points(at)
        if unit.unit == "patch" and test.patients_known:
            many = found["patient_id"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
            patients = {str(name): int(n) for name, n in many.items()}
    return {"wrong": wrong, "wrong_counts": counts, "roc": roc, "wrong_patients": patients}


def _held(run: Run) -> tuple[Evaluation, dict[str, pd.DataFrame], pd.DataFrame] | None:
    """The run's own tables; None where one is not there, or from before the ordinal rows."""
    try:
        found = {name: run.table(name) for name in (*TABLES, *EXHIBITS, "missing")}
    except RunError:
        return None
    for table in found.values():
        for column in ("class", "note", "rule", "reason", "what", "rule_reason"):
            if column in table:
                table[column] = table[column].astype(object).fillna("")
    if not (found["metrics"]["metric"] == "npv").any():
        return None
    evaluation = Evaluation(*(found[name] for name in TABLES), warnings=run.warnings)
    return evaluation, {name: found[name] for name in EXHIBITS}, found["missing"]


def _table(run: Run, name: str) -> pd.DataFrame | None:
    try:
        found = run.table(name)
    except RunError:
        return None
    return found.assign(**{c: found[c].astype(object).fillna("") for c in ("class", "note") if c in found})


def _checks(run: Run) -> tuple[Mapping[str, Any], ...] | None:
    try:
        return tuple(run.checks)
    except RunError:
        return None


def _config(run: Run) -> Mapping[str, Any]:
    """The configuration as plain values; empty where it cannot be read: it is shown, and nothing depends on it."""
    try:
        held = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        held = None
    return held if isinstance(held, dict) else {}


def _pictures(run: Run, wrong: pd.DataFrame, base: Path) -> tuple[tuple[Picture, ...], str]:
    source = pictures_of(run, base=base)
    if source.read is None:
        return (), f"No pictures are at hand. {source.why_not}"
    shown = []
    try:
        for row in wrong.head(SHOWN).itertuples():
            said = f"{row.true} taken for {row.predicted} ({row.p_predicted:.2f})"
            shown.append(Picture(f"{row.patch_id}: {said}", f"Patch {row.patch_id}, {said}", source.read(row.patch_id)))
    except (Her2Error, OSError) as broken:
        return (), f"No pictures are at hand. {broken}"
    drawn = "Synthetic patches, drawn again from their specification." if is_synthetic(run) else "Patches of the data."
    return tuple(shown), drawn
