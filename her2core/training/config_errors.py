"""Configuration errors in one sentence: the field, what it accepts, what was given, and near matches.

Pydantic reports a path into the content, an error code and an English fragment. What a field accepts is read from the
model itself, so that a message cannot disagree with the rule.
"""

from __future__ import annotations

import difflib
import os
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from her2core.errors import ConfigError

_LONGEST = 80
#: How a title begins, and what a limit contains, that hold for a synthetic cohort alone.
_SYNTHETIC_TITLE, _SYNTHETIC_LIMIT = "synthetic", "synthetic patches only"


def refuse_synthetic_claims(
    title: str, limits: Sequence[str], facts: Mapping[str, Any], *, where: str | os.PathLike[str]
) -> None:
    """Refuse a title or limit about a synthetic cohort where the data are none, as in an edited copy of the demo's.

    Parameters
    ----------
    title : str
        Of the configuration.
    limits : sequence of str
        Likewise.
    facts : mapping
        Of the manifest; ``synthetic`` is true for the synthetic cohort.
    where : path
        The manifest.

    Raises
    ------
    ConfigError
        Naming the text.

    Examples
    --------
    >>> refuse_synthetic_claims("Synthetic demo cohort", (), {"synthetic": True}, where="m.parquet")
    """
    claims = [title] if title.lower().startswith(_SYNTHETIC_TITLE) else []
    claims += [limit for limit in limits if _SYNTHETIC_LIMIT in limit.lower()]
    if claims and not facts.get("synthetic"):
        raise ConfigError(
            "title and limits about the data of this manifest, which are not synthetic",
            got=repr(claims[0]),
            where=str(where),
            fix="Write a title and limits of your own, or leave both out.",
        )


def config_error(
    refused: ValidationError, model: type[BaseModel], *, where: str, fix: str = "Correct this field."
) -> ConfigError:
    """Turn the first error of a validation into a ConfigError.

    Parameters
    ----------
    refused : ValidationError
        What pydantic raised for ``model``.
    model : type of BaseModel
        The configuration that was validated.
    where : str
        The file, or another name for the content.
    fix : str, optional
        What to do where neither a near match nor the field's description says it.

    Returns
    -------
    ConfigError

    Examples
    --------
    >>> from her2core.training.config import RunConfig
    >>> try:
    ...     RunConfig.model_validate({"name": "own", "manifest": "own.csv", "split": {"unit": "patients"}})
    ... except ValidationError as refused:
    ...     print(config_error(refused, RunConfig, where="own.yaml").fix)
    Did you mean 'patient'?
    """
    errors = refused.errors()
    first = errors[0]
    fields, field, section = _locate(model, first["loc"])
    name = ".".join(fields) or "configuration"
    others = len({_locate(model, e["loc"])[0] for e in errors}) - 1
    more = f", and {others} more to correct" if others > 0 else ""
    got = _shown(first.get("input")) + more
    if first["type"] == "extra_forbidden":
        known = list(section.model_fields)
        parent = f"`{'.'.join(fields[:-1])}`" if len(fields) > 1 else "the configuration"
        near = _near(fields[-1], known)
        return ConfigError(
            f"fields of {parent} out of {', '.join(known)}",
            got=f"an unknown `{name}`{more}",
            where=where,
            fix=near or fix,
        )
    if first["type"] in ("value_error", "assertion_error"):  # our own validators say what they expect
        said = first["ctx"]["error"].args  # (expected,) or (expected, got)
        return ConfigError(str(said[0]), got=str(said[1]) + more if said[1:] else got, where=where, fix=fix)
    if field is None:
        return ConfigError(f"the {name} to hold fields and values", got=got, where=where, fix=fix)
    description = f"Meaning: {field.description}." if field.description else fix
    if first["type"] == "missing" and len(first["loc"]) == len(fields):
        return ConfigError(f"a value for `{name}`", got=f"none{more}", where=where, fix=description)
    if get_origin(field.annotation) is tuple and first["type"] != "missing" and len(first["loc"]) > len(fields):
        each = _phrase(get_args(field.annotation)[0])
        return ConfigError(f"each value of `{name}` to be {each}", got=got, where=where, fix=description)
    near = _near(str(first.get("input")), _choices(field.annotation))
    return ConfigError(f"`{name}` to be {accepted(field)}", got=got, where=where, fix=near or description)


def accepted(field: FieldInfo) -> str:
    """Describe the values that a field accepts.

    Parameters
    ----------
    field : FieldInfo
        A field of a pydantic model.

    Returns
    -------
    str
        A noun phrase.

    Examples
    --------
    >>> from her2core.training.config import TrainConfig
    >>> accepted(TrainConfig.model_fields["lr"])
    'a number greater than 0'
    >>> accepted(TrainConfig.model_fields["class_weights"])
    "one of 'balanced', 'none'"
    """
    return _phrase(field.annotation) + _limits(field.metadata)


def _locate(
    model: type[BaseModel], loc: tuple[int | str, ...]
) -> tuple[tuple[str, ...], FieldInfo | None, type[BaseModel]]:
    """The path of field names, the field, and the section that holds it; pydantic's tags of unions are left out."""
    names: list[str] = []
    field, section = None, model
    for step in loc:
        if not isinstance(step, str) or (field is not None and _section(field.annotation) is None):
            break
        section = model if field is None else (_section(field.annotation) or model)
        names.append(step)
        if (field := section.model_fields.get(step)) is None:
            break
    return tuple(names), field, section


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of a section, also of an optional one."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel) and get_origin(annotation) is not tuple:
            return kind
    return None


def _phrase(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _phrase(arguments[0]) + _limits(list(arguments[1:]))
    if origin is Literal:
        return f"{'one of ' if len(arguments) > 1 else ''}{', '.join(repr(a) for a in arguments)}"
    if origin in (Union, types.UnionType):
        return ", or ".join(_phrase(a) for a in arguments)
    if origin is tuple:
        several = len(arguments) == 2 and arguments[1] is Ellipsis
        return f"a list of {'' if several else f'{len(arguments)} '}{_plural(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"fields out of {', '.join(annotation.model_fields)}"
    known = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    known |= {type(None): "nothing", dict: "fields and values"}
    return known.get(origin or annotation, "a value of another type")


def _plural(annotation: Any) -> str:
    base = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return {int: "whole numbers", float: "numbers", str: "texts"}.get(base, "entries")


def _limits(metadata: list[Any]) -> str:
    """Bounds, lengths and patterns of a field as words."""
    words = {
        "gt": "greater than {}",
        "ge": "of at least {}",
        "lt": "less than {}",
        "le": "of at most {}",
        "min_length": "with at least {} of them",
        "pattern": "that matches {}",
    }
    given = [(name, getattr(m, name, None)) for m in metadata for name in words]
    found = [words[name].format(f"{v:g}" if isinstance(v, int | float) else v) for name, v in given if v is not None]
    return f" {' and '.join(found)}" if found else ""


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(a) for a in get_args(annotation)]
    return [c for a in get_args(annotation) for c in _choices(a)] if get_origin(annotation) is not tuple else []


def _near(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
