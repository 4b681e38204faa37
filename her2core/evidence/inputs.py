"""Inputs of the result tables: predictions by unit, prediction sets and columns that make groups."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.evidence.aggregate import UNIT_COLUMN, aggregate, rule_of_unit
from her2core.evidence.aggregation_rules import DEFAULT_RULE
from her2core.evidence.arguments import check_choice, check_predictions
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.predictions import Predictions, calibrated_predictions
from her2core.evidence.run_sets import sets_of_card
from her2core.io.cells import UNKNOWN
from her2core.io.columns import GROUP_ROLES
from her2core.io.tables import read_table
from her2core.runs.schema.table_checks import check_table
from her2core.runs.schema.tables import RUN_TABLES

#: Columns of a run's data table that make no groups: ids, the true class and the split.
_NO_GROUPS = ("path", "patient_id", "slide_id", "label", "split")
_PARTS = ("test", "validation", "uncalibrated")


@dataclass(frozen=True)
class EvaluationInputs:
    """Everything that the result tables are made from; made by ``inputs_from_folder`` or ``inputs_from_predictions``.

    Parameters
    ----------
    test : Predictions
        Patches of the test part, calibrated.
    validation : Predictions
        Patches of the validation part, calibrated; perhaps none.
    uncalibrated : Predictions, optional
        Patches of the test part before temperature scaling.
    sets : mapping of str to PredictionSets, optional
        Prediction sets of the run, by unit (``run_sets.SET_UNITS``).
    columns : DataFrame, optional
        Columns of the data that may make groups, row for row with ``test``.
    reasons : mapping of str to str
        For each of the three that is None, under its name, why; and under "her2", where the classes are no HER2
        status.
    rules : mapping of str to str
        Unit to the rule that aggregates patches to it.
    cohort : DataFrame, optional
        Data table of all parts, one row a patch: patient_id, split and further columns such as her2_ihc and ish.
    new_sites : bool, optional
        Whether the tested sites were left out of training; None where that is not known.
    properties : DataFrame, optional
        Measured properties of the images (colour, sharpness, size of the file), row for row with ``test``.
    """

    test: Predictions
    validation: Predictions
    uncalibrated: Predictions | None = None
    sets: Mapping[str, PredictionSets] | None = None
    columns: pd.DataFrame | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    cohort: pd.DataFrame | None = None
    new_sites: bool | None = None
    properties: pd.DataFrame | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes in order."""
        return self.test.classes

    @property
    def decision_class(self) -> str:
        """Class of the decision curve: positive where there is one, otherwise the last."""
        named = [c for c in self.classes if c.strip().casefold() == "positive"]
        return named[0] if named else self.classes[-1]

    @cached_property
    def _by_unit(self) -> dict[tuple[str, str], Predictions]:
        return {}

    def at(self, unit: str, part: str = "test") -> Predictions:
        """Predictions of a part by unit.

        Parameters
        ----------
        unit : {'patch', 'slide', 'patient'}
        part : {'test', 'validation', 'uncalibrated'}

        Returns
        -------
        Predictions

        Raises
        ------
        ConfigError
            For an unknown unit or part.
        EvaluationError
            Where the part cannot be aggregated to this unit.
        """
        check_choice("unit", unit, ("patch", *UNIT_COLUMN))
        check_choice("part", part, _PARTS)
        if (unit, part) not in self._by_unit:
            patches: Predictions = getattr(self, part)
            found = patches
            if unit != "patch":
                found = aggregate(patches, unit, rule=self.rules[unit]) if len(patches) else replace(patches, unit=unit)
            self._by_unit[unit, part] = found
        return self._by_unit[unit, part]


def inputs_from_folder(
    folder: str | os.PathLike[str],
    card: Mapping[str, Any],
    *,
    table: pd.DataFrame | None = None,
    dataset: pd.DataFrame | None = None,
) -> EvaluationInputs:
    """Read the inputs of a run folder, finished or not.

    Parameters
    ----------
    folder : path
        Holds predictions.parquet and perhaps dataset.parquet.
    card : mapping
        Model card.
    table, dataset : DataFrame, optional
        What the two files hold; read when left out.

    Returns
    -------
    EvaluationInputs

    Raises
    ------
    EvaluationError
        When there is no test part, or the card's prediction sets are broken.

    Examples
    --------
    >>> from her2core.runs.folder import open_run
    >>> run = open_run("models/demo")
    >>> inputs = inputs_from_folder(run.path, run.card)
    >>> len(inputs.test), inputs.decision_class
    (600, 'positive')
    """
    folder, classes = Path(folder), tuple(card["classes"])
    frame = read_table(folder / "predictions.parquet", own=True).frame if table is None else table
    reasons: dict[str, str] = {}
    raw = frame.drop(columns="temperature", errors="ignore")
    uncalibrated: Predictions | None = calibrated_predictions(raw, {**card, "temperature": 1.0}).part("test")
    if not any(str(c).startswith("logit_") for c in frame):
        uncalibrated, reasons["uncalibrated"] = None, "the run's table holds probabilities, not scores"
    if not card["scheme"]["is_her2"]:
        reasons["her2"] = "the classes of this run are no HER2 status: there is no ISH test to refer to"
    sets = None
    if card.get("out_of_fold"):  # those of a final model are fitted to these same predictions
        reasons["sets"] = "out-of-fold predictions of several models: prediction sets come with one model"
    elif (entry := card.get("prediction_sets")) is not None:
        sets = sets_of_card(entry, run_classes=classes)
    else:
        reasons["sets"] = "this run has no prediction sets (her2 runs sets adds them)"
    data, columns, cohort = folder / "dataset.parquet", None, None
    every = calibrated_predictions(frame, card)
    if dataset is None and data.is_file():
        found, schema = read_table(data, own=True).frame, RUN_TABLES["dataset.parquet"]
        dataset = check_table(found, schema, where=data, classes=classes, fix="Run: her2 runs complete RUN")
    if dataset is not None:
        by_patch = dataset.drop_duplicates("patch_id").set_index("patch_id")
        columns = by_patch.reindex(every.part("test").frame["patch_id"]).reset_index(drop=True)
        columns = columns.drop(columns=[c for c in _NO_GROUPS if c in columns])
        cohort = dataset
    else:
        reasons["columns"] = "this run has no data table (her2 runs complete adds it)"
    models = card.get("out_of_fold")
    properties = _properties(folder, every.part("test").frame["patch_id"], classes)
    found = _inputs(every, uncalibrated=uncalibrated, sets=sets, columns=columns, reasons=reasons, cohort=cohort)
    new_sites = models["unit"] == "site" if models else found.new_sites
    return replace(found, new_sites=new_sites, properties=properties)


def _properties(folder: Path, patch_ids: pd.Series, classes: tuple[str, ...]) -> pd.DataFrame | None:
    """Image properties of the test part, where the run keeps them."""
    name = "image_properties.parquet"
    if not (folder / name).is_file():
        return None
    found = read_table(folder / name, own=True).frame
    fix = "Run: her2 runs complete RUN"
    found = check_table(found, RUN_TABLES[name], where=folder / name, classes=classes, fix=fix)
    by_patch = found.drop_duplicates("patch_id").set_index("patch_id").reindex(patch_ids)
    return by_patch.reset_index(drop=True)


def inputs_from_predictions(predictions: Predictions) -> EvaluationInputs:
    """Take the inputs from predictions that came without a run.

    There are no scores before calibration and no prediction sets then; groups by site, and by the columns of
    ``io.columns.GROUP_ROLES`` that the table has; a validation part only if the table has one.

    Parameters
    ----------
    predictions : Predictions
        All parts of the split.

    Returns
    -------
    EvaluationInputs

    Raises
    ------
    EvaluationError
        When there is no test part.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> inputs_from_predictions(Predictions.from_frame(frame)).reasons["sets"]
    'a table of predictions: prediction sets come with a run'
    """
    return _inputs(
        predictions,
        reasons={
            "uncalibrated": "a table of predictions: its scores before calibration are unknown",
            "sets": "a table of predictions: prediction sets come with a run",
            "columns": "a table of predictions: it has no such column",
        },
        columns=predictions.part("test").frame[["site", *(c for c in GROUP_ROLES if c in predictions.frame)]],
        cohort=predictions.frame,
    )


def _inputs(
    predictions: Predictions,
    *,
    reasons: Mapping[str, str],
    uncalibrated: Predictions | None = None,
    sets: Mapping[str, PredictionSets] | None = None,
    columns: pd.DataFrame | None = None,
    cohort: pd.DataFrame | None = None,
) -> EvaluationInputs:
    test, validation = predictions.part("test"), predictions.part("val")
    check_predictions(test, "predictions of the test part")
    rules = {unit: rule_of_unit(unit, asked=DEFAULT_RULE, validation=validation)[0] for unit in UNIT_COLUMN}
    return EvaluationInputs(
        test, validation, uncalibrated, sets, columns, reasons, rules, cohort, _sites_are_new(cohort)
    )


def _sites_are_new(cohort: pd.DataFrame | None) -> bool | None:
    """Whether no site of the test part is in training; None without training rows or known sites."""
    if cohort is None or "site" not in cohort:
        return None
    sites = {part: set(cohort.loc[cohort["split"] == part, "site"].astype("str")) for part in ("train", "test")}
    if not sites["train"] or any(UNKNOWN in of for of in sites.values()):
        return None
    return sites["train"].isdisjoint(sites["test"])
