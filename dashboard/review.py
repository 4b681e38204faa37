"""Whose predictions are under review? A finished run's, or a table brought along; the same evidence of both.

A run's metrics were computed when it was finished and are read from its tables. Those of a file are computed once, when
it is brought, and live in the session's own memory. The tables beyond (calibration, abstention, decisions, subgroups)
are computed when a page asks for them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.loaders import run_exhibit, tables, test_part
from dashboard.state import remember
from her2core.evidence.aggregate import aggregate
from her2core.evidence.evaluation import evaluate
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import ResultTable, inputs_from_predictions, result_table
from her2core.runs.folder import Run

#: Files one session may hold at a time; the oldest is forgotten first.
MAX_BROUGHT = 3


@dataclass(frozen=True)
class Review:
    """``patches``: the predictions of the test part, one row a patch. ``metrics``, ``confusion`` and ``units`` as in
    evidence.evaluation.Evaluation. ``run`` is None for a file brought along, and ``whole``
    then holds all parts of its split. ``key`` names the content."""

    name: str
    title: str
    key: Hashable
    patches: Predictions
    metrics: pd.DataFrame
    confusion: pd.DataFrame
    units: pd.DataFrame
    warnings: tuple[str, ...]
    run: Run | None = None
    whole: Predictions | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.patches.classes

    @property
    def assessed(self) -> list[str]:
        """The units that could be assessed."""
        return self.units.loc[self.units["assessed"].astype(bool), "unit"].tolist()

    def at(self, unit: str) -> Predictions:
        """The predictions by patch, slide or patient; remembered in this session."""
        if unit == "patch":
            return self.patches
        return remember(("unit", self.key, unit), lambda: aggregate(self.patches, unit, rule=self.rule(unit)))

    def result_table(self, name: str) -> ResultTable:
        """One table of ``evidence.result_tables``. Raises a Her2Error where a run has none, or a broken one."""
        if self.run is not None:
            return run_exhibit(self.run, name)
        return remember(("result_table", self.key, name), lambda: result_table(self._inputs(), name))

    def _inputs(self):
        return remember(("inputs", self.key), lambda: inputs_from_predictions(self.whole))

    def rule(self, unit: str) -> str:
        """By which rule patches became a slide or patient."""
        named = self.units.loc[self.units["unit"] == unit, "rule"].iloc[0]
        return named if isinstance(named, str) and named else "mean"


def unit_switch(
    review: Review, label: str, *, key: str, default: int, among: Sequence[str] = ("patch", "slide", "patient")
) -> str:
    """Let the viewer choose a unit out of those assessed and ``among``; ``default`` is a place in these."""
    offered = [unit for unit in review.assessed if unit in among]
    chosen = st.segmented_control(label, offered, default=offered[default], key=key, bind="query-params", required=True)
    return chosen if chosen in offered else offered[default]


def review_of_run(run: Run) -> Review:
    """The evidence of a finished run. Raises a Her2Error when it was not evaluated or its tables are broken."""
    found = tables(run)
    patches, changed = test_part(run)
    return Review(
        run.name,
        run.card["title"],
        (str(run.path), changed),
        patches,
        found["metrics"],
        found["confusion"],
        found["units"],
        run.warnings,
        run,
    )


def bring(name: str, predictions: Predictions) -> Review:
    """Compute the evidence of a file's predictions, once, and offer it in the sidebar of this session."""
    found = evaluate(predictions)
    part = predictions.part("test")
    review = Review(
        name,
        f"{name}, a file of predictions brought along",
        ("brought", name, id(part)),
        part,
        found.metrics,
        found.confusion,
        found.units,
        predictions.notes,
        whole=predictions,
    )
    held = brought_along()
    held.pop(name, None)
    while len(held) >= MAX_BROUGHT:
        held.pop(next(iter(held)))
    held[name] = review
    return review


def brought_along() -> dict[str, Review]:
    """The files of this session, by name."""
    return st.session_state.setdefault("brought_along", {})
