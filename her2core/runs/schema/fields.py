"""Field types of a run's JSON files, and the error that names the file and the field at fault."""

from __future__ import annotations

import os
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from her2core.errors import RunError
from her2core.io.text import clean_text

M = TypeVar("M", bound=BaseModel)

Text = Annotated[str, StringConstraints(max_length=20_000)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Positive = Annotated[float, Field(gt=0, le=1e12)]
Share = Annotated[float, Field(ge=0, le=1)]
#: A value as the options of a network and the facts of a data set hold them.
Plain = bool | int | float | str | None


class Section(BaseModel):
    """A JSON object whose known fields are checked strictly (no text for numbers, no NaN); others are kept as they are.

    Examples
    --------
    >>> class Point(Section):
    ...     x: Number
    >>> Point.model_validate({"x": 1, "colour": "red"}).x
    1.0
    """

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, frozen=True)


def check_fields(
    model: type[M],
    value: dict[str, Any],
    *,
    where: str | os.PathLike[str],
    expected: str,
    fix: str = "Copy the run again from its source.",
) -> M:
    """The values of a JSON object, if they fit a model.

    Parameters
    ----------
    model : type
        A ``Section``.
    value : dict
        What the file holds.
    where : path
        The file, for the message.
    expected : str
        What the file should be, for the message.
    fix : str, optional
        What to do about it.

    Returns
    -------
    Section

    Raises
    ------
    RunError
        Naming the first field at fault, and what it holds.

    Examples
    --------
    >>> class Point(Section):
    ...     x: Number
    >>> check_fields(Point, {"x": "one"}, where="point.json", expected="a point")
    Traceback (most recent call last):
        ...
    her2core.errors.RunError: Expected a point, but got field 'x' of 'one': input should be a valid number \
(point.json). Copy the run again from its source.
    """
    try:
        return model.model_validate(value)
    except ValidationError as refused:
        fault = _first(refused)
    except RecursionError:
        fault = "deeply nested values"
    raise RunError(expected, got=fault, where=where, fix=fix)


def _first(refused: ValidationError) -> str:
    error = refused.errors(include_url=False, include_context=False)[0]
    field = clean_text(".".join(str(part) for part in error["loc"]), 60)
    if error["type"] == "missing":
        return f"no field {field!r}"
    said = clean_text(error["msg"].removeprefix("Value error, "), 120)
    said = said[:1].lower() + said[1:]
    if not field:
        return said
    return f"field {field!r} of {clean_text(_shown(error['input']), 60)}: {said}"


def _shown(value: Any) -> str:
    return f"{type(value).__name__} with {len(value)} entries" if isinstance(value, dict | list) else repr(value)
