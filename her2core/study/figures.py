"""Figures of a study over its seeds at every unit, with the statement about its primary metric."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from her2core.errors import EvaluationError
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.predictions import Predictions
from her2core.evidence.seeds import SeedSummary, summarize_seeds
from her2core.evidence.statements import PRIMARY_METRIC

#: Units by which the runs are evaluated.
UNITS = ("patch", "patient")


class Primary(BaseModel):
    """The one metric and unit about which a study makes statements, declared before it is trained.

    Attributes
    ----------
    metric : str
        A metric over all classes.
    unit : str
        patch or patient.

    Examples
    --------
    >>> Primary().metric, Primary().unit
    ('balanced_accuracy', 'patient')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(PRIMARY_METRIC, description="a metric over all classes")
    unit: Literal["patch", "patient"] = Field("patient", description="patch or patient")

    @field_validator("metric")
    @classmethod
    def _over_all_classes(cls, metric: str) -> str:
        allowed = [name for name, m in METRICS.items() if not m.per_class]
        if metric not in allowed:
            raise ValueError(f"`primary.metric` to be one of {', '.join(allowed)}")
        return metric


def study_figures(
    groups: Mapping[str, Sequence[Predictions]],
    *,
    reference: str | Mapping[str, str],
    primary: Primary,
    ordered: bool,
    by_site: Collection[str] = (),
) -> tuple[SeedSummary, str]:
    """Compute the figures and differences of all groups at every unit.

    Parameters
    ----------
    groups : mapping of str to sequence of Predictions
        Test parts by patch, one per run.
    reference : str or mapping of str to str
        Group from which differences are taken, or the reference of each group that has one.
    primary : Primary
    ordered : bool
        Whether the classes have an order.
    by_site : collection of str
        Groups whose runs were tested on sites that they were not trained on.

    Returns
    -------
    SeedSummary
    str
        Why there is nothing by patient; empty where there is.

    Raises
    ------
    EvaluationError
        As ``evidence.seeds.summarize_seeds`` by patch.
    """
    found, reason = [], ""
    for unit in UNITS:
        try:
            found.append(
                summarize_seeds(
                    groups,
                    reference=reference,
                    unit=unit,
                    primary=primary.metric if unit == primary.unit else None,
                    by_site=by_site,
                    ordered=ordered,
                )
            )
        except EvaluationError as refused:
            if unit == "patch":
                raise
            reason = refused.sentence
    return SeedSummary(
        pd.concat([f.table for f in found], ignore_index=True),
        pd.concat([f.differences for f in found], ignore_index=True),
    ), reason
