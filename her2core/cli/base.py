"""The command group, and the options and helpers that commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from her2core import __version__
from her2core.errors import ConfigError

MODELS, RUNS = Path("models"), Path("runs")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON document.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a field of the configuration; may be repeated."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="her2core")
def cli() -> None:
    """HER2 status from H&E patches, with evidence that can be checked. Research use only."""


def answer(wants_json: bool, value: Any, text: str) -> None:
    """Print a command's answer.

    Parameters
    ----------
    wants_json : bool
        Print ``value`` as one JSON document instead of ``text``.
    value : object
        JSON-ready.
    text : str
        The same for a person.
    """
    click.echo(json.dumps(value, ensure_ascii=False, default=str) if wants_json else text)


def pairs(words: Iterable[str], *, parse: bool = False) -> dict[str, Any]:
    """Split NAME=VALUE options.

    Parameters
    ----------
    words : iterable of str
        As given on the command line.
    parse : bool, optional
        Read the values as YAML.

    Returns
    -------
    dict

    Raises
    ------
    ConfigError
        For a word without an equals sign, or a value that is no YAML.

    Examples
    --------
    >>> pairs(["mpp=0.5", "sections=[C2, C3]"], parse=True)
    {'mpp': 0.5, 'sections': ['C2', 'C3']}
    """
    import yaml

    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError("NAME=VALUE", got=repr(word), where="options", fix="Put an equals sign between.")
        try:
            found[name] = yaml.safe_load(value) if parse else value
        except yaml.YAMLError:
            raise ConfigError(
                "a YAML value", got=repr(value), where=name, fix="Quote it, or close its brackets."
            ) from None
    return found


class LazyChoice(click.Choice):
    """A choice whose values are imported when they are needed, so that other commands' help stays fast.

    Parameters
    ----------
    load : callable
        Returns the values.

    Examples
    --------
    >>> list(LazyChoice(lambda: ["mean", "majority"]).choices)
    ['mean', 'majority']
    """

    def __init__(self, load: Callable[[], Sequence[str]]) -> None:
        self._load = load
        self.case_sensitive = True

    @property
    def choices(self) -> Sequence[str]:  # type: ignore[override]  # click sets an attribute; here it is computed
        """The values."""
        return tuple(self._load())
