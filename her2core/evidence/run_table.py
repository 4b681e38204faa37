"""Table of runs: what each is, its figures with interval and number of patients, verdict, status, tags and note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from her2core.data.split_units import split_label
from her2core.errors import Her2Error
from her2core.evidence.arguments import UNITS, check_choice
from her2core.evidence.metrics.registry import headline_metrics
from her2core.evidence.verdict import verdict
from her2core.runs.annotations import Annotation, read_annotation
from her2core.runs.folder import Run

#: Figures of the table, each with ``_lower_95``, ``_upper_95`` and ``_patients`` after it.
FIGURES = tuple(m.name for m in headline_metrics())
#: What describes a run.
ABOUT = ("run", "folder", "title", "network", "classes", "split_unit", "created", "weights", "path")
ANNOTATED = ("status", "tags", "note")
#: Columns that a search reads.
_SEARCHED = ("run", "folder", "title", "network", "classes", "split_unit", "tags", "note")


def run_row(run: Run, *, unit: str = "patient", graded: bool = True) -> dict[str, Any]:
    """Describe one run.

    Parameters
    ----------
    run : Run
    unit : {'patient', 'slide', 'patch'}
        Unit of analysis of the figures.
    graded : bool, default True
        Whether the verdict is computed (about half a second a run).

    Returns
    -------
    dict
        ``ABOUT``; ``verdict`` (the answer, empty unless graded); the ``FIGURES`` with ``_lower_95``, ``_upper_95`` and
        ``_patients``, NaN where they were not assessed; ``problem``: why there are none, empty otherwise.

    Raises
    ------
    ConfigError
        For an unknown unit.

    Examples
    --------
    >>> from her2core.runs.folder import open_run
    >>> row = run_row(open_run("models/demo"))
    >>> row["verdict"], round(row["accuracy"], 3), row["accuracy_patients"]
    ('Within limits', 0.708, 24)
    """
    check_choice("unit", unit, UNITS)
    row: dict[str, Any] = {
        "run": run.name,
        "folder": run.path.parent.name,
        "title": str(run.card["title"]),
        "network": str(run.card["network"]["name"]),
        "classes": ", ".join(run.classes),
        "split_unit": split_label(run.card["data"]["split_unit"]),
        "created": str(run.info.get("created", ""))[:10],
        "weights": run.has_weights,
        "path": str(run.path),
        "verdict": "",
        "problem": "",
    }
    row |= {f"{m}{part}": np.nan for m in FIGURES for part in ("", "_lower_95", "_upper_95", "_patients")}
    try:
        metrics = run.evaluation["metrics"]
        row["verdict"] = verdict(run).answer if graded else ""
    except Her2Error as refused:
        return row | {"problem": refused.sentence}
    rows = metrics[(metrics["unit"] == unit) & (metrics["class"] == "")].set_index("metric")
    for name in FIGURES:
        if name in rows.index:
            of = rows.loc[name]
            patients = int(of["n_clusters"]) if of["resampling_unit"] == "patient" else np.nan
            bounds = {f"{name}_{bound}": float(of[bound]) for bound in ("lower_95", "upper_95")}
            row |= {name: float(of["value"]), **bounds, f"{name}_patients": patients}
    if rows.empty:
        row["problem"] = f"not assessed by {unit}"
    return row


def annotated(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Make the table of runs of their rows, with what people say of each.

    Parameters
    ----------
    rows : iterable of dict
        As ``run_row`` gives them.

    Returns
    -------
    DataFrame
        A row a run: the columns of ``run_row`` and ``ANNOTATED``, tags as lists. Where a file of an annotation is
        broken, ``problem`` says so.

    Examples
    --------
    >>> from her2core.runs.folder import open_run
    >>> annotated([run_row(open_run("models/demo"), graded=False)])[["run", "status"]].values.tolist()
    [['demo', '']]
    """
    table = []
    for row in rows:
        said, problem = Annotation(), row["problem"]
        try:
            said = read_annotation(row["path"])
        except Her2Error as refused:
            problem = "; ".join(filter(None, (problem, refused.sentence)))
        table.append({**row, "status": said.status, "tags": list(said.tags), "note": said.note, "problem": problem})
    return pd.DataFrame(table)


def select_runs(
    table: pd.DataFrame,
    *,
    search: str = "",
    statuses: Sequence[str] = (),
    tags: Sequence[str] = (),
    verdicts: Sequence[str] = (),
    sort: str = "",
    descending: bool = True,
) -> pd.DataFrame:
    """Filter and order a table of runs.

    Parameters
    ----------
    table : DataFrame
        As ``annotated`` gives it.
    search : str
        Words; each must be part of name, folder, title, network, classes, split, tags or note, in any case of letters.
    statuses, verdicts : sequence of str
        Accepted values; all where empty. A run without a status has the status "none".
    tags : sequence of str
        Each of them is needed.
    sort : str
        Column to order by, rows without a value last; the given order where empty or unknown.
    descending : bool
        Highest first.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> table = pd.DataFrame({"run": ["a", "b"], "tags": [["x"], []], "status": ["", "reference"], "accuracy": [1, 2]})
    >>> select_runs(table, sort="accuracy")["run"].tolist(), select_runs(table, tags=["x"])["run"].tolist()
    (['b', 'a'], ['a'])
    >>> select_runs(table, search="REF")["run"].tolist(), select_runs(table, statuses=["none"])["run"].tolist()
    ([], ['a'])
    """
    if table.empty:
        return table
    searched = [c for c in _SEARCHED if c in table]
    texts = [
        " ".join(" ".join(cell) if isinstance(cell, list) else str(cell) for cell in row).casefold()
        for row in table[searched].itertuples(index=False)
    ]
    words = search.casefold().split()
    kept = np.array([all(word in text for word in words) for text in texts], bool)
    if statuses:
        kept &= table["status"].replace("", "none").isin(list(statuses)).to_numpy()
    if verdicts:
        kept &= table["verdict"].isin(list(verdicts)).to_numpy()
    if tags:
        kept &= np.array([set(tags) <= set(of) for of in table["tags"]], bool)
    chosen = table[kept]
    if sort in chosen and sort != "tags":
        chosen = chosen.sort_values(sort, ascending=not descending, kind="stable", na_position="last")
    return chosen.reset_index(drop=True)
