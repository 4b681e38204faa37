"""Metrics and confusion matrices of the single trainings of a study, read from its run folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from her2core.errors import RunError
from her2core.runs.files import AGAIN, read_run_table
from her2core.runs.schema.tables import TEXT_COLUMNS

#: Name of a run's folder in a study: network and seed.
_RUN = re.compile(r"(.+)-seed(\d+)")
_COLUMNS = {"metrics": ("unit", "metric", "class", "value"), "confusion": ("unit", "true", "predicted", "count")}


@dataclass(frozen=True)
class SeedTables:
    """What each training of a study reached on the test part.

    Attributes
    ----------
    metrics : pandas.DataFrame
        ``group``, ``seed``, ``unit``, ``metric``, ``class``, ``value``.
    confusion : pandas.DataFrame
        ``group``, ``unit``, ``true``, ``predicted``, ``count`` (sum over the trainings), ``proportion_of_true``.
    """

    metrics: pd.DataFrame
    confusion: pd.DataFrame


def seed_tables(folder: Path, networks: Sequence[str]) -> SeedTables:
    """Read the evaluation of every finished training of some networks.

    Parameters
    ----------
    folder : Path
        A study's folder.
    networks : sequence of str
        Names of the study's networks; folders of others are passed over.

    Returns
    -------
    SeedTables
        In the order of ``networks``; a network without a run has no rows.

    Raises
    ------
    RunError
        For a table that is missing, damaged or lacks a column.

    Examples
    --------
    >>> found = seed_tables(Path("models/study/backbones-demo"), ["resnet50"])
    >>> sorted(found.metrics["seed"].unique().tolist())
    [0, 1, 2, 3, 4]
    """
    read: dict[str, list[pd.DataFrame]] = {"metrics": [], "confusion": []}
    named = [(match, path) for path in sorted(folder.iterdir()) if (match := _RUN.fullmatch(path.name))]
    for network in networks:
        for match, path in named:
            if match[1] != network or not (path / "evaluation").is_dir():
                continue
            for name, frames in read.items():
                frames.append(_table(path, name).assign(group=network, seed=int(match[2])))
    metrics, confusion = (
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*_COLUMNS[name], "group", "seed"])
        for name, frames in read.items()
    )
    metrics["class"] = metrics["class"].fillna("")
    keys = ["group", "unit", "true", "predicted"]
    summed = confusion.groupby(keys, sort=False, as_index=False)["count"].sum()
    rows = summed.groupby(keys[:3])["count"].transform("sum")
    return SeedTables(metrics, summed.assign(proportion_of_true=summed["count"] / rows.where(rows > 0)))


def _table(run: Path, name: str) -> pd.DataFrame:
    frame = read_run_table(run / "evaluation", f"{name}.csv", text=TEXT_COLUMNS)
    wanted = _COLUMNS[name]
    if missing := [column for column in wanted if column not in frame]:
        raise RunError(
            f"the columns {', '.join(wanted)}",
            got=f"none called {', '.join(missing)}",
            where=run / "evaluation" / f"{name}.csv",
            fix=AGAIN,
        )
    return frame[list(wanted)]
