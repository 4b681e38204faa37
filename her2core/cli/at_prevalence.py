"""Figures at a stated prevalence for ``her2 evaluate``: predictive values, ISH tests saved, positives missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.cli.text import interval, records
from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.evaluation import Source, read_source
from her2core.evidence.ish_referral import ISH_LABELS, ish_table
from her2core.evidence.label_shift import corrected_for_shift, read_shares, training_shares
from her2core.evidence.prevalence import PREVALENCE_LABELS, predictive_value_table
from her2core.evidence.result_tables import UNITS
from her2core.evidence.run_sets import sets_of_card
from her2core.runs.folder import open_run


@dataclass(frozen=True)
class AtPrevalence:
    """Tables at a stated prevalence, every assessed unit of ``result_tables.UNITS`` together.

    Parameters
    ----------
    values, tests : DataFrame
        As ``predictive_value_table`` and ``ish_table`` give them.
    reason : str
        Why there is no table of tests; empty where there is.
    """

    values: pd.DataFrame
    tests: pd.DataFrame
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Both tables, JSON-ready."""
        return {
            "predictive_values": records(self.values),
            "ish_referral": records(self.tests),
            "ish_referral_reason": self.reason,
        }

    @property
    def lines(self) -> list[str]:
        """Both tables as lines of text, with what each assumes."""
        lines = []
        for unit, of_unit in self.values.groupby("unit", sort=False):
            stated = of_unit.loc[of_unit["metric"] == "ppv"]
            lines.append(
                f"Predictive values by {unit} at a prevalence of {stated['prevalence'].iloc[0]:.1%} of the class"
            )
            lines.append(f"  {stated['note'].iloc[0]}")
            for name, rows in of_unit.groupby("class", sort=False):
                lines.append(f"  {name}: {_listed(rows, PREVALENCE_LABELS)}")
        for unit, of_unit in self.tests.groupby("unit", sort=False):
            lines.append(f"ISH tests saved against positives missed by {unit}, shares of all cases")
            lines.append(f"  {of_unit['note'].iloc[0]}")
            for policy, rows in of_unit.groupby("policy", sort=False):
                lines.append(f"  {policy}: {_listed(rows, ISH_LABELS)}")
        return lines + ([f"ISH tests: not available. {self.reason}"] if self.reason else [])


def at_prevalence(
    source: Source,
    units: pd.DataFrame,
    *,
    part: str,
    prevalence: float,
    ish_positive: float,
    shares: Mapping[str, float] | None = None,
) -> AtPrevalence:
    """Compute the tables at a stated prevalence.

    Parameters
    ----------
    source : Run, Predictions, DataFrame, bytes or path
        As ``evaluation.evaluate`` takes it.
    units : DataFrame
        Units that were assessed, with the rule of each, as ``Evaluation.units``.
    part : str
        Part of the split.
    prevalence, ish_positive : float
        As stated.
    shares : mapping of str to float, optional
        Class shares of the training data, for a label-shift correction.

    Returns
    -------
    AtPrevalence
    """
    predictions, _ = read_source(source)
    if shares is not None:
        predictions = corrected_for_shift(predictions, trained=shares)
    run = open_run(source) if isinstance(source, Path) and source.is_dir() else None
    entry = run.card.get("prediction_sets") if run else None
    sets = sets_of_card(entry, run_classes=run.classes) if run and entry and shares is None else {}
    reason = "the classes of this run are no HER2 status" if run and not run.card["scheme"]["is_her2"] else ""
    values, tests = [], []
    for row in units[units["assessed"].astype(bool) & units["unit"].isin(UNITS)].itertuples():
        p = predictions.part(part)
        p = p if row.unit == "patch" else aggregate(p, row.unit, rule=row.rule)
        values.append(predictive_value_table(p, prevalence=prevalence))
        if reason:
            continue
        try:
            tests.append(ish_table(p, sets.get(row.unit), prevalence=prevalence, ish_positive=ish_positive))
        except EvaluationError as refused:
            reason = refused.sentence
    empty = pd.DataFrame(columns=["unit", "policy", "metric", "value", "lower_95", "upper_95", "note"])
    return AtPrevalence(
        pd.concat(values, ignore_index=True), pd.concat(tests, ignore_index=True) if tests else empty, reason
    )


def shares_in_training(source: Path, words: Iterable[str]) -> dict[str, float]:
    """Class shares of the training data: as stated, or those of a run.

    Parameters
    ----------
    source : Path
        A run folder or a table.
    words : iterable of str
        CLASS=SHARE.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ConfigError
        For a share that is no number, and where a table comes without shares.
    """
    if stated := ",".join(words):
        return read_shares(stated)
    if source.is_dir():
        return training_shares(open_run(source).card)
    raise ConfigError(
        "the class shares of the training data with --label-shift",
        got="none",
        where="her2 evaluate",
        fix="State them: --trained negative=0.8 --trained positive=0.2.",
    )


def _listed(rows: pd.DataFrame, labels: Mapping[str, str]) -> str:
    cells = [
        f"{labels[row['metric']].lower()} {interval(row['value'], row['lower_95'], row['upper_95'])}"
        for row in rows.to_dict("records")
    ]
    return "; ".join(cells).replace("ppv", "PPV").replace("npv", "NPV").replace("ish", "ISH")
