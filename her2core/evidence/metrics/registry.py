"""Registry of metrics: one ordered table of names, labels, help texts, ranges, directions and functions.

Metric tables, intervals, comparisons, studies over seeds, reports, pages and documentation iterate ``METRICS``. To add
a metric, write its function beside those of its kind, add one entry to ``table_metrics.py`` and test it against an
independent implementation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from her2core.errors import ConfigError
from her2core.evidence.metrics.discordance_metrics import DISCORDANCE
from her2core.evidence.metrics.further_metrics import CALIBRATION, DECISIONS, OPERATING_POINTS, SELECTIVE
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.referral_metrics import ISH_REFERRAL, THREE_WAY
from her2core.evidence.metrics.table_metrics import OVERALL, PER_CLASS

METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        *(*OVERALL, *PER_CLASS, *CALIBRATION, *OPERATING_POINTS, *SELECTIVE, *DECISIONS),
        *(*ISH_REFERRAL, *THREE_WAY, *DISCORDANCE),
    )
}


def select_metrics(
    metrics: Iterable[str | Metric] | None = None, *, registry: Mapping[str, Metric] | None = None
) -> tuple[Metric, ...]:
    """Metrics of the metric table, those over all classes first.

    Parameters
    ----------
    metrics : iterable of str or Metric, optional
        Names of the registry, or metrics of one's own; None for all of the registry.
    registry : mapping, optional
        Where names are looked up; ``METRICS`` when not given.

    Returns
    -------
    tuple of Metric

    Raises
    ------
    ConfigError
        For an unknown name, a metric of another table, or no metric at all.

    Examples
    --------
    >>> [m.name for m in select_metrics(["recall", "accuracy"])]
    ['accuracy', 'recall']
    """
    known = {name: m for name, m in (METRICS if registry is None else registry).items() if m.table == "metrics"}
    chosen: dict[str, Metric] = {}
    for metric in known.values() if metrics is None else metrics:
        if isinstance(metric, str) and metric not in known:
            raise ConfigError(
                f"argument `metrics` to be out of {', '.join(map(repr, known))}",
                got=repr(metric)[:80],
                fix="Choose from these, or pass a Metric.",
            )
        entry = known[metric] if isinstance(metric, str) else metric
        chosen[entry.name] = entry
    if not chosen:
        raise ConfigError("argument `metrics` to name at least one metric", got="none", fix="Leave it out for all.")
    return tuple(sorted(chosen.values(), key=lambda m: m.per_class))


def headline_metrics() -> tuple[Metric, ...]:
    """Metrics that summary tables and pages show first.

    Returns
    -------
    tuple of Metric

    Examples
    --------
    >>> [m.label for m in headline_metrics()]
    ['Accuracy', 'Balanced accuracy', 'Macro F1', 'Macro AUROC']
    """
    return tuple(m for m in METRICS.values() if m.headline)


def metrics_of(table: str) -> tuple[Metric, ...]:
    """Metrics of one table, in order.

    Parameters
    ----------
    table : str
        ``metrics``, or a table of ``result_tables.TABLES``.

    Returns
    -------
    tuple of Metric
        Empty for a table without metrics of its own.

    Examples
    --------
    >>> [m.name for m in metrics_of("risk_coverage")]
    ['risk', 'aurc']
    """
    return tuple(m for m in METRICS.values() if m.table == table)


def metric_label(name: str, *, of: str = "") -> str:
    """Name of a metric for people.

    Parameters
    ----------
    name : str
        Name in the registry; any other is returned with blanks for underscores.
    of : str
        Class, for a metric of one class.

    Returns
    -------
    str

    Examples
    --------
    >>> metric_label("macro_auroc"), metric_label("recall", of="positive")
    ('Macro AUROC', 'Sensitivity (recall) of positive')
    """
    label = METRICS[name].label if name in METRICS else name.replace("_", " ")
    return f"{label} of {of}" if of else label


def metric_help(name: str) -> str:
    """One sentence on what a metric measures; empty for an unknown name.

    Parameters
    ----------
    name : str
        Name in the registry.

    Returns
    -------
    str

    Examples
    --------
    >>> metric_help("macro_f1")
    'Mean F1 of the classes.'
    """
    return METRICS[name].help if name in METRICS else ""


def markdown_table(metrics: Iterable[Metric] | None = None) -> str:
    """Registry as a Markdown table, for the documentation.

    Parameters
    ----------
    metrics : iterable of Metric, optional
        Which metrics; None for all.

    Returns
    -------
    str
        Lines joined by newlines, without one at the end.

    Examples
    --------
    >>> print(markdown_table([METRICS["accuracy"]]).splitlines()[0])
    | name | label | what it measures | range | better | per class | needs scores | reference |
    """
    lines = [
        "| name | label | what it measures | range | better | per class | needs scores | reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for m in METRICS.values() if metrics is None else metrics:
        better = m.direction if m.target is None else f"near {m.target:g}"
        low, high = ("" if abs(bound) == float("inf") else f"{bound:g}" for bound in m.range)
        cells = (
            f"`{m.name}`",
            m.label,
            m.help,
            f"{low or 'unbounded'} to {high or 'unbounded'}" if low or high else "unbounded",
            {"target": "neither"}.get(better, better),
            "yes" if m.per_class else "no",
            "yes" if m.needs_scores else "no",
            m.reference,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)
