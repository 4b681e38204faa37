"""Which studies of several runs are there? Folders with a study.json in; their facts and tables, cached, out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import loaders
from her2core.errors import Her2Error, StudyError
from her2core.runs.folder import STUDY

_FIGURES = {
    "unit",
    "group",
    "metric",
    "value",
    "lower_95",
    "upper_95",
    "lowest",
    "highest",
    "seeds",
    "resampling_unit",
    "n_clusters",
    "n",
}
_DIFFERENCES = {
    "unit",
    "group",
    "reference",
    "metric",
    "difference",
    "lower_95",
    "upper_95",
    "p_value_holm",
    "statement",
}
#: What is text; every other column holds numbers.
_TEXT = {
    "unit",
    "group",
    "reference",
    "metric",
    "resampling_unit",
    "statement",
    "network",
    "name",
    "init",
    "frozen",
    "state",
    "reason",
    "processor",
}
#: Kind of study -> its tables, figures and differences first, and what a page reads of each.
KINDS = {
    "leakage": {"leakage": _FIGURES, "gaps": _DIFFERENCES},
    "backbones": {
        "backbones": _FIGURES,
        "differences": _DIFFERENCES,
        "networks": {
            "network",
            "name",
            "init",
            "frozen",
            "px",
            "epochs",
            "runs",
            "asked",
            "state",
            "reason",
            "train_seconds",
        },
        "costs": {"network", "parameters", "flops", "memory_bytes", "latency_ratio", "throughput_ratio", "processor"},
    },
}


@dataclass(frozen=True)
class Study:
    """``facts`` is study.json; ``figures`` and ``differences`` as ``evidence.seeds.SeedFigures`` has them; ``networks``
    and ``costs`` one row a network, of a study of backbones."""

    path: Path
    facts: dict
    figures: pd.DataFrame
    differences: pd.DataFrame
    networks: pd.DataFrame | None = None
    costs: pd.DataFrame | None = None

    @property
    def title(self) -> str:
        return f"{self.facts['study']['title']} ({self.path.name})"


def studies(kind: str) -> tuple[list[Study], list[str]]:
    """Every finished study of a kind of KINDS below the roots of runs, and a sentence for each that cannot be read."""
    found, problems = [], []
    for path in sorted(p for root in loaders.ROOTS for p in root.glob(f"*/{STUDY}")):
        try:
            study = _read(str(path.parent), path.stat().st_mtime, kind)
        except Her2Error as refused:
            problems.append(str(refused))
            continue
        if study is not None:
            found.append(study)
    return found, problems


@st.cache_data(max_entries=16, show_spinner=False)
def _read(folder: str, changed: float, kind: str) -> Study | None:
    path, tables = Path(folder), KINDS[kind]
    try:
        facts = json.loads((path / STUDY).read_text(encoding="utf-8"))
        if facts.get("kind") != kind:
            return None
        frames = [pd.read_csv(path / f"{name}.csv") for name in tables]
        whole = all(columns <= set(frame) for frame, columns in zip(frames, tables.values(), strict=True))
        numbers = all(
            _numeric(frame[sorted(columns - _TEXT)]) for frame, columns in zip(frames, tables.values(), strict=True)
        )
        known = all(set(frames[0]["group"]) <= set(frame["network"]) for frame in frames[2:])
        if not (
            whole
            and numbers
            and known
            and len(frames[0])
            and facts["study"]["title"]
            and facts["study"]["seeds"]
            and facts["scheme"]["meaning"]
        ):
            raise KeyError("columns")
        facts["data"].get("facts")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StudyError(
            f"study.json and {', '.join(tables)} of a study",
            got="something else",
            where=folder,
            fix=f"Make them anew: her2 study {kind} --table.",
        ) from None
    return Study(path, facts, *frames)


def _numeric(frame: pd.DataFrame) -> bool:
    return all(pd.api.types.is_numeric_dtype(column) for _, column in frame.items())
