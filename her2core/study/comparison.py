"""Side-by-side comparison of finished runs that were tested on the same patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from her2core.errors import Her2Error
from her2core.evidence.compare import why_incomparable
from her2core.evidence.predictions import Predictions
from her2core.runs.folder import Run

#: Metrics over all classes that the comparison gives, with their intervals.
HEADLINE = ("accuracy", "balanced_accuracy", "macro_auroc")
#: What a run's cost.json gives.
COSTS = ("parameters", "flops", "latency_ratio", "latency_ms")


def comparable_runs(
    run: Run, others: Sequence[Run], *, test_predictions: Callable[[Run], Predictions]
) -> tuple[list[Run], pd.DataFrame]:
    """Separate the runs that were tested on the same patches, labels and classes from those that were not.

    Parameters
    ----------
    run : Run
        The run that the others are compared with.
    others : sequence of Run
        Candidates; ``run`` itself is passed over.
    test_predictions : callable
        Gives the test part of a run's predictions; a cache may stand behind it.

    Returns
    -------
    same : list of Run
        ``run`` first.
    excluded : pandas.DataFrame
        ``run`` and ``reason``, one row for each of the others.
    """
    same, excluded = [run], []
    own = test_predictions(run)
    for other in others:
        if other.path.resolve() == run.path.resolve():
            continue
        try:
            reason = why_incomparable(own, test_predictions(other))
        except Her2Error as refused:
            reason = refused.sentence
        if reason:
            excluded.append({"run": other.name, "reason": reason})
        else:
            same.append(other)
    return same, pd.DataFrame(excluded, columns=["run", "reason"])


def comparison_table(runs: Sequence[Run], unit: str, *, metrics: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    """Metrics with intervals and costs of several runs.

    Parameters
    ----------
    runs : sequence of Run
        Runs tested on the same patches.
    unit : {"patch", "slide", "patient"}
        Unit of analysis.
    metrics : callable
        Gives the table ``metrics`` of a run's evaluation; a cache may stand behind it.

    Returns
    -------
    pandas.DataFrame
        One row a run: ``run``, ``network``; for each metric of HEADLINE and the recall of each class
        (``recall_<class>``) the value, ``<metric>_lower_95`` and ``<metric>_upper_95``; and COSTS. What was not
        assessed or measured is NaN.
    """
    rows = []
    for run in runs:
        table = metrics(run)
        at_unit = table[table["unit"] == unit]
        row = {"run": run.name, "network": run.card["network"]["name"]}
        wanted = [(metric, metric, "") for metric in HEADLINE]
        wanted += [(f"recall_{name}", "recall", name) for name in run.classes]
        for column, metric, of in wanted:
            found = at_unit[(at_unit["metric"] == metric) & (at_unit["class"].fillna("") == of)]
            values = found.iloc[0] if len(found) else dict.fromkeys(("value", "lower_95", "upper_95"), float("nan"))
            row |= {column: values["value"]} | {f"{column}_{b}": values[b] for b in ("lower_95", "upper_95")}
        cost = run.cost or {"parameters": run.info.get("parameters")}
        rows.append(row | {name: cost.get(name) for name in COSTS})
    frame = pd.DataFrame(rows)
    frame[list(COSTS)] = frame[list(COSTS)].astype("float64")
    return frame
