"""What can a user have caused? One exception family; each message says expected, got, where, what to do."""

from __future__ import annotations


class Her2Error(Exception):
    """Anything a user can cause and a user can mend.

    Parameters
    ----------
    expected : what would have been right, one clause without a full stop.
    got : what was found instead.
    where : the file, row, field or argument concerned; left out when there is none.
    fix : what to do about it.

    The string form is one sentence or two, fit to show to a person as it is. The four parts stay available as
    attributes, so that ``her2 ... --json`` can hand them over apart.
    """

    def __init__(self, *, expected: str, got: str, fix: str, where: str | None = None) -> None:
        self.expected, self.got, self.where, self.fix = expected, got, where, fix
        place = f"{where}: " if where else ""
        super().__init__(f"{place}expected {expected}, got {got}. {fix}")

    def __reduce__(self):
        parts = {"expected": self.expected, "got": self.got, "fix": self.fix, "where": self.where}
        return _rebuild, (type(self), parts)


def _rebuild(kind: type[Her2Error], parts: dict) -> Her2Error:
    """Let the exception cross a process boundary: keyword-only arguments do not pickle by themselves."""
    return kind(**parts)


class ImageError(Her2Error):
    """An image that cannot be decoded safely."""


class ManifestError(Her2Error):
    """A manifest that breaks its schema, or a file that it names and that is not there."""


class SplitError(Her2Error):
    """A partition that cannot be made, or one that breaks the unit it claims."""


class ConfigError(Her2Error):
    """A configuration with an unknown field or a value out of range."""


class NetworkError(Her2Error):
    """An unknown network, or one that cannot do what is asked of it."""


class WeightsError(Her2Error):
    """Weights that are missing, pickled, tampered with, or made for another network."""


class RunError(Her2Error):
    """A run folder that is foreign, unfinished, newer than this program, or broken."""


class StudyError(Her2Error):
    """A study of several runs that is incomplete, mixed, or not what it claims."""


class EvaluationError(Her2Error):
    """Predictions from which the number asked for cannot be computed."""
