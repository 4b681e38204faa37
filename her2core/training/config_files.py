"""Fields of a configuration as its YAML file and ``--set`` give them, before they are validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from her2core.errors import ConfigError
from her2core.io.documents import parse_yaml


def read_fields(path: Path, *, example: str) -> dict[str, Any]:
    """Read fields and values of a YAML file.

    Parameters
    ----------
    path : Path
        The file.
    example : str
        A file that shows the format, for messages.

    Returns
    -------
    dict

    Raises
    ------
    ConfigError
        For a file that is missing, no YAML, or does not hold fields and values.

    Examples
    --------
    >>> read_fields(Path("configs/own.yaml"), example="")["name"]
    'own'
    """
    if not path.is_file():
        raise ConfigError("a YAML file", got="no such file", where=path, fix=f"{example} is an example.")
    try:
        content = parse_yaml(path.read_bytes()) or {}
    except ValueError as broken:
        raise ConfigError("valid YAML", got=str(broken), where=path, fix="Correct that line.") from None
    if not isinstance(content, dict):
        raise ConfigError("fields and values", got=type(content).__name__, where=path, fix=f"{example} is an example.")
    return content


def apply_override(content: dict[str, Any], override: str) -> str:
    """Write one ``a.b=c`` into the content.

    Parameters
    ----------
    content : dict
        Changed in place.
    override : str
        The value is read as YAML.

    Returns
    -------
    str
        The first part of the name.

    Raises
    ------
    ConfigError
        For a word without an equals sign, a name through a value, or a value that is no YAML.

    Examples
    --------
    >>> content = {"train": {"lr": 1}}
    >>> apply_override(content, "train.epochs=5"), content
    ('train', {'train': {'lr': 1, 'epochs': 5}})
    """
    name, equals, value = override.partition("=")
    if not equals or not name:
        raise ConfigError("--set a.b=c", got=repr(override), where="--set", fix="Put an equals sign between.")
    *parents, last = name.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ConfigError(f"a section `{parent}`", got="a value", where=f"--set {name}", fix="Check the name.")
    try:
        content[last] = parse_yaml(value)
    except ValueError:
        raise ConfigError(
            "a YAML value", got=repr(value), where=f"--set {name}", fix="Quote it, or close its brackets."
        ) from None
    return name.partition(".")[0]
