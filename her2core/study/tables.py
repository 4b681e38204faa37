"""Result tables of a finished study: figures over seeds, paired differences, networks and their costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from her2core.errors import StudyError
from her2core.runs.folder import STUDY

StudyKind = Literal["leakage", "backbones"]

_FIGURES = {"unit", "group", "metric", "value", "lower_95", "upper_95", "lowest", "highest", "seeds"} | {
    "resampling_unit",
    "n_clusters",
    "n",
}
_DIFFERENCES = {"unit", "group", "reference", "metric", "difference", "lower_95", "upper_95"} | {
    "p_value_holm",
    "statement",
}
_NETWORKS = {"network", "name", "init", "frozen", "px", "epochs", "runs", "asked", "state", "reason", "train_seconds"}
_COSTS = {"network", "parameters", "flops", "memory_bytes", "latency_ratio", "throughput_ratio", "processor"}
#: Columns of text; every other required column holds numbers.
_TEXT = {"unit", "group", "reference", "metric", "resampling_unit", "statement"} | {
    "network",
    "name",
    "init",
    "frozen",
    "state",
    "reason",
    "processor",
}
#: Kind of study -> its tables and the columns that each must have; figures and differences come first.
TABLES: dict[StudyKind, dict[str, set[str]]] = {
    "leakage": {"leakage": _FIGURES, "gaps": _DIFFERENCES},
    "backbones": {"backbones": _FIGURES, "differences": _DIFFERENCES, "networks": _NETWORKS, "costs": _COSTS},
}


@dataclass(frozen=True)
class StudyTables:
    """A finished study as its folder holds it. Get one with ``read_study_tables``.

    Attributes
    ----------
    path : Path
        The study's folder.
    facts : dict
        Content of study.json.
    figures, differences : pandas.DataFrame
        As in ``her2core.evidence.seeds.SeedSummary``.
    networks, costs : pandas.DataFrame
        One row a network; empty for a study of leakage.
    """

    path: Path
    facts: dict[str, Any]
    figures: pd.DataFrame
    differences: pd.DataFrame
    networks: pd.DataFrame
    costs: pd.DataFrame

    @property
    def title(self) -> str:
        """The study's title with the name of its folder."""
        return f"{self.facts['study']['title']} ({self.path.name})"

    @property
    def is_synthetic(self) -> bool:
        """Whether the study's patches were drawn by a program."""
        return bool((self.facts["data"].get("facts") or {}).get("synthetic"))


def read_study_tables(folder: Path, kind: StudyKind) -> StudyTables | None:
    """Read the tables of a study.

    Parameters
    ----------
    folder : Path
        A folder with study.json.
    kind : {"leakage", "backbones"}
        The kind of study wanted.

    Returns
    -------
    StudyTables or None
        None where the folder holds a study of another kind.

    Raises
    ------
    StudyError
        A table is missing, lacks a column, or holds text where numbers are needed.
    """
    required = TABLES[kind]
    try:
        facts = json.loads((folder / STUDY).read_text(encoding="utf-8"))
        if facts.get("kind") != kind:
            return None
        frames = [pd.read_csv(folder / f"{name}.csv") for name in required]
        for frame, columns in zip(frames, required.values(), strict=True):
            _check_columns(frame, columns)
        if not all(set(frames[0]["group"]) <= set(frame["network"]) for frame in frames[2:]):
            raise KeyError("network")
        if not (len(frames[0]) and facts["study"]["title"] and facts["study"]["seeds"] and facts["scheme"]["meaning"]):
            raise KeyError("study")
        networks, costs = frames[2:] or [pd.DataFrame(columns=sorted(c)) for c in (_NETWORKS, _COSTS)]
        study = StudyTables(folder, facts, frames[0], frames[1], networks, costs)
        _ = study.is_synthetic  # an AttributeError here is a broken study.json
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StudyError(
            f"study.json and the tables {', '.join(required)} of a study",
            got="missing, incomplete or unreadable files",
            where=folder,
            fix=f"Write them again: her2 study {kind} --table.",
        ) from None
    return study


def _check_columns(frame: pd.DataFrame, columns: set[str]) -> None:
    """Raise KeyError for a column that is missing or, where numbers are needed, holds text."""
    for name in sorted(columns):
        if name not in _TEXT and not pd.api.types.is_numeric_dtype(frame[name]):
            raise KeyError(name)
        _ = frame[name]
