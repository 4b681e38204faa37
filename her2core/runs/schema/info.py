"""Schemas of run.json, config.yaml, events.jsonl and evaluation/cost.json: how a run came about and what it costs."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator, model_validator

from her2core.runs.schema.fields import Count, Number, Plain, Section, Text, Words, check_fields

_Quartiles = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Git(Section):
    """Revision of the program."""

    commit: Text | None = None
    changed_files: bool | None = None


class Info(Section):
    """run.json; fields that only reports name are optional, and of the right kind where they stand.

    Examples
    --------
    >>> "warnings" in Info.model_fields
    True
    """

    schema_version: Annotated[int, Field(ge=1, le=10_000)]
    status: Words
    warnings: Annotated[list[Text], Field(max_length=200)] = Field(default_factory=list)
    weights_released: bool = True
    command: Text | None = None
    created: datetime | None = None
    python: Text | None = None
    git: Git | None = None
    packages: dict[Words, Text | None] = Field(default_factory=dict)
    hardware: dict[Words, Plain] = Field(default_factory=dict)
    config_hash: Text | None = None
    manifest_hash: Text | None = None
    split_hash: Text | None = None
    seed: int | None = None
    start: dict[Words, Any] = Field(default_factory=dict)
    parameters: Count | None = None
    best_epoch: Count = 0
    epochs_trained: Count | None = None
    val_balanced_accuracy: Number | None = None
    val_loss: Number | None = None
    frozen: Text = ""
    chosen: Number = 0
    tried: Annotated[list[Any], Field(max_length=10_000)] = Field(default_factory=list)

    @field_validator("created", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class Event(Section):
    """One line of events.jsonl; what belongs to the kind of event is kept as it is."""

    event: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    time: datetime

    @field_validator("time", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class Split(Section):
    """Requested split of a configuration."""

    unit: Words | None = None
    fractions: Annotated[list[Number], Field(max_length=10)] = Field(default_factory=list)
    seed: int | None = None


class Config(Section):
    """config.yaml, as far as reports and the search for a run's images read it."""

    manifest: Annotated[str, StringConstraints(min_length=1, max_length=4_000, pattern=r"^[^\x00]+$")]
    split: Split | None = None
    train: dict[Words, Any] | None = None
    hardware: dict[Words, Any] | None = None


class Cost(Section):
    """evaluation/cost.json."""

    parameters: Count
    flops: Count
    memory_bytes: Count | None = None
    weights_bytes: Count | None = None
    latency_ms: Number | None = None
    latency_quartiles_ms: _Quartiles | None = None
    latency_ratio: Number | None = None
    latency_ratio_quartiles: _Quartiles | None = None
    throughput_per_s: Number | None = None
    throughput_ratio: Number | None = None
    throughput_batch: Count | None = None
    px: Count | None = None
    rounds: Count | None = None
    threads: Count | None = None
    precision: Text | None = None
    torch: Text | None = None
    measured: Text | None = None
    flops_definition: Text | None = None
    memory_definition: Text | None = None
    latency_ratio_definition: Text | None = None
    hardware: dict[Words, Plain] | None = None

    @model_validator(mode="after")
    def _timed(self) -> Cost:
        if self.latency_ratio is not None and self.latency_ms is None:
            raise ValueError("latency_ratio should come with latency_ms")
        return self


def check_info(value: dict[str, Any], *, where: str | os.PathLike[str]) -> None:
    """Refuse a run.json with a field of another kind or out of range.

    Parameters
    ----------
    value : dict
        Content of run.json.
    where : path
        The file, for the message.

    Raises
    ------
    RunError
        Naming the field.

    Examples
    --------
    >>> check_info({"schema_version": 1, "status": "finished", "warnings": ["few patients"]}, where="run.json")
    """
    check_fields(Info, value, where=where, expected="a run.json with fields of the right kind")


def check_cost(value: dict[str, Any], *, where: str | os.PathLike[str]) -> None:
    """Refuse a cost.json with a field of another kind or out of range.

    Parameters
    ----------
    value : dict
        Content of evaluation/cost.json.
    where : path
        The file, for the message.

    Raises
    ------
    RunError
        Naming the field.

    Examples
    --------
    >>> check_cost({"parameters": 25108163, "flops": 3208903680}, where="cost.json")
    """
    check_fields(Cost, value, where=where, expected="a cost.json with fields of the right kind")


def check_config(value: dict[str, Any], *, where: str | os.PathLike[str]) -> None:
    """Refuse a run's config.yaml with a field of another kind or out of range.

    Parameters
    ----------
    value : dict
        Content of config.yaml.
    where : path
        The file, for the message.

    Raises
    ------
    RunError
        Naming the field.

    Examples
    --------
    >>> check_config({"manifest": "data/demo.parquet", "split": {"fractions": [0.6, 0.2, 0.2]}}, where="config.yaml")
    """
    check_fields(Config, value, where=where, expected="a config.yaml with fields of the right kind")


def check_event(value: dict[str, Any], *, where: str | os.PathLike[str]) -> None:
    """Refuse a line of events.jsonl that names no event or no time.

    Parameters
    ----------
    value : dict
        The line.
    where : path
        The file, for the message.

    Raises
    ------
    RunError
        Naming the field.

    Examples
    --------
    >>> check_event({"time": "2026-11-23T14:46:16+00:00", "event": "started"}, where="events.jsonl")
    """
    check_fields(Event, value, where=where, expected="an event with its time")
