"""Result tables of a finished study: figures over seeds, paired differences, networks and their costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import RunError, StudyError
from her2core.runs.files import json_object, read_run_json, read_run_table
from her2core.runs.folder import STUDY
from her2core.runs.schema.study import STUDY_TABLES, StudyKind, check_study_info, check_study_tables
from her2core.runs.schema.tables import TEXT_COLUMNS


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
        One row a network of a backbone study; empty for others.
    folds : pandas.DataFrame
        One row a fold of cross-validation: whom it tested; empty for others.
    """

    path: Path
    facts: dict[str, Any]
    figures: pd.DataFrame
    differences: pd.DataFrame
    networks: pd.DataFrame
    costs: pd.DataFrame
    folds: pd.DataFrame

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
    kind : {"leakage", "backbones", "cv"}
        The kind of study wanted.

    Returns
    -------
    StudyTables or None
        None where the folder holds a study of another kind.

    Raises
    ------
    StudyError
        Naming the file and the field or column that is missing, of another kind or out of range.

    Examples
    --------
    >>> read_study_tables(Path("models/study/leakage"), "leakage").title
    'Leakage gap on the synthetic cohort (leakage)'
    """
    fix = f"Write it again: her2 study {kind} --table."
    try:
        facts = json_object(read_run_json(folder, STUDY), folder / STUDY)
        check_study_info(facts, where=folder / STUDY)
        if facts["kind"] != kind:
            return None
        read = {name: read_run_table(folder, f"{name}.csv", text=TEXT_COLUMNS) for name in STUDY_TABLES[kind]}
        figures, differences, *others = check_study_tables(read, kind, classes=facts["classes"], where=folder, fix=fix)
    except RunError as broken:
        raise StudyError(broken.expected, got=broken.got, where=broken.where, fix=fix) from None
    further = {name: pd.DataFrame() for name in ("networks", "costs", "folds")}
    further |= dict(zip(list(STUDY_TABLES[kind])[2:], others, strict=True))
    return StudyTables(folder, facts, figures, differences, **further)
