"""Predictions under review: those of a finished run, or an uploaded table, with the same evidence for both.

A run's metrics were computed when it was finished and are read from its tables. Those of a file are computed once, when
it is uploaded, and live in the session's own memory. The further tables (calibration, abstention, decisions, subgroups)
are computed when a page asks for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import cache
from dashboard.session import remember
from dashboard.widgets import markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.aggregate import aggregate
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.evaluation import Evaluation, evaluate
from her2core.evidence.inputs import EvaluationInputs, inputs_from_predictions
from her2core.evidence.metrics.registry import metrics_of
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import ResultTable, result_table
from her2core.evidence.run_sets import sets_of_card
from her2core.evidence.verdict import Verdict, verdict
from her2core.io.archives import unique_name
from her2core.runs.folder import Run

#: Predictions files that one session may hold at a time; the oldest is dropped first.
MAX_FILES = 3


@dataclass(frozen=True)
class Review:
    """The evidence of one set of predictions.

    Attributes
    ----------
    name, title : str
        For download names, and for the page's heading.
    key : hashable
        Names the content, so that what was computed from it is found again.
    patches : Predictions
        The test part, one row a patch.
    metrics, confusion, units : pandas.DataFrame
        As in ``her2core.evidence.evaluation.Evaluation``.
    warnings : tuple of str
        Sentences that every figure must carry.
    notes : tuple of str
        Sentences on how an uploaded table was read.
    run : Run or None
        None for an uploaded file.
    whole : Predictions or None
        All parts of the split of an uploaded file.
    file : str
        Name of an uploaded file as it was brought.
    """

    name: str
    title: str
    key: Hashable
    patches: Predictions
    metrics: pd.DataFrame
    confusion: pd.DataFrame
    units: pd.DataFrame
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    run: Run | None = None
    whole: Predictions | None = None
    file: str = ""

    @property
    def digest(self) -> str:
        """A short hash of ``key``: widgets keyed by it never show what belongs to other predictions."""
        return hashlib.sha256(repr(self.key).encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in their order."""
        return self.patches.classes

    @property
    def assessed(self) -> list[str]:
        """The units that could be assessed."""
        units: list[str] = self.units.loc[self.units["assessed"].astype(bool), "unit"].tolist()
        return units

    def at(self, unit: str) -> Predictions:
        """The predictions by patch, slide or patient; remembered in this session."""
        if unit == "patch":
            return self.patches
        return remember(("unit", self.key, unit), lambda: aggregate(self.patches, unit, rule=self.rule(unit)))

    def result_table(self, name: str) -> ResultTable:
        """One table of ``evidence.result_tables``. Raises a Her2Error where a run has none, or a broken one."""
        if self.run is not None:
            return cache.run_result_table(self.run, name)
        return remember(("result_table", self.key, name), lambda: result_table(self._inputs(), name))

    def _inputs(self) -> EvaluationInputs:
        whole = self.patches if self.whole is None else self.whole
        return remember(("inputs", self.key), lambda: inputs_from_predictions(whole))

    @property
    def sets(self) -> dict[str, PredictionSets]:
        """Prediction sets of a run by unit; none of a file. Raises an EvaluationError for a broken card."""
        entry = self.run.card.get("prediction_sets") if self.run else None
        return sets_of_card(entry, run_classes=self.classes) if entry else {}

    @property
    def no_her2(self) -> str:
        """Why there is no ISH test to refer to: a run whose classes are no HER2 status; otherwise empty."""
        other = self.run is not None and not self.run.card["scheme"]["is_her2"]
        return "the classes of this run are no HER2 status: there is no ISH test to refer to" if other else ""

    @property
    def verdict(self) -> Verdict:
        """Whether the accuracy can be believed."""
        if self.run is not None:
            return cache.verdict(self.run)
        whole = self.patches if self.whole is None else self.whole
        found = Evaluation(self.metrics, self.confusion, self.units, self.warnings, self.notes)
        return remember(("verdict", self.key), lambda: verdict(whole, evaluation=found, name=self.name))

    @property
    def has_baselines(self) -> bool:
        """Whether baselines were computed."""
        return self.run is not None and cache.baselines(self.run) is not None

    def rule(self, unit: str) -> str:
        """The rule by which patches were aggregated to slides or patients."""
        named = self.units.loc[self.units["unit"] == unit, "rule"].iloc[0]
        return named if isinstance(named, str) and named else "mean"


def unit_switch(
    review: Review, label: str, *, key: str, default: int, among: Sequence[str] = ("patch", "slide", "patient")
) -> str:
    """Let the viewer choose a unit out of those assessed and ``among``; ``default`` is a place in these.

    A choice is written into the address (``?unit=``), which links to other pages keep: a bound parameter would leave
    the address where the choice is the default of this page, and the next page would show another unit.
    """
    offered = [unit for unit in review.assessed if unit in among]
    wanted = st.query_params.get("unit")
    st.session_state[key] = wanted if wanted in offered else offered[default]

    def write() -> None:
        if st.session_state[key] in offered:
            st.query_params["unit"] = st.session_state[key]

    chosen = st.segmented_control(label, offered, key=key, on_change=write, required=True)
    return chosen if chosen in offered else offered[default]


def opened_result_table(review: Review, name: str) -> ResultTable:
    """Return the table, or show one sentence that says why not and end the page."""
    try:
        with st.spinner("Resampling patients ..."):
            return review.result_table(name)
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        st.stop()


def rows_at(table: ResultTable, unit: str) -> pd.DataFrame:
    """Return the rows of one unit; what could not be computed is listed with the reason."""
    missing = table.missing[table.missing["unit"] == unit].astype(object).fillna("")
    rows = table.frame[table.frame["unit"] == unit]
    reasons = [f"{row.what}: {row.reason}" if row.what else row.reason for row in missing.itertuples()]
    if rows.empty:
        st.info(f"Not available: {markdown_sentence('; '.join(reasons))}")
    elif reasons:
        with st.expander(f"Not available here: {len(reasons)}, with the reason"):
            for reason in reasons:
                st.markdown(f"- {markdown_sentence(reason)}")
    if table.name != "subgroups" and (rows["resampling_unit"] != "patient").any():
        st.warning(
            "Patients are unknown or too few, so single rows are taken as independent. Rows of one patient are not "
            "independent, and the intervals are too narrow.",
            icon=":material/warning:",
        )
    return rows


def review_of_run(run: Run) -> Review:
    """The evidence of a finished run. Raises a Her2Error when it was not evaluated or its tables are broken."""
    tables = cache.evaluation(run)
    return Review(
        run.name,
        run.card["title"],
        (str(run.path), cache.predictions_modified(run)),
        cache.test_predictions(run),
        tables["metrics"],
        tables["confusion"],
        tables["units"],
        run.warnings,
        run=run,
    )


def add_review(name: str, predictions: Predictions) -> Review:
    """Compute the evidence of an uploaded file's predictions, once, and offer it in the sidebar of this session.

    A second file of the same name is offered beside the first under a numbered name, and the same content under
    another name under this name. Beyond MAX_FILES the oldest is dropped; ``dropped_next`` names it beforehand.
    """
    key = ("uploaded", _content_hash(predictions))
    reviews = uploaded_reviews()
    for review in reviews.values():
        if review.key == key and review.file == name:
            return review
    found = evaluate(predictions, metrics=[m for m in metrics_of("metrics") if not m.row_wise])
    file, name = name, unique_name(name, dict.fromkeys(reviews, 1))
    review = Review(
        name,
        f"{name}, an uploaded predictions file",
        key,
        predictions.part("test"),
        found.metrics,
        found.confusion,
        found.units,
        predictions.warnings,
        predictions.notes,
        whole=predictions,
        file=file,
    )
    while len(reviews) >= MAX_FILES:
        reviews.pop(next(iter(reviews)))
    reviews[name] = review
    return review


def dropped_next() -> str:
    """The uploaded file that the next one would replace; empty where there is room."""
    reviews = uploaded_reviews()
    return next(iter(reviews)) if len(reviews) >= MAX_FILES else ""


def uploaded_reviews() -> dict[str, Review]:
    """The predictions files of this session, by name."""
    reviews: dict[str, Review] = st.session_state.setdefault("uploaded_reviews", {})
    return reviews


def _content_hash(predictions: Predictions) -> str:
    """A hash of everything that the evidence is computed from."""
    digest = hashlib.sha256(repr((predictions.classes, predictions.notes, predictions.warnings)).encode())
    answers = predictions.probs if predictions.has_scores else predictions.predicted
    digest.update(np.ascontiguousarray(answers).tobytes())
    digest.update(np.ascontiguousarray(predictions.labels).tobytes())
    digest.update(pd.util.hash_pandas_object(predictions.frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()
