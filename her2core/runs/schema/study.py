"""Schemas of a study's files: study.json and the tables over seeds, networks and costs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from her2core.errors import RunError
from her2core.runs.schema.card import Facts, Scheme
from her2core.runs.schema.fields import Section, Text, Words, check_fields
from her2core.runs.schema.table_checks import check_table
from her2core.runs.schema.tables import TableSchema

StudyKind = Literal["leakage", "backbones", "cv"]
#: Metrics that a study gives for each unit and group, as ``evidence.seeds`` computes them.
STUDY_METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "macro_auroc")
_INTERVAL = ("lower_95", "upper_95")
_SPREAD = ("lowest", "highest", "seeds", "resampling_unit", "n_clusters", "n", "note")
_FIGURES = TableSchema(
    ("unit", "group", "metric", "class", "value", *_INTERVAL, *_SPREAD),
    ("unit", "group", "metric", "class"),
    rows=True,
    finite=("seeds", "n_clusters", "n"),
)
_DIFFERENCES = TableSchema(
    (
        "unit",
        "group",
        "reference",
        "metric",
        "role",
        "difference",
        *_INTERVAL,
        "detectable_difference",
        "p_value_holm",
        "note",
        "statement",
    ),
    ("unit", "group", "reference", "metric"),
)
_NETWORKS = TableSchema(
    ("network", "name", "init", "frozen", "px", "epochs", "runs", "asked", "state", "reason", "train_seconds"),
    ("network",),
    rows=True,
    finite=("px", "runs", "asked"),
)
_COSTS = TableSchema(
    ("network", "parameters", "flops", "memory_bytes", "latency_ratio", "throughput_ratio", "processor"),
    ("network",),
    rows=True,
)
_FOLDS = TableSchema(
    ("group", "seed", "fold", "held_out", "sites", "patients", "patches", "temperature"),
    ("group", "seed", "fold"),
    rows=True,
    finite=("seed", "fold", "sites", "patients", "patches", "temperature"),
)
#: Kind of study -> its tables; figures and differences come first.
STUDY_TABLES: dict[StudyKind, dict[str, TableSchema]] = {
    "leakage": {"leakage": _FIGURES, "gaps": _DIFFERENCES},
    "cv": {"cv": _FIGURES, "differences": _DIFFERENCES, "folds": _FOLDS},
    "backbones": {"backbones": _FIGURES, "differences": _DIFFERENCES, "networks": _NETWORKS, "costs": _COSTS},
}


class _Network(Section):
    name: Words


class _Data(Section):
    facts: Facts | None = None


class _Labelled(Section):
    label: Words


class _Plan(Section):
    title: Words
    seeds: Annotated[list[int], Field(min_length=1, max_length=1_000)]
    reference: Words | None = None
    networks: Annotated[list[_Labelled], Field(max_length=1_000)] = Field(default_factory=list)


class StudyInfo(Section):
    """study.json: what was planned, and the data, network and scheme that the runs share.

    Examples
    --------
    >>> "scheme" in StudyInfo.model_fields
    True
    """

    kind: StudyKind
    study: _Plan
    classes: Annotated[list[Words], Field(min_length=2, max_length=1_000)]
    scheme: Scheme
    data: _Data
    network: _Network | None = None
    warnings: Annotated[list[Text], Field(max_length=200)] = Field(default_factory=list)
    limits: Annotated[list[Text], Field(max_length=200)] = Field(default_factory=list)
    not_by_patient: Text = ""

    @model_validator(mode="after")
    def _named(self) -> StudyInfo:
        if self.kind == "leakage" and self.network is None:
            raise ValueError("a study of leakage should have a field 'network'")
        if self.kind in ("backbones", "cv") and self.study.reference is None:
            raise ValueError("a study of networks should have a field 'study.reference'")
        if self.kind == "cv" and not self.study.networks:
            raise ValueError("a study of cross-validation should have a field 'study.networks'")
        return self


def check_study_info(value: dict[str, Any], *, where: str | os.PathLike[str]) -> None:
    """Refuse a study.json with a field that is missing, of another kind or out of range.

    Parameters
    ----------
    value : dict
        Content of study.json.
    where : path
        The file, for the message.

    Raises
    ------
    RunError
        Naming the field.

    Examples
    --------
    >>> check_study_info({"kind": "leakage"}, where="study.json")
    Traceback (most recent call last):
        ...
    her2core.errors.RunError: Expected a study.json with all its fields, but got no field 'study' (study.json). \
Copy the study again from its source.
    """
    fix = "Copy the study again from its source."
    check_fields(StudyInfo, value, where=where, expected="a study.json with all its fields", fix=fix)


def check_study_tables(
    tables: Mapping[str, pd.DataFrame],
    kind: StudyKind,
    *,
    classes: Sequence[str],
    where: str | os.PathLike[str],
    fix: str,
) -> list[pd.DataFrame]:
    """The tables of a study with the kinds of their schemas, in the order of ``STUDY_TABLES``.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By name, as they were read.
    kind : {"leakage", "backbones", "cv"}
    classes : sequence of str
        Of the study's runs.
    where : path
        The study's folder, for messages.
    fix : str
        What to do about a damaged table.

    Returns
    -------
    list of DataFrame

    Raises
    ------
    RunError
        Naming the table and the column, metric or network at fault.
    """
    checked = []
    for name, schema in STUDY_TABLES[kind].items():
        file = os.path.join(where, f"{name}.csv")
        checked.append(check_table(tables[name], schema, where=file, classes=classes, fix=fix))
    figures, _, *others = checked
    groups = figures["group"].unique()
    for unit in figures["unit"].unique():
        given = figures[figures["unit"] == unit].set_index(["group", "metric"]).index
        lacking = [f"{m} of {g} by {unit}" for g in groups for m in STUDY_METRICS if (g, m) not in given]
        if lacking:
            raise RunError(lacking[0], got="no such row", where=os.path.join(where, f"{kind}.csv"), fix=fix)
    for name, frame in zip(list(STUDY_TABLES[kind])[2:], others, strict=True):
        described = frame["group" if kind == "cv" else "network"]
        if missing := sorted(set(groups) - set(described)):
            raise RunError(f"a row of {missing[0]}", got="none", where=os.path.join(where, f"{name}.csv"), fix=fix)
    return checked
