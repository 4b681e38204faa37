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


def answer(wants_json: bool, value: Any, text: str) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, default=str) if wants_json else text)


def pairs(words, *, parse: bool = False) -> dict[str, Any]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(expected="NAME=VALUE", got=repr(word), where="options", fix="Put an equals sign between.")
        try:
            pairs[name] = yaml.safe_load(value) if parse else value
        except yaml.YAMLError:
            raise ConfigError(
                expected="a YAML value", got=repr(value), where=name, fix="Quote it, or close its brackets."
            ) from None
    return pairs
