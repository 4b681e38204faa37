"""Evaluation of predictions: metrics with intervals, confusion matrices and units, for patches, slides and patients."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.aggregate import aggregate, rule_of_unit
from her2core.evidence.aggregation_rules import BY_VALIDATION, DEFAULT_RULE, RULES
from her2core.evidence.arguments import UNITS, check_choice
from her2core.evidence.class_order import missing_class_order
from her2core.evidence.inputs import inputs_from_folder
from her2core.evidence.label_shift import corrected_for_shift
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics.confusion import confusion_matrix
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.probabilistic import expected_calibration_error
from her2core.evidence.metrics.registry import headline_metrics, metric_label, select_metrics
from her2core.evidence.predictions import Predictions, calibrated_predictions, read_predictions
from her2core.evidence.result_tables import MISSING, all_missing, all_result_tables
from her2core.evidence.results import TableResult
from her2core.io.files import write_csv_tables
from her2core.io.tables import read_table
from her2core.runs.folder import Run, open_run

#: What can be evaluated: a run or its folder, any tool's table (a file, its content, a frame), or predictions.
Source: TypeAlias = "Run | Predictions | pd.DataFrame | bytes | str | os.PathLike[str]"
TABLES = ("metrics", "confusion", "units")


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(TableResult):
    """Evaluation of predictions; made by ``evaluate``.

    Equality is that of ``TableResult``: tables by ``DataFrame.equals``.

    Parameters
    ----------
    metrics : DataFrame
        One row per unit, metric and class, with its interval; columns as ``metric_table.metric_table`` gives them.
    confusion : DataFrame
        One row per unit, true and predicted class: unit, true, predicted, count, proportion_of_true.
    units : DataFrame
        One row per unit: unit, assessed, n, ece, reason (why it was not assessed, or which metrics are missing), rule
        (that aggregated patches to it), rule_reason.
    warnings : tuple of str
        Sentences that every figure must carry.
    notes : tuple of str
        Sentences on how a table was read.

    Examples
    --------
    >>> row = {"unit": "patch", "metric": "accuracy", "class": "", "value": 0.75}
    >>> Evaluation(pd.DataFrame([row]), pd.DataFrame(), pd.DataFrame()).value("accuracy")
    0.75
    """

    metrics: pd.DataFrame
    confusion: pd.DataFrame
    units: pd.DataFrame
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def value(self, metric: str, *, unit: str = "patch", of: str = "") -> float:
        """Value of one metric.

        Parameters
        ----------
        metric : str
            Name in the registry.
        unit : {'patch', 'slide', 'patient'}
        of : str
            Class, for a metric per class.

        Returns
        -------
        float

        Raises
        ------
        EvaluationError
            When the evaluation does not have it.
        """
        m = self.metrics
        found = m[(m["unit"] == unit) & (m["metric"] == metric) & (m["class"] == of)]
        if found.empty:
            raise EvaluationError(
                f"{metric} of {of or 'all classes'} by {unit}",
                got="no such row",
                where="evaluation",
                fix=f"Assessed here: {', '.join(m['unit'].unique())}.",
            )
        return float(found["value"].iloc[0])

    def _summary(self) -> list[str]:
        parts = [f"{row.unit}: n={row.n}" for row in self.units.itertuples() if row.assessed]
        unit = next((row.unit for row in self.units.itertuples() if row.assessed), "")
        shown = self.metrics[(self.metrics["unit"] == unit) & (self.metrics["class"] == "")].set_index("metric")
        for m in headline_metrics():
            if m.name in shown.index:
                value, low, high = shown.loc[m.name, ["value", "lower_95", "upper_95"]]
                parts.append(f"{metric_label(m.name).lower()} by {unit} {value:.3f} [{low:.3f}, {high:.3f}]")
        return parts


def evaluate(
    source: Source,
    *,
    part: str = "test",
    rule: str = DEFAULT_RULE,
    metrics: Iterable[str | Metric] | None = None,
    trained: Mapping[str, float] | None = None,
) -> Evaluation:
    """Evaluate one part of a run, of any tool's table of predictions, or of Predictions already read.

    Probabilities of a run are calibrated with its stored temperature.

    Parameters
    ----------
    source : Run, Predictions, DataFrame, bytes or path
        A run, its folder, a table as a file, its content or a frame (``predictions.read_predictions``), or Predictions.
    part : str
        Part of the split, such as test or val.
    rule : {'mean', 'majority', 'top_k', 'noisy_or', 'validation'}
        Aggregates patches to slides and patients (``aggregation_rules.RULES``); 'validation' takes the best on the
        validation part. ``units`` names the rule with the reason.
    metrics : iterable of str or Metric, optional
        Names of the registry, or metrics of one's own; None for all. A selection is faster for a million rows.
    trained : mapping of str to float, optional
        Share of each class in the training data: probabilities are then corrected for label shift
        (``label_shift.corrected_for_shift``), and ``notes`` say so. Never done unless asked.

    Returns
    -------
    Evaluation
        Units that cannot be assessed (ids unknown, a patient with several labels) are listed with the reason in
        ``units``. Kappa needs an order of the classes: for a run whose label scheme declares none it is NaN, and its
        note says so. Metrics that need probabilities are left out for hard labels; ``units`` gives the reason.

    Raises
    ------
    ConfigError
        For an unknown part, rule or metric.
    EvaluationError, TableError
        For predictions that cannot be used.
    RunError
        For a folder that is no finished run.

    Examples
    --------
    >>> import her2core
    >>> found = her2core.evaluate("models/demo", metrics=["accuracy", "quadratic_kappa"])
    >>> round(found.value("accuracy"), 2), round(found.value("quadratic_kappa", unit="patient"), 2)
    (0.66, 0.81)
    """
    check_choice("rule", rule, (*RULES, BY_VALIDATION))
    predictions, no_order = read_source(source)
    if trained is not None:
        predictions = corrected_for_shift(predictions, trained=trained)
    chosen = select_metrics(metrics)
    return _evaluate(predictions, no_order, chosen, part=part, rule=rule)


def evaluate_folder(
    folder: Path,
    card: Mapping[str, Any],
    warnings: Sequence[str],
    *,
    table: pd.DataFrame | None = None,
    dataset: pd.DataFrame | None = None,
) -> Evaluation:
    """Evaluate the test part of a run folder, finished or not, and write ``evaluation/<table>.csv``.

    Beside ``TABLES`` these are ``result_tables.TABLES``, and ``missing``: what could not be given, each with its
    reason. Nothing is written before all of it is known.

    Parameters
    ----------
    folder : path
        Holds predictions.parquet and perhaps dataset.parquet.
    card : mapping
        Model card.
    warnings : sequence of str
        Sentences that every figure must carry.
    table, dataset : DataFrame, optional
        What the two files hold; read when left out.

    Returns
    -------
    Evaluation

    Raises
    ------
    EvaluationError
        For predictions that cannot be used.
    """
    table = read_table(folder / "predictions.parquet", own=True).frame if table is None else table
    predictions = replace(calibrated_predictions(table, card), warnings=tuple(warnings))
    evaluation = _evaluate(predictions, missing_class_order(card), select_metrics())
    result_tables = all_result_tables(inputs_from_folder(folder, card, table=table, dataset=dataset))
    tables = {name: getattr(evaluation, name) for name in TABLES}
    missing = pd.concat([all_missing(result_tables), missing_baselines(folder)], ignore_index=True)
    tables |= {name: found.frame for name, found in result_tables.items()} | {"missing": missing}
    write_csv_tables(folder / "evaluation", tables, float_format="%.6f")
    return evaluation


def missing_baselines(folder: Path) -> pd.DataFrame:
    """Rows on baselines, which are computed from the images and stay as they are.

    Parameters
    ----------
    folder : path
        A run folder.

    Returns
    -------
    DataFrame
        Columns ``result_tables.MISSING``.
    """
    path = folder / "evaluation" / "missing.csv"
    if not path.is_file():
        return pd.DataFrame(columns=list(MISSING))
    before = read_table(path, text=MISSING, own=True).frame
    return before[before["table"] == "baselines"]


def _evaluate(
    predictions: Predictions,
    no_order: str,
    metrics: tuple[Metric, ...],
    *,
    part: str = "test",
    rule: str = DEFAULT_RULE,
) -> Evaluation:
    chosen = predictions.part(part) if isinstance(part, str) else predictions.part("")
    if not len(chosen):
        present = ", ".join(map(repr, sorted(set(predictions.frame["split"]))))
        if part == "test":
            raise EvaluationError(
                "predictions of the test part", got=f"only {present}", fix="Check the split column, or name no split."
            )
        raise ConfigError(f"argument `part` to be one of {present}", got=repr(part)[:80], fix="Check the split column.")
    reason = _left_out(metrics) if not chosen.has_scores else ""
    tables, confusion, units = [], [], []
    for unit in UNITS:
        row: dict[str, object] = {"unit": unit, "assessed": False, "n": 0, "ece": None}
        try:
            by, why = ("", "")
            if unit != "patch":
                by, why = rule_of_unit(unit, asked=rule, validation=predictions.part("val"))
            at_unit = chosen if unit == "patch" else aggregate(chosen, unit, rule=by)
        except EvaluationError as error:
            units.append(row | {"reason": error.sentence, "rule": "", "rule_reason": ""})
            continue
        ece = expected_calibration_error(at_unit.probs, labels=at_unit.labels) if at_unit.has_scores else None
        row |= {"assessed": True, "n": len(at_unit), "ece": ece, "reason": reason}
        units.append(row | {"rule": by, "rule_reason": why})
        tables.append(metric_table(at_unit, metrics=metrics, no_order=no_order))
        confusion.append(_confusion_table(at_unit))
    return Evaluation(
        pd.concat(tables, ignore_index=True),
        pd.concat(confusion, ignore_index=True),
        pd.DataFrame(units),
        predictions.warnings,
        predictions.notes,
    )


def _left_out(metrics: tuple[Metric, ...]) -> str:
    names = [m.label for m in metrics if m.needs_scores]
    return f"predicted classes only, without probabilities: no {', '.join(names)}" if names else ""


def read_source(source: Source) -> tuple[Predictions, str]:
    """Read whatever can be evaluated.

    Parameters
    ----------
    source : Run, Predictions, DataFrame, bytes or path
        A run, its folder, a table as a file, its content or a frame, or Predictions.

    Returns
    -------
    Predictions
        All parts of the split, of a run calibrated; with the warnings that figures must carry.
    str
        Why the classes have no order; empty where they may have one.

    Examples
    --------
    >>> read_source(pd.DataFrame({"GT": [0, 1], "Pred": [0, 1]}))[0].classes
    ('0', '1')
    """
    if isinstance(source, Predictions):
        return source, ""
    if isinstance(source, str | os.PathLike):
        if not Path(source).exists():
            raise EvaluationError(
                "a run folder or a table of predictions",
                got="no such file or folder",
                where=source,
                fix="Check the name; her2 runs list shows the runs.",
            )
        if Path(source).is_dir():
            source = open_run(source)
    if isinstance(source, Run):
        return replace(source.calibrated_predictions, warnings=source.warnings), missing_class_order(source.card)
    return read_predictions(source), ""


def source_name(source: Source, otherwise: str) -> str:
    """What to call a run or table.

    Parameters
    ----------
    source : Run, Predictions, DataFrame, bytes or path
        As ``read_source`` takes it.
    otherwise : str
        For what has no name of its own.

    Returns
    -------
    str

    Examples
    --------
    >>> source_name("results/resnet.csv", "first"), source_name(pd.DataFrame(), "first")
    ('resnet.csv', 'first')
    """
    if isinstance(source, Run):
        return source.name
    return Path(source).resolve().name if isinstance(source, str | os.PathLike) else otherwise


def _confusion_table(predictions: Predictions) -> pd.DataFrame:
    names = predictions.classes
    counts = confusion_matrix(predictions.labels, predicted=predictions.predicted, classes=len(names))
    rows = [
        {
            "unit": predictions.unit,
            "true": true,
            "predicted": predicted,
            "count": int(counts[i, j]),
            "proportion_of_true": counts[i, j] / counts[i].sum() if counts[i].sum() else float("nan"),
        }
        for i, true in enumerate(names)
        for j, predicted in enumerate(names)
    ]
    return pd.DataFrame(rows)
