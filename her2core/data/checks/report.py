"""The frozen result of checking a data set: findings, and how every check ended."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, overload

import pandas as pd

from her2core.data.checks.outcome import STATUSES, Finding, Outcome, Status
from her2core.errors import ConfigError, ManifestError

_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, repr=False)
class CheckReport(Sequence[Finding]):
    """How every check of a data set ended. A sequence of its findings, errors first.

    Parameters
    ----------
    outcomes : tuple of Outcome
        One for every check of the registry, in its order.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core import check_manifest
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["negative", "positive"]})
    >>> report = check_manifest(build_manifest(table, root="/nowhere"))
    >>> [finding.code for finding in report]
    ['missing-files', 'unknown-patients', 'missing-mpp']
    >>> report.outcome("few-patients").reason
    'patient ids are unknown'
    """

    outcomes: tuple[Outcome, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, errors first, then in the registry's order."""
        findings = [o.finding for o in self.outcomes if o.finding is not None]
        return tuple(sorted(findings, key=lambda f: _ORDER[f.severity]))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings of severity 'error'."""
        return tuple(f for f in self.findings if f.severity == "error")

    def outcome(self, code: str) -> Outcome:
        """The outcome of one check.

        Parameters
        ----------
        code : str
            A key of `registry.CHECKS`.

        Returns
        -------
        Outcome

        Raises
        ------
        ConfigError
            For an unknown code.
        """
        by_code = {o.code: o for o in self.outcomes}
        if code not in by_code:
            raise ConfigError(
                f"argument `code` to be one of {', '.join(map(repr, by_code))}",
                got=repr(code),
                fix="Choose one; docs/checks.md describes them.",
            )
        return by_code[code]

    def with_status(self, status: Status) -> tuple[Outcome, ...]:
        """Outcomes of one status.

        Parameters
        ----------
        status : {'found', 'not found', 'not applicable', 'could not be run'}

        Returns
        -------
        tuple of Outcome

        Examples
        --------
        >>> from her2core.data.checks.outcome import Outcome
        >>> CheckReport((Outcome("a", "A", "not found", ""),)).with_status("found")
        ()
        """
        return tuple(o for o in self.outcomes if o.status == status)

    def raise_errors(self, where: str | os.PathLike[str] = "manifest") -> None:
        """Raise the findings of severity 'error', if there are any.

        Parameters
        ----------
        where : str or path
            The file or object checked.

        Raises
        ------
        ManifestError
            With the first of them; the others follow in ``fix``.

        Examples
        --------
        >>> from her2core.data.checks.audit import check_manifest
        >>> from her2core.data.checks.inputs import example_inputs
        >>> check_manifest(example_inputs(mpp=0.5).manifest).raise_errors()
        Traceback (most recent call last):
        her2core.errors.ManifestError: Expected an image file for every row, but got 2 missing files, the first: 0.png \
(manifest). Restore the files, or remove these rows.
        """
        if not self.errors:
            return
        first, *others = self.errors
        more = "".join(f" Also found: {e.sentence}" for e in others)
        raise ManifestError(first.expected, got=first.got, where=where, fix=first.fix + more)

    def frame(self) -> pd.DataFrame:
        """The outcomes as a table.

        Returns
        -------
        DataFrame
            One row per check: ``code``, ``title``, ``status``, ``severity`` and ``detail`` (the finding or the reason).

        Examples
        --------
        >>> from her2core.data.checks.outcome import Outcome
        >>> outcome = Outcome("patient-leak", "A leak", "not applicable", "", "no split was given")
        >>> CheckReport((outcome,)).frame()[["code", "detail"]].to_numpy().tolist()
        [['patient-leak', 'no split was given']]
        """
        rows = [
            (
                o.code,
                o.title,
                o.status,
                o.finding.severity if o.finding else "",
                str(o.finding) if o.finding else o.reason,
            )
            for o in self.outcomes
        ]
        return pd.DataFrame(rows, columns=["code", "title", "status", "severity", "detail"])

    def text(self) -> str:
        """The report for a terminal: every finding, then how many checks ended how, with reasons.

        Examples
        --------
        >>> from her2core.data.checks.outcome import Outcome
        >>> print(CheckReport((Outcome("a", "A", "not applicable", "", "no split was given"),)).text())
        No findings.
        1 checks: 0 found, 0 not found, 1 not applicable, 0 could not be run.
        Not applicable, because no split was given: A.
        """
        lines = [finding.text() for finding in self.findings] or ["No findings."]
        return "\n".join([*lines, *self.summary])

    @property
    def summary(self) -> tuple[str, ...]:
        """How many checks ended how, then the checks without an answer, grouped by reason; one sentence each."""
        sentences = [f"{self._counts()}."]
        for status in ("not applicable", "could not be run"):
            titles: dict[str, list[str]] = {}
            for outcome in self.with_status(status):
                titles.setdefault(outcome.reason, []).append(outcome.title)
            named = status.capitalize()
            sentences += [f"{named}, because {reason}: {', '.join(group)}." for reason, group in titles.items()]
        return tuple(sentences)

    def as_dicts(self) -> list[dict[str, Any]]:
        """The outcomes as plain values, ready for JSON (``checks.json`` of a run, ``her2 data check --json``)."""
        return [o.as_dict() for o in self.outcomes]

    @classmethod
    def from_dicts(cls, values: object) -> CheckReport:
        """The report whose outcomes are given as plain values.

        Parameters
        ----------
        values : list of dict
            As `as_dicts` gives them, possibly read from JSON.

        Returns
        -------
        CheckReport

        Raises
        ------
        ValueError
            For anything else.

        Examples
        --------
        >>> from her2core.data.checks.outcome import Outcome
        >>> report = CheckReport((Outcome("few-patients", "Few patients per class", "not found", "docs/checks.md"),))
        >>> CheckReport.from_dicts(report.as_dicts()) == report
        True
        """
        if not isinstance(values, list) or not values:
            raise ValueError("not a list of check outcomes")
        return cls(tuple(Outcome.from_dict(value) for value in values))

    def _counts(self) -> str:
        counts = {status: len(self.with_status(status)) for status in STATUSES}
        return f"{len(self.outcomes)} checks: " + ", ".join(f"{n} {status}" for status, n in counts.items())

    def __len__(self) -> int:
        return len(self.findings)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, index: int | slice) -> Finding | tuple[Finding, ...]:
        return self.findings[index]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __repr__(self) -> str:
        found = "".join(f"\n  {f.code} ({f.severity}): {f}" for f in self.findings)
        return f"CheckReport({self._counts()}){found}"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in self.frame().columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>"
            for row in self.frame().itertuples(index=False)
        )
        caption = escape(self._counts())
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
