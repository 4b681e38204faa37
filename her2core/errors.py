"""Exceptions for what a user can cause, in one family with one message format."""

from __future__ import annotations

import os
from typing import Any


class Her2Error(Exception):
    """Base class of every error that a user can cause and correct.

    Parameters
    ----------
    expected : str
        What would have been right: a noun phrase without a full stop.
    got : str
        What was found instead: a noun phrase.
    fix : str
        What to do about it: one sentence or two.
    where : str or path, optional
        The file, row, field or argument concerned.

    Notes
    -----
    ``str(error)`` reads ``Expected <expected>, but got <got> (<where>). <fix>`` and is what the command line and the
    API show. ``sentence`` says the same in words for a page. The four parts stay available as attributes, so that
    ``her2 ... --json`` can hand them over separately.

    Examples
    --------
    >>> error = Her2Error("one of 'gradcam', 'layercam'", got="'x'", where="argument `method`", fix="Choose one.")
    >>> print(error)
    Expected one of 'gradcam', 'layercam', but got 'x' (argument `method`). Choose one.
    >>> print(error.sentence)
    argument `method`: her2core needs one of 'gradcam', 'layercam', but found 'x'. Choose one.
    """

    def __init__(self, expected: str, *, got: str, fix: str, where: str | os.PathLike[str] | None = None) -> None:
        self.expected, self.got, self.fix = expected, got, fix
        self.where = None if where is None else str(where)
        place = f" ({self.where})" if self.where else ""
        super().__init__(f"Expected {expected}, but got {got}{place}. {fix}".rstrip())

    @property
    def sentence(self) -> str:
        """The message for a person who reads a page."""
        place = f"{self.where}: " if self.where else ""
        return f"{place}her2core needs {self.expected}, but found {self.got}. {self.fix}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        parts = {"expected": self.expected, "got": self.got, "fix": self.fix, "where": self.where}
        return _rebuild, (type(self), parts)


def _rebuild(kind: type[Her2Error], parts: dict[str, str]) -> Her2Error:
    """Rebuild the exception in another process: keyword-only arguments do not pickle by themselves."""
    return kind(**parts)


class ImageError(Her2Error):
    """An image that cannot be decoded safely."""


class ManifestError(Her2Error):
    """A manifest that breaks its schema, or a file that it names and that does not exist."""


class TableError(Her2Error):
    """A file that is not a readable table, or a table whose cells cannot be interpreted."""


class SplitError(Her2Error):
    """A partition that cannot be made, or one that breaks the unit it claims."""


class ConfigError(Her2Error):
    """A configuration with an unknown field or a value out of range."""


class NetworkError(Her2Error):
    """An unknown network, or one that cannot do what is asked of it."""


class WeightsError(Her2Error):
    """Weights that are missing, pickled, altered, or made for another network."""


class RunError(Her2Error):
    """A run folder that is foreign, unfinished, newer than this program, or damaged."""


class StudyError(Her2Error):
    """A study of several runs that is incomplete, mixed, or not what it claims."""


class EvaluationError(Her2Error):
    """Predictions from which the requested figure cannot be computed."""
