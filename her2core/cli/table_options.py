"""Options of commands that read any tool's table of predictions: columns, scores, labels, classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from her2core.cli.base import pairs
from her2core.errors import ConfigError

if TYPE_CHECKING:
    from her2core.evidence.predictions import Predictions


@dataclass(frozen=True)
class TableOptions:
    """What the options of ``table_options`` state about a table of predictions.

    Parameters
    ----------
    columns : dict of str
        Role -> column.
    scores : dict of str
        Class -> column of its score.
    labels : dict of str
        Spelling -> class.
    classes : list of str, optional
        All classes in their order.
    kind : str
        "probabilities", "logits" or "auto".
    """

    columns: dict[str, str] = field(default_factory=dict)
    scores: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    classes: list[str] | None = None
    kind: str = "auto"


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that reads any tool's table of predictions the options that say what is in it.

    Parameters
    ----------
    command : callable
        Takes ``table``, a TableOptions.

    Returns
    -------
    callable
        The command with the options --column, --score, --label, --classes and --kind.
    """

    @functools.wraps(command)
    def packed(
        *args: Any,
        columns: tuple[str, ...],
        scores: tuple[str, ...],
        labels: tuple[str, ...],
        classes: str | None,
        kind: str,
        **others: Any,
    ) -> Any:
        named = [c.strip() for c in classes.split(",")] if classes else None
        return command(*args, table=TableOptions(pairs(columns), pairs(scores), pairs(labels), named, kind), **others)

    for option in reversed(
        (
            click.option(
                "--column",
                "columns",
                multiple=True,
                metavar="ROLE=NAME",
                help="Of a table: the column that is label, predicted, patch_id, patient_id, slide_id, site or split "
                "(split= for none).",
            ),
            click.option(
                "--score",
                "scores",
                multiple=True,
                metavar="CLASS=COLUMN",
                help="Of a table: the column of a class's probability or logit; of two classes one is enough.",
            ),
            click.option(
                "--label",
                "labels",
                multiple=True,
                metavar="SPELLING=CLASS",
                help="Of a table: the class that a spelling in the label columns means.",
            ),
            click.option("--classes", help="Of a table: all classes in their order, separated by commas."),
            click.option(
                "--kind",
                type=click.Choice(["probabilities", "logits", "auto"]),
                default="auto",
                show_default=True,
                help="Of a table: what its scores are.",
            ),
        )
    ):
        packed = option(packed)
    return packed


def read_table_of(source: Path, table: TableOptions) -> Predictions | None:
    """Read the predictions in a table.

    Parameters
    ----------
    source : Path
        A file, or a run folder.
    table : TableOptions
        What the file's columns are.

    Returns
    -------
    Predictions or None
        None for a folder.

    Raises
    ------
    TableError
        For what is no table, and for what cannot be read in it.
    ConfigError
        For options of a table where ``source`` is none.
    """
    if source.is_file():
        from her2core.evidence.predictions import read_predictions

        return read_predictions(source, name=source.name, **vars(table))
    if table != TableOptions():
        got = "a folder" if source.is_dir() else "no such file"
        raise ConfigError(
            "a table of predictions with --column, --score, --label, --classes or --kind",
            got=got,
            where=str(source),
            fix="Leave these options out.",
        )
    return None
