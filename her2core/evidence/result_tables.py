"""What else is the evidence? Predictions in; calibration, abstention, decisions, thresholds and subgroups out.

Beside the metrics of ``evidence.evaluation``: the tables that clinical reporting asks for, each made when it is asked
for (a page looks at one, a run keeps all). What cannot be given is never left out in silence: it is a row of
``ResultTable.missing`` with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.abstention import referral_table, risk_coverage
from her2core.evidence.aggregate import UNIT_COLUMN, aggregate, choose_rule
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.decisions import decision_curve
from her2core.evidence.operating_points import CHOICES, validated_point
from her2core.evidence.operating_points import COLUMNS as POINT_COLUMNS
from her2core.evidence.predictions import IDS, Predictions, calibrated_predictions, refuse_empty
from her2core.evidence.reliability import before_and_after, calibration_table, reliability_table
from her2core.evidence.subgroups import subgroup_table
from her2core.io.tables import read_table

UNITS = ("patch", "patient")
_BASE = ("value", "lower_95", "upper_95", "interval_method", "note", "level", "resampling_unit", "n_clusters", "n")
#: The tables, each with its columns in order; further ones of the module that makes it stand behind.
TABLES: dict[str, tuple[str, ...]] = {
    "calibration": ("scores", "unit", "metric", "class", *_BASE),
    "reliability": ("unit", "metric", "class", "bin", "lowest", "highest", "mean_probability", *_BASE),
    "risk_coverage": ("unit", "metric", "class", "coverage", "threshold", *_BASE),
    "referral": ("unit", "metric", "class", *_BASE, "coverage_asked"),
    "decisions": ("unit", "metric", "class", "strategy", "threshold", *_BASE),
    "operating_points": POINT_COLUMNS,
    "subgroups": ("by", "group", "unit", "metric", "class", *_BASE, "patients"),
}
MISSING = ("table", "unit", "what", "reason")
#: What the scores of a table of probabilities are: nobody says what was done to them before.
AS_GIVEN = "as given"
#: Columns of a run's dataset that cannot make groups: ids, the truth and the split.
_NO_GROUPS = ("path", "patient_id", "slide_id", "label", "split")
#: Group of a patient whose patches differ in the column.
SEVERAL = "several"


@dataclass(frozen=True)
class EvaluationInputs:
    """All that the tables are made from. Get one with ``inputs_from_folder`` or ``inputs_from_predictions``.

    ``test`` and ``validation`` (perhaps empty): patches, calibrated. ``uncalibrated``: the test patches before the
    temperature. ``sets``: the run's prediction sets. ``columns``: columns of the data by which there may be groups, row
    for row with ``test``. Where one of these is None, ``why_not`` has its reason under its name. ``rules``: unit ->
    rule from patches to the unit.
    """

    test: Predictions
    validation: Predictions
    uncalibrated: Predictions | None = None
    sets: PredictionSets | None = None
    columns: pd.DataFrame | None = None
    why_not: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.test.classes

    @property
    def decided(self) -> str:
        """The class whose call is decided on: positive where there is one, otherwise the last."""
        named = [c for c in self.classes if c.strip().casefold() == "positive"]
        return named[0] if named else self.classes[-1]

    @cached_property
    def _units(self) -> dict[tuple[str, str], Predictions]:
        return {}

    def at(self, unit: str, part: str = "test") -> Predictions:
        """test, validation or uncalibrated by this unit. Raises EvaluationError where it cannot be assessed so."""
        if (unit, part) not in self._units:
            held: Predictions = getattr(self, part)
            found = held if unit == "patch" or not len(held) else aggregate(held, unit, rule=self.rules[unit])
            self._units[unit, part] = found if unit == "patch" else replace(found, unit=unit)
        return self._units[unit, part]


@dataclass(frozen=True)
class ResultTable:
    """One table of TABLES, perhaps without rows, and what it could not give: rows of MISSING, each with its reason."""

    name: str
    frame: pd.DataFrame
    missing: pd.DataFrame


def inputs_from_folder(
    folder: str | os.PathLike,
    card: Mapping[str, Any],
    *,
    table: pd.DataFrame | None = None,
    dataset: pd.DataFrame | None = None,
) -> EvaluationInputs:
    """The evidence of a run folder (a draft too): predictions.parquet, dataset.parquet and what the card holds.

    ``table`` and ``dataset`` are what the two files hold; they are read when left out.

    Raises EvaluationError when there is no test part or the card's prediction sets are broken.
    """
    folder, classes = Path(folder), tuple(card["classes"])
    frame = read_table(folder / "predictions.parquet", own=True).frame if table is None else table
    why_not: dict[str, str] = {}
    uncalibrated: Predictions | None = calibrated_predictions(frame, {**card, "temperature": 1.0}).part("test")
    if not any(str(c).startswith("logit_") for c in frame):
        uncalibrated, why_not["uncalibrated"] = None, "the run's table holds probabilities, not scores"
    sets = None
    if (held := card.get("prediction_sets")) is not None:
        sets = PredictionSets.from_card(held, run_classes=classes)
    else:
        why_not["sets"] = "this run has no prediction sets (her2 runs complete gives them)"
    data, columns = folder / "dataset.parquet", None
    test = calibrated_predictions(frame, card)
    if dataset is None and data.is_file():
        dataset = read_table(data, own=True).frame
    if dataset is not None:
        by_patch = dataset.drop_duplicates("patch_id").set_index("patch_id")
        columns = by_patch.reindex(test.part("test").frame["patch_id"]).reset_index(drop=True)
        columns = columns.drop(columns=[c for c in _NO_GROUPS if c in columns])
    else:
        why_not["columns"] = "this run has no data table (her2 runs complete gives it)"
    return _inputs(test, uncalibrated=uncalibrated, sets=sets, columns=columns, why_not=why_not)


def inputs_from_predictions(predictions: Predictions) -> EvaluationInputs:
    """The evidence of predictions that came without a run, all parts of their split together.

    There are no scores before calibration and no prediction sets then, and groups by site only; a validation part only
    if the table has one. Raises EvaluationError when there is no test part.
    """
    return _inputs(
        predictions,
        why_not={
            "uncalibrated": "a table of predictions: it does not say what its scores were before calibration",
            "sets": "a table of predictions: prediction sets come with a run",
            "columns": "a table of predictions: it has no other columns of the data",
        },
    )


def _inputs(predictions: Predictions, **parts) -> EvaluationInputs:
    test, validation = predictions.part("test"), predictions.part("val")
    refuse_empty(test, "predictions of the test part")
    rules = {unit: choose_rule(validation, unit)[0] for unit in UNIT_COLUMN}
    return EvaluationInputs(test, validation, rules=rules, **parts)


def result_table(inputs: EvaluationInputs, name: str, *, resamples: int = 2000, seed: int = 0) -> ResultTable:
    """One table of TABLES, at every unit of UNITS that can be assessed.

    Columns are those of the module that makes it: calibration (``reliability.before_and_after``; ``scores`` is "as
    given" where nothing is known of before), reliability (``reliability_table``), risk_coverage, referral
    (``referral_table``), decisions (``decision_curve`` of ``EvaluationInputs.decided``), operating_points
    (``validated_point``,
    every class and rule) and subgroups (``subgroup_table`` by every column that makes groups).

    Raises EvaluationError for an unknown table.
    """
    if name not in TABLES:
        raise EvaluationError(
            f"a table out of {', '.join(TABLES)}", got=repr(name)[:80], where="inputs", fix="Choose one of these."
        )
    frames, missing = [], []
    for unit in UNITS:
        try:
            inputs.at(unit)
        except EvaluationError as reason:
            missing.append((name, unit, "", str(reason)))
            continue
        for what, make in _MAKERS[name](inputs, unit):
            try:
                made = make(resamples=resamples, seed=seed)
            except EvaluationError as reason:
                made = reason
            if isinstance(made, EvaluationError | str):
                missing.append((name, unit, what, str(made)))
            else:
                frames.append(made)
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    more = [c for c in frame if c not in TABLES[name]]
    frame = frame.reindex(columns=[*TABLES[name], *more])
    return ResultTable(name, frame, pd.DataFrame(missing, columns=list(MISSING)))


def all_result_tables(inputs: EvaluationInputs, *, resamples: int = 2000, seed: int = 0) -> dict[str, ResultTable]:
    """Every table, in the order of TABLES."""
    return {name: result_table(inputs, name, resamples=resamples, seed=seed) for name in TABLES}


def all_missing(result_tables: Mapping[str, ResultTable]) -> pd.DataFrame:
    """What none of them could give: rows of MISSING."""
    return pd.concat([e.missing for e in result_tables.values()], ignore_index=True).reindex(columns=list(MISSING))


#: What is not there, and a function that makes it; one that gives a sentence instead of a table cannot.
_Parts = Iterator[tuple[str, Callable[..., pd.DataFrame | str]]]


def _calibration(d: EvaluationInputs, unit: str) -> _Parts:
    if d.uncalibrated is not None:
        yield "", partial(before_and_after, d.at(unit, "uncalibrated"), d.at(unit))
        return
    yield "", lambda **options: calibration_table(d.at(unit), **options).assign(scores=AS_GIVEN)
    yield "uncalibrated", lambda **_: d.why_not["uncalibrated"]


def _referral(d: EvaluationInputs, unit: str) -> _Parts:
    if d.sets is None:
        yield "", lambda **_: d.why_not["sets"]
    else:
        yield "", partial(referral_table, d.at(unit), d.sets)


def _operating_points(d: EvaluationInputs, unit: str) -> _Parts:
    for of in d.classes:
        for rule in CHOICES:
            # ``at`` inside: validation may be impossible to judge by this unit where test is not.
            yield (
                f"{of}, {rule}",
                lambda of=of, rule=rule, **options: validated_point(
                    d.at(unit, "validation"), d.at(unit), of=of, rule=rule, **options
                ),
            )


def _subgroups(d: EvaluationInputs, unit: str) -> _Parts:
    columns = d.test.frame[["site"]] if d.columns is None else d.columns
    for by in columns:
        yield str(by), partial(_by_group, d, unit, columns[by])
    for wanted in ("site", "scanner"):
        if wanted not in columns:
            yield wanted, lambda **_: d.why_not.get("columns", "the data table has no such column")


def _by_group(d: EvaluationInputs, unit: str, cells: pd.Series, **options) -> pd.DataFrame | str:
    at, by = d.at(unit), str(cells.name)
    if unit != "patch":
        ids = d.test.frame[UNIT_COLUMN[unit]]
        values = cells.astype(object).fillna("unknown").astype("str").groupby(ids.to_numpy())
        cells = values.first().where(values.nunique() == 1, SEVERAL).reindex(at.frame["patch_id"])
    groups = cells.dropna().unique()
    if list(groups) == [SEVERAL] and unit != "patch":
        return f"every {unit} has several {by}"
    if len(groups) == len(at) > 1:
        return f"every {unit} has its own {by}: these are no groups"
    if len(groups) == 1 and cells.notna().all() and str(groups[0]) != "unknown":
        return f"one group only: {str(groups[0])[:80]}"
    frame = at.frame[[*IDS, "split"]].drop(columns=[by], errors="ignore").assign(**{by: cells.to_numpy()})
    return subgroup_table(replace(at, frame=frame), by=by, **options)


_MAKERS: dict[str, Callable[[EvaluationInputs, str], _Parts]] = {
    "calibration": _calibration,
    "reliability": lambda d, unit: iter([("", partial(reliability_table, d.at(unit)))]),
    "risk_coverage": lambda d, unit: iter([("", partial(risk_coverage, d.at(unit)))]),
    "referral": _referral,
    "decisions": lambda d, unit: iter([("", partial(decision_curve, d.at(unit), of=d.decided))]),
    "operating_points": _operating_points,
    "subgroups": _subgroups,
}
