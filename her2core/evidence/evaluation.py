"""What is the evidence for these predictions? Predictions in; tables of metrics and confusion, by unit, out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate, choose_rule
from her2core.evidence.calibration import expected_calibration_error
from her2core.evidence.intervals import metric_table
from her2core.evidence.old_metrics import confusion
from her2core.evidence.ordinal import ordinal_table
from her2core.evidence.predictions import Predictions, calibrated_predictions, read_predictions
from her2core.evidence.result_tables import all_missing, all_result_tables, inputs_from_folder
from her2core.io.files import write_via_temporary
from her2core.io.tables import read_table
from her2core.labels import SCHEMES
from her2core.runs.folder import Run, open_run

#: What can be evaluated: a run or its folder, any tool's table (a file, its content, a frame), or predictions.
Source: TypeAlias = "Run | Predictions | pd.DataFrame | bytes | str | os.PathLike[str]"
UNITS = ("patch", "slide", "patient")
TABLES = ("metrics", "confusion", "units")


@dataclass(frozen=True)
class Evaluation:
    """``metrics``: one row a unit, metric and class, with its interval. ``confusion``: one row a unit, true and
    predicted class, as count and as share of the true class. ``units``: whether each unit could be assessed, with
    counts, and why not. ``warnings``: sentences that every figure must carry; ``notes``: how a table was read."""

    metrics: pd.DataFrame
    confusion: pd.DataFrame
    units: pd.DataFrame
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def value(self, metric: str, *, unit: str = "patch", of: str = "") -> float:
        """One number out of ``metrics``. Raises EvaluationError when it is not there."""
        m = self.metrics
        found = m[(m["unit"] == unit) & (m["metric"] == metric) & (m["class"] == of)]
        if found.empty:
            raise EvaluationError(
                f"{metric} of {of or 'all classes'} at {unit} level",
                got="no such row",
                where="evaluation",
                fix=f"Assessed here: {', '.join(m['unit'].unique())}.",
            )
        return float(found["value"].iloc[0])


def evaluate(
    source: Source,
    *,
    part: str = "test",
    rule: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
    whole: bool = False,
) -> Evaluation:
    """The evidence for one part of a run, of any tool's table of predictions, or of Predictions already read.

    ``source``: a run, its folder, a table as a file, its content or a DataFrame (``predictions.read_predictions``), or
    Predictions.

    ``whole`` adds the rows of ``ordinal.ordinal_table`` (kappa, Matthews, NPV, average precision, loss), which take
    long for a million rows; a run's own tables always have them. Kappa weighs by the order of the classes: for a run
    whose label scheme declares none it is not given, and its note says so.

    Probabilities of a run are calibrated with its stored temperature. Slides and patients are judged by ``rule`` (see
    evidence.aggregation_rules); None: by the one chosen on the validation part, which ``units`` names with the
    reason. Units that
    cannot be assessed (ids unknown, a patient with several labels) are named with the reason in ``units``, never left
    out silently.
    """
    return _evaluate(*_read(source), part=part, rule=rule, resamples=resamples, seed=seed, whole=whole)


def _evaluate(
    predictions: Predictions,
    no_order: str,
    *,
    part: str = "test",
    rule: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
    whole: bool,
) -> Evaluation:
    chosen = predictions.part(part)
    if not len(chosen):
        raise EvaluationError(
            f"predictions of the {part} part", got="none", where="predictions", fix="Check the split column."
        )
    metrics, tables, units = [], [], []
    for unit in UNITS:
        try:
            by, why = ("", "") if unit == "patch" else (rule, f"{rule}: asked for")
            if by is None:
                by, why = choose_rule(predictions.part("val"), unit)
            at_unit = chosen if unit == "patch" else aggregate(chosen, unit, rule=by)
        except EvaluationError as reason:
            units.append(
                {
                    "unit": unit,
                    "assessed": False,
                    "n": 0,
                    "ece": None,
                    "reason": str(reason),
                    "rule": "",
                    "rule_reason": "",
                }
            )
            continue
        ece = expected_calibration_error(at_unit.probs, labels=at_unit.labels) if at_unit.has_scores else None
        units.append(
            {
                "unit": unit,
                "assessed": True,
                "n": len(at_unit),
                "ece": ece,
                "reason": "",
                "rule": by,
                "rule_reason": why,
            }
        )
        metrics.append(metric_table(at_unit, resamples=resamples, seed=seed))
        if whole:
            metrics.append(_without_order(ordinal_table(at_unit, resamples=resamples, seed=seed), no_order))
        tables.append(_confusion_table(at_unit))
    return Evaluation(
        pd.concat(metrics, ignore_index=True),
        pd.concat(tables, ignore_index=True),
        pd.DataFrame(units),
        predictions.warnings,
        predictions.notes,
    )


def evaluate_folder(
    folder: Path,
    card: dict,
    warnings: list[str],
    *,
    table: pd.DataFrame | None = None,
    dataset: pd.DataFrame | None = None,
) -> Evaluation:
    """Evaluate the test part of a run folder (a draft too) and write ``evaluation/<table>.csv``.

    ``table`` and ``dataset`` are what predictions.parquet and dataset.parquet hold; they are read when left out.

    Beside TABLES these are those of ``evidence.result_tables`` (calibration, reliability, risk_coverage,
    referral, decisions,
    operating_points, subgroups), and ``missing``: what could not be given, each with its reason. Nothing is written
    before all of it is known.
    """
    table = read_table(folder / "predictions.parquet", own=True).frame if table is None else table
    predictions = replace(calibrated_predictions(table, card), warnings=tuple(warnings))
    evaluation = _evaluate(predictions, _no_order(card), whole=True)
    result_tables = all_result_tables(inputs_from_folder(folder, card, table=table, dataset=dataset))
    tables = {name: getattr(evaluation, name) for name in TABLES}
    tables |= {name: result_table.frame for name, result_table in result_tables.items()} | {
        "missing": all_missing(result_tables)
    }
    for name, figures in tables.items():
        write_via_temporary(
            folder / "evaluation" / f"{name}.csv",
            lambda t, figures=figures: figures.to_csv(t, index=False, float_format="%.6f"),
        )
    return evaluation


def _read(source: Source) -> tuple[Predictions, str]:
    """Predictions with their warnings, and why their classes have no order ("" where they may have one)."""
    if isinstance(source, Predictions):
        return source, ""
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        source = open_run(source)
    if isinstance(source, Run):
        return replace(source.calibrated_predictions, warnings=source.warnings), _no_order(source.card)
    return read_predictions(source), ""


def _no_order(card: dict) -> str:
    name = card.get("scheme", {}).get("name")
    ordered = name is None or name in SCHEMES
    return "" if ordered else f"not given: the label scheme {name} declares no order of its classes"


def _without_order(table: pd.DataFrame, reason: str) -> pd.DataFrame:
    if not reason:
        return table
    rows = table["metric"] == "quadratic_kappa"
    table.loc[rows, ["value", "lower_95", "upper_95"]] = float("nan")
    table.loc[rows, "note"] = reason
    return table


def _confusion_table(predictions: Predictions) -> pd.DataFrame:
    names = predictions.classes
    counts = confusion(predictions.labels, predicted=predictions.predicted, classes=len(names))
    rows = [
        {
            "unit": predictions.unit,
            "true": true,
            "predicted": guess,
            "count": int(counts[i, j]),
            "share_of_true": counts[i, j] / counts[i].sum() if counts[i].sum() else float("nan"),
        }
        for i, true in enumerate(names)
        for j, guess in enumerate(names)
    ]
    return pd.DataFrame(rows)
