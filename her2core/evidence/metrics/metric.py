"""Definition of one metric: its name, label, range, direction, inputs and reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from her2core.errors import ConfigError

if TYPE_CHECKING:
    from her2core.evidence.predictions import Predictions

Floats = NDArray[np.float64]
Direction = Literal["higher", "lower", "target"]
#: What ``Metric.function`` takes; see there.
Input = Literal["confusion", "rows", "one_vs_rest", "table"]
#: Which rows the denominator of a proportion counts, for one class.
Denominator = Literal["all", "true", "not_true", "predicted", "not_predicted", "both"]
#: The tables in which metrics appear; ``metrics`` is that of ``intervals.metric_table``.
Table = Literal[
    "metrics",
    "calibration",
    "reliability",
    "operating_points",
    "referral",
    "risk_coverage",
    "decisions",
    "ish_referral",
    "three_way",
    "discordance",
]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One entry of the registry.

    Parameters
    ----------
    name : str
        Value of the column ``metric`` in every table and file.
    label : str
        Name for people: pages, reports, legends.
    help : str
        One sentence for people: what is measured.
    range : tuple of float
        Smallest and largest possible value; infinite where there is no bound.
    direction : {'higher', 'lower', 'target'}
        Whether larger or smaller values are better, or values near ``target``.
    function : callable
        Computes the metric; what it takes follows from ``input``.
    reference : str
        Author, year and DOI of the definition.
    input : {'confusion', 'rows', 'one_vs_rest', 'table'}
        ``confusion``: ``function(matrix)`` of counts ``(..., K, K)`` gives ``(...)``, or ``(..., K)`` per class.
        ``rows``: ``function(probs, labels=...)`` gives ``(N,)``, or ``(N, K)`` per class; the metric is the mean.
        ``one_vs_rest``: ``function(scores, positive=..., groups=..., weights=...)`` gives ``(B,)`` for one class
        against the rest; without ``per_class`` the metric is the mean over the classes.
        ``table``: computed by the module that makes ``table``.
    table : str
        The table in which the metric appears: ``metrics`` or one of ``result_tables.TABLES``.
    per_class : bool
        Whether there is one value per class.
    needs_scores : bool
        Whether probabilities are required; such metrics are left out for hard labels.
    needs_order : bool
        Whether the classes must have an order.
    headline : bool
        Whether summary tables show it.
    row_wise : bool
        Whether every resample costs a pass over all rows, so that large tables get fewer resamples.
    denominator : str, optional
        Rows in the denominator of the metric, of one class or, for a metric over all classes, of each; ``both`` for
        pairs of a row of the class and one of the rest. Their clusters decide whether there is an interval.
    binomial : bool
        Whether the metric is a proportion of the rows in its denominator, so that independent rows are binomial.
    undefined : str
        Why the metric may be undefined, where that does not follow from ``denominator``.
    note : callable, optional
        From Predictions to a remark that accompanies the value, empty where there is none.
    of_class : callable, optional
        Of a metric that is the mean over the classes with cases: ``function`` of the classes, ``(..., K)``. One of
        input ``one_vs_rest`` needs none.
    target : float, optional
        The ideal value where ``direction`` is ``target`` and there is one.

    Raises
    ------
    ConfigError
        For an empty range, or a metric of classes without probabilities that claims a one-vs-rest function.

    Examples
    --------
    >>> from her2core.evidence.metrics.registry import METRICS
    >>> kappa = METRICS["quadratic_kappa"]
    >>> kappa.label, kappa.range, kappa.direction
    ('Quadratic kappa', (-1.0, 1.0), 'higher')
    """

    name: str
    label: str
    help: str
    range: tuple[float, float]
    direction: Direction
    function: Callable[..., Floats]
    reference: str
    input: Input = "table"
    table: Table = "metrics"
    per_class: bool = False
    needs_scores: bool = False
    needs_order: bool = False
    headline: bool = False
    row_wise: bool = False
    denominator: Denominator | None = None
    binomial: bool = False
    undefined: str = ""
    note: Callable[[Predictions], str] | None = None
    of_class: Callable[..., Floats] | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        if not self.range[0] < self.range[1]:
            raise ConfigError(
                "argument `range` to be (lowest, highest)", got=str(self.range), where=self.name, fix="Swap the bounds."
            )
        if self.input in ("rows", "one_vs_rest") and not self.needs_scores:
            raise ConfigError(
                f"argument `needs_scores` to be True for input {self.input!r}",
                got="False",
                where=self.name,
                fix="Such a function takes probabilities.",
            )
        if (self.input == "table") != (self.table != "metrics"):
            raise ConfigError(
                "argument `input` to be 'confusion', 'rows' or 'one_vs_rest' for the table of metrics",
                got=f"input {self.input!r}, table {self.table!r}",
                where=self.name,
                fix="Name what the function takes.",
            )

    @property
    def is_proportion(self) -> bool:
        """Whether the range is 0 to 1, so that values may be shown in percent."""
        return self.range == (0.0, 1.0)

    def better(self, difference: float) -> bool:
        """Whether a difference of this size means a better value.

        Parameters
        ----------
        difference : float
            New value less old value.

        Returns
        -------
        bool
            False also for a difference of zero, NaN, or a metric whose direction is ``target``.

        Examples
        --------
        >>> from her2core.evidence.metrics.registry import METRICS
        >>> METRICS["accuracy"].better(0.02), METRICS["negative_log_likelihood"].better(0.02)
        (True, False)
        """
        return {"higher": difference > 0, "lower": difference < 0, "target": False}[self.direction]
