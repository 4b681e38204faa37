"""The command group, and the options and helpers that commands share."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from her2core import __version__
from her2core.errors import ConfigError, Her2Error

MODELS, RUNS = Path("models"), Path("runs")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON document.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a field of the configuration; may be repeated."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="her2core")
def cli() -> None:
    """HER2 status from H&E patches, with evidence that can be checked. Research use only."""


#: Errors of the operating system: what was found, and what to do.
_SYSTEM = {
    errno.ENOSPC: ("a full disk", "Free space, or choose another place."),
    errno.EDQUOT: ("a quota that is used up", "Free space, or choose another place."),
    errno.EFBIG: ("a file larger than allowed here", "Choose another place, or raise the limit (ulimit -f)."),
    errno.EROFS: ("a read-only disk", "Choose a place that can be written."),
    errno.EACCES: ("no permission", "Change its permissions, or choose another place."),
    errno.EPERM: ("no permission", "Change its permissions, or choose another place."),
    errno.ENOENT: ("no such file or folder, or one that vanished", "Check the name, and whether it still exists."),
    errno.ENOTDIR: ("a file where a folder is needed", "Choose another name."),
    errno.EISDIR: ("a folder where a file is needed", "Choose another name."),
    errno.EEXIST: ("a file that exists already", "Choose another name."),
    errno.ENOTEMPTY: ("a folder that is not empty", "Choose another name."),
    errno.ENAMETOOLONG: ("a name that is too long", "Choose a shorter name."),
    errno.EMFILE: ("too many open files", "Raise the limit (ulimit -n), or close other programs."),
    errno.EIO: ("a fault of the disk", "Check the disk or the network drive."),
    errno.ESTALE: ("a network drive that was disconnected", "Connect it again."),
}


def system_error(error: OSError, place: object = None, *, also: str = "") -> Her2Error:
    """What the operating system refused, as an error that a person can correct.

    Parameters
    ----------
    error : OSError
        As raised.
    place : path, optional
        The file concerned, where the error does not name one.
    also : str, optional
        A sentence to end with.

    Returns
    -------
    Her2Error

    Examples
    --------
    >>> print(system_error(OSError(errno.ENOSPC, "No space left on device"), "answers.csv"))
    Expected a file or folder that can be used, but got a full disk (answers.csv). Free space, or choose another place.
    """
    from her2core.io.text import clean_text, printable_path

    named = error.filename if isinstance(error.filename, (str, bytes)) else place
    got, fix = _SYSTEM.get(error.errno or 0, (f"an error of the system ({clean_text(error)})", "Check the place."))
    where = (
        None if named is None else printable_path(named.decode(errors="replace") if isinstance(named, bytes) else named)
    )
    return Her2Error("a file or folder that can be used", got=got, where=where, fix=fix + also)


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
    said = json.dumps(value, ensure_ascii=False, default=str) if wants_json else text
    # A name that is not UTF-8 must not lose the answers; lone surrogates cannot be printed.
    click.echo(said.encode("utf-8", "backslashreplace").decode())


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


#: ``--engine`` of every command that predicts.
engine_option = click.option(
    "--engine", help="Forward pass: auto (default), torch, openvino, ..., or the address of a server (her2 serve)."
)
