"""Findings and outcomes of data checks.

A check ends in one of four ways: ``found`` (there is a finding), ``not found``, ``not applicable`` (the question does
not arise for these data, for example leakage without a split) or ``could not be run`` (the question arises, but the
data do not allow an answer, for example because patient ids are unknown). The last two state a reason, so that a
check without an answer is never mistaken for one without a finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import pandas as pd

from her2core.errors import Her2Error, ManifestError

Severity = Literal["error", "warning", "info"]
Status = Literal["found", "not found", "not applicable", "could not be run"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
STATUSES: tuple[Status, ...] = get_args(Status)
#: Rows and pairs listed by a finding; ``count`` covers all of them.
MAX_LISTED = 20


@dataclass(frozen=True)
class Finding:
    """What a check found in a data set.

    Parameters
    ----------
    code, title : str
        Identifier and name of the check.
    severity : {'error', 'warning', 'info'}
        An error makes ``her2 data check`` exit with 1 and stops training before it starts.
    expected, got : str
        Noun phrases: what would have been right, and what is there.
    fix : str
        What to do about it: one sentence or two.
    why : str
        Why it matters.
    rows : tuple of str
        Ids of the patches concerned, at most MAX_LISTED of them.
    count : int
        Number of patches concerned.
    pairs : tuple of (str, str)
        Pairs of patch ids where the finding is about pairs, at most MAX_LISTED of them.

    Examples
    --------
    >>> finding = Finding(
    ...     "missing-mpp", "Unknown resolution", "info", "microns per pixel in every row", "2 rows without a value",
    ...     "Add the values.", "Patches of different scale cannot be told apart.", ("a.png", "b.png"), 2,
    ... )
    >>> print(finding)
    Expected microns per pixel in every row, but got 2 rows without a value. Add the values.
    >>> print(finding.sentence)
    Unknown resolution: 2 rows without a value, instead of microns per pixel in every row. Add the values.
    """

    code: str
    title: str
    severity: Severity
    expected: str
    got: str
    fix: str
    why: str
    rows: tuple[str, ...] = ()
    count: int = 0
    pairs: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return str(Her2Error(self.expected, got=self.got, fix=self.fix))

    @property
    def sentence(self) -> str:
        """The finding for a person who reads a page."""
        return f"{self.title}: {self.got}, instead of {self.expected}. {self.fix}"

    def error(self, where: str = "manifest") -> ManifestError:
        """The finding as an exception, for callers that cannot go on with such data.

        Parameters
        ----------
        where : str
            The file or object concerned.

        Returns
        -------
        ManifestError
        """
        return ManifestError(self.expected, got=self.got, where=where, fix=self.fix)

    def text(self, rows: int = 5) -> str:
        """The finding as a paragraph for a terminal.

        Parameters
        ----------
        rows : int
            Number of patch ids, and of pairs, to list.

        Returns
        -------
        str
            Code, severity and message, then why it matters, then the first rows and pairs.

        Examples
        --------
        >>> finding = Finding("missing-mpp", "", "info", "a value", "none", "Add it.", "It matters.", ("a", "b"), 2)
        >>> print(finding.text(rows=1))
        missing-mpp (info): Expected a value, but got none. Add it.
          why:   It matters.
          rows:  2: a, ...
        """
        lines = [f"{self.code} ({self.severity}): {self}", f"  why:   {self.why}"]
        if self.rows:
            more = ", ..." if self.count > rows else ""
            lines.append(f"  rows:  {self.count}: {', '.join(self.rows[:rows])}{more}")
        if self.pairs:
            lines.append("  pairs: " + "; ".join(f"{a} and {b}" for a, b in self.pairs[:rows]))
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Fields as plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How one check ended.

    Parameters
    ----------
    code, title : str
        Identifier and name of the check.
    status : {'found', 'not found', 'not applicable', 'could not be run'}
    documentation : str
        Address of the check's section in the documentation.
    reason : str
        Why the check was not applicable or could not be run; empty otherwise.
    finding : Finding, optional
        Present exactly where ``status`` is 'found'.

    Examples
    --------
    >>> outcome = Outcome("patient-leak", "Patient in several split parts", "not applicable", "docs/checks.md",
    ...                   "no split was given")
    >>> print(outcome)
    patient-leak: not applicable (no split was given)
    """

    code: str
    title: str
    status: Status
    documentation: str
    reason: str = ""
    finding: Finding | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.status}" + (f" ({self.reason})" if self.reason else "")

    def as_dict(self) -> dict[str, Any]:
        """Fields as plain values, ready for JSON; ``finding`` is None or a dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The outcome whose plain values are given.

        Parameters
        ----------
        values : mapping
            As `as_dict` gives them, possibly read from JSON.

        Returns
        -------
        Outcome

        Raises
        ------
        ValueError
            For other keys, an unknown status or severity, or values of another type.

        Examples
        --------
        >>> outcome = Outcome("few-patients", "Few patients per class", "not found", "docs/checks.md#few-patients")
        >>> Outcome.from_dict(outcome.as_dict()) == outcome
        True
        """
        try:
            fields = values["finding"]
            finding = None if fields is None else Finding(**_with_tuples(fields))
            outcome = cls(**{**values, "finding": finding})
            texts = [outcome.code, outcome.title, outcome.documentation, outcome.reason]
            if finding is not None:
                texts += [finding.code, finding.title, finding.expected, finding.got, finding.fix, finding.why]
            valid = all(isinstance(text, str) for text in texts) and outcome.status in STATUSES
            valid &= (finding is not None) == (outcome.status == "found")
            valid &= finding is None or (finding.severity in SEVERITIES and isinstance(finding.count, int))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an outcome of a check: {error}") from None
        if not valid:
            raise ValueError(f"not an outcome of a check: {values!r:.200}")
        return outcome


def _with_tuples(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a finding with the lists of JSON as the tuples of a frozen dataclass."""
    rows = tuple(str(row) for row in finding["rows"])
    return {**finding, "rows": rows, "pairs": tuple((str(a), str(b)) for a, b in finding["pairs"])}


@dataclass(frozen=True)
class Found:
    """The result of a check function that found something; the registry adds code, title, explanation and fix.

    Parameters
    ----------
    expected, got : str
        Noun phrases, as in `Finding`.
    rows : sequence of str
        Ids of all patches concerned.
    pairs : sequence of (str, str)
        Pairs of patch ids, where the finding is about pairs.
    severity : {'error', 'warning', 'info'}, optional
        Where it differs from the check's own.
    note : str
        A sentence appended to the check's fix.
    """

    expected: str
    got: str
    rows: Sequence[str] = ()
    pairs: Sequence[tuple[str, str]] = ()
    severity: Severity | None = None
    note: str = ""


@dataclass(frozen=True)
class NotApplicable:
    """The result of a check function whose question does not arise for these data; ``reason`` is a clause."""

    reason: str


@dataclass(frozen=True)
class CouldNotRun:
    """The result of a check function that these data give no answer to; ``reason`` is a clause."""

    reason: str


#: What a check function returns; None: not found.
Result = Found | NotApplicable | CouldNotRun | None


def patch_ids(rows: pd.DataFrame) -> list[str]:
    """Patch ids of some rows of a manifest, in their order.

    Parameters
    ----------
    rows : DataFrame
        With a column ``patch_id``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> patch_ids(pd.DataFrame({"patch_id": ["a.png", "b.png"]}))
    ['a.png', 'b.png']
    """
    return list(rows["patch_id"])
