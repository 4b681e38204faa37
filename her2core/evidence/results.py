"""Base class of results that hold tables: equality, a short representation, and one for notebooks."""

from __future__ import annotations

from dataclasses import Field, fields
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd


class TableResult:
    """Mixin for frozen dataclasses (declared with ``eq=False``) whose fields hold tables.

    Two results are equal when they are of one class and all their fields are; tables are compared by
    ``DataFrame.equals`` (same cells, NaN equal to NaN, same column types), arrays by ``numpy.array_equal``. Equal
    results have equal hashes; a hash reads the shapes of tables, not their cells.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, eq=False, repr=False)
    ... class Found(TableResult):
    ...     table: pd.DataFrame
    >>> a, b = Found(pd.DataFrame({"x": [1.0, np.nan]})), Found(pd.DataFrame({"x": [1.0, np.nan]}))
    >>> a == b, hash(a) == hash(b), a == Found(pd.DataFrame({"x": [2.0, np.nan]}))
    (True, True, False)
    >>> a
    Found(table: 2 rows)
    """

    if TYPE_CHECKING:  # what makes a subclass a dataclass for ``fields``
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        return hash((type(self).__name__, *(_invariant(getattr(self, f.name)) for f in fields(self))))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._summary())})"

    def _summary(self) -> list[str]:
        """What the representation names, one item a field."""
        return [_described(f.name, getattr(self, f.name)) for f in fields(self)]

    def _repr_html_(self) -> str:
        tables = [(f.name, getattr(self, f.name)) for f in fields(self)]
        shown = [
            f"<p>{escape(name)}</p>{value.to_html(index=False, max_rows=20, border=0)}"
            for name, value in tables
            if isinstance(value, pd.DataFrame)
        ]
        return f"<div><strong>{escape(repr(self))}</strong>{''.join(shown)}</div>"


def _equal(a: object, b: object) -> bool:
    if isinstance(a, pd.DataFrame) and isinstance(b, pd.DataFrame):
        return a.equals(b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def _invariant(value: object) -> object:
    if isinstance(value, pd.DataFrame | np.ndarray):
        return value.shape
    return value if isinstance(value, str | int | float | tuple | frozenset | None) else type(value).__name__


def _described(name: str, value: object) -> str:
    if isinstance(value, pd.DataFrame):
        return f"{name}: {len(value)} row{'s' if len(value) != 1 else ''}"
    return f"{name}={value!r}"
