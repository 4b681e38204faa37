"""Metrics of predictions: the registry, and the functions by kind.

``registry`` holds every metric with its label, help text, range, direction and function; ``confusion``, ``per_class``,
``ordinal``, ``ranking``, ``probabilistic``, ``brier``, ``recalibration``, ``counts``, ``selective`` and ``decision``
hold the functions.
"""

from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.registry import (
    METRICS,
    headline_metrics,
    markdown_table,
    metric_help,
    metric_label,
    metrics_of,
    select_metrics,
)

__all__ = [
    "METRICS",
    "Metric",
    "headline_metrics",
    "markdown_table",
    "metric_help",
    "metric_label",
    "metrics_of",
    "select_metrics",
]
