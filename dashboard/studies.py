"""Which studies are there? Folders with a study.json in; their facts and tables, cached, out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import loaders
from her2core.errors import Her2Error, StudyError
from her2core.runs.folder import STUDY

#: What the page reads of each table of a leakage study.
COLUMNS = {
    "leakage": {"unit", "group", "metric", "value", "low", "high", "lowest", "highest", "seeds", "resampled",
                "clusters", "n"},
    "gaps": {"unit", "group", "reference", "metric", "difference", "low", "high", "statement"},
}  # fmt: skip


@dataclass(frozen=True)
class LeakageStudy:
    """``facts`` is study.json; ``figures`` and ``gaps`` as ``evidence.seeds.SeedFigures`` has them."""

    path: Path
    facts: dict
    figures: pd.DataFrame
    gaps: pd.DataFrame


def leakage_studies() -> tuple[list[LeakageStudy], list[str]]:
    """Every finished leakage study below the roots of runs, and a sentence for each that cannot be read."""
    found, problems = [], []
    for path in sorted(p for root in loaders.ROOTS for p in root.glob(f"*/{STUDY}")):
        try:
            study = _read(str(path.parent), path.stat().st_mtime)
        except Her2Error as refused:
            problems.append(str(refused))
            continue
        if study is not None:
            found.append(study)
    return found, problems


@st.cache_data(max_entries=8, show_spinner=False)
def _read(folder: str, changed: float) -> LeakageStudy | None:
    path = Path(folder)
    try:
        facts = json.loads((path / STUDY).read_text(encoding="utf-8"))
        if facts.get("kind") != "leakage":
            return None
        tables = {name: pd.read_csv(path / f"{name}.csv") for name in COLUMNS}
        whole = all(columns <= set(tables[name]) for name, columns in COLUMNS.items())
        if not (whole and facts["study"]["title"] and facts["network"]["name"] and facts["scheme"]["meaning"]):
            raise KeyError("columns")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StudyError(expected="study.json, leakage.csv and gaps.csv of a leakage study", got="something else",
                         where=folder, fix="Make them anew: her2 study leakage --table.") from None  # fmt: skip
    return LeakageStudy(path, facts, tables["leakage"], tables["gaps"])
