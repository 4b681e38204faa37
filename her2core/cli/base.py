"""What do all commands share? The ``her2`` group itself, its common options, and how an answer is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from her2core import __version__
from her2core.errors import ConfigError

MODELS, RUNS = Path("models"), Path("runs")
as_json = click.option("--json", "as_json", is_flag=True, help="Answer as one JSON document.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a field; may be repeated."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="her2core")
def cli() -> None:
    """HER2 status from H&E patches, with evidence that can be checked. Research use only."""


def table_options(command):
    """What a command takes that reads any tool's table of predictions."""
    for option in (
        click.option("--classes", help="Of a table: its classes in their order, separated by commas."),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="ROLE=NAME",
            help="Of a table: which column is the label, patch_id, patient_id, slide_id, site or split.",
        ),
    ):
        command = option(command)
    return command


def read_table_of(source: Path, columns: tuple[str, ...], classes: str | None):
    """The predictions of a table; None where ``source`` is no file, and then the options must be left out."""
    if source.is_file():
        from her2core.evidence.foreign_source import predictions_of_table

        named = [c.strip() for c in classes.split(",")] if classes else None
        return predictions_of_table(source.read_bytes(), name=source.name, columns=pairs(columns), classes=named)
    if columns or classes:
        got = "a folder" if source.is_dir() else "no such file"
        raise ConfigError(
            "a table of predictions with --column or --classes",
            got=got,
            where=str(source),
            fix="Leave these options out.",
        )
    return None


def answer(wants_json: bool, value: Any, text: str) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, default=str) if wants_json else text)


def pairs(words, *, parse: bool = False) -> dict[str, Any]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError("NAME=VALUE", got=repr(word), where="options", fix="Put an equals sign between.")
        try:
            pairs[name] = yaml.safe_load(value) if parse else value
        except yaml.YAMLError:
            raise ConfigError(
                "a YAML value", got=repr(value), where=name, fix="Quote it, or close its brackets."
            ) from None
    return pairs
