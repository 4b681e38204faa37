"""JSON and YAML from outside as plain values: strict, without what a few bytes can blow up or what names code.

``json`` and ``yaml`` recurse as deeply as a file nests, take NaN for a number and integers of any length; a YAML alias
can repeat a value a billion times. All of these are one ValueError here.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from her2core.io.text import clean_text

#: Most digits of an integer; 64 bits hold 19.
_DIGITS = 19


def parse_json(content: bytes) -> Any:
    """Value of strict JSON in UTF-8.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    object

    Raises
    ------
    ValueError
        For anything else, NaN, deeply nested values and huge integers included; its text is one short line.

    Examples
    --------
    >>> parse_json(b'{"px": 112}')
    {'px': 112}
    >>> parse_json(b"[NaN]")
    Traceback (most recent call last):
        ...
    ValueError: NaN, which is no JSON number
    """
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_no_number, parse_int=_whole_number)
    except RecursionError:
        reason = "deeply nested values"
    except ValueError as broken:
        reason = clean_text((str(broken).splitlines() or ["another content"])[0], 120)
    raise ValueError(reason)


def parse_yaml(content: bytes | str) -> Any:
    """Value of YAML in UTF-8, of plain values only and without aliases.

    Parameters
    ----------
    content : bytes or str

    Returns
    -------
    object

    Raises
    ------
    ValueError
        For anything else, aliases, tags that name code and deeply nested values included; its text is one short line.

    Examples
    --------
    >>> parse_yaml("input: {px: 112}")
    {'input': {'px': 112}}
    >>> parse_yaml("a: &x [1, 2]\\nb: *x")
    Traceback (most recent call last):
        ...
    ValueError: an alias, which can stand for any amount of data
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        return yaml.load(text, Loader=_NoAliases)  # a SafeLoader
    except RecursionError:
        reason = "deeply nested values"
    # Tags whose value does not fit are other errors to PyYAML: KeyError for `!!bool x`, AttributeError for dates.
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError) as broken:
        reason = clean_text((str(broken).splitlines() or ["another content"])[0], 120)
    raise ValueError(reason)


class _NoAliases(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias, which can stand for any amount of data")
        return super().compose_node(parent, index)


def _no_number(name: str) -> float:
    raise ValueError(f"{name}, which is no JSON number")


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > _DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)
