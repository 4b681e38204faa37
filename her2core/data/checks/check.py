"""One check of a data set: what its finding means, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from her2core.data.checks.inputs import CheckInputs, Requirement
from her2core.data.checks.outcome import (
    MAX_LISTED,
    CouldNotRun,
    Finding,
    Found,
    NotApplicable,
    Outcome,
    Result,
    Severity,
    Status,
)

DOCUMENTATION = "docs/checks.md"
#: How a check ends where an input that it requires is absent.
_ABSENT: Mapping[Requirement, Result] = MappingProxyType(
    {
        "split": NotApplicable("no split was given"),
        "half_width": NotApplicable("no half-width was requested"),
        "embeddings": NotApplicable("no trained network was given"),
        "contents": CouldNotRun("the images were not read (contents=True, or her2 data check --contents)"),
    }
)


@dataclass(frozen=True)
class Check:
    """One check of a data set.

    Parameters
    ----------
    code : str
        Identifier, also the anchor of its section in docs/checks.md.
    title : str
        Name for people.
    severity : {'error', 'warning', 'info'}
        Of its finding, unless the function says otherwise.
    explanation : str
        Why a finding matters.
    fix : str
        What to do about a finding.
    function : callable
        Takes `CheckInputs`; returns `Found`, `NotApplicable`, `CouldNotRun`, or None where nothing was found.
    requires : tuple of {'split', 'contents', 'half_width', 'embeddings'}
        Inputs besides the manifest without which the function is not called.

    Examples
    --------
    >>> check = Check("empty", "Empty", "info", "It matters.", "Fill it.", lambda inputs: None)
    >>> check.documentation
    'docs/checks.md#empty'
    """

    code: str
    title: str
    severity: Severity
    explanation: str
    fix: str
    function: Callable[[CheckInputs], Result]
    requires: tuple[Requirement, ...] = ()

    @property
    def documentation(self) -> str:
        """Address of the check's section in the documentation."""
        return f"{DOCUMENTATION}#{self.code}"

    def run(self, inputs: CheckInputs) -> Outcome:
        """Run the check. It never raises: a function that fails is an outcome that could not be run.

        Parameters
        ----------
        inputs : CheckInputs

        Returns
        -------
        Outcome

        Examples
        --------
        >>> from her2core.data.checks.inputs import example_inputs
        >>> check = Check("split", "A", "info", "It matters.", "Fix it.", lambda inputs: None, ("split",))
        >>> check.run(example_inputs()).reason
        'no split was given'
        """
        absent = next((_ABSENT[r] for r in self.requires if not inputs.has(r)), None)
        try:
            result = absent or self.function(inputs)
        except Exception as error:  # one check that fails must not take the others with it; the reason is shown
            result = CouldNotRun(f"{type(error).__name__}: {error}")
        if isinstance(result, Found):
            return self._outcome("found", finding=self._finding(result))
        if isinstance(result, NotApplicable):
            return self._outcome("not applicable", result.reason)
        if isinstance(result, CouldNotRun):
            return self._outcome("could not be run", result.reason)
        return self._outcome("not found")

    def _outcome(self, status: Status, reason: str = "", finding: Finding | None = None) -> Outcome:
        return Outcome(self.code, self.title, status, self.documentation, reason, finding)

    def _finding(self, found: Found) -> Finding:
        return Finding(
            self.code,
            self.title,
            found.severity or self.severity,
            found.expected,
            found.got,
            f"{self.fix} {found.note}".strip(),
            self.explanation,
            tuple(found.rows[:MAX_LISTED]),
            len(found.rows),
            tuple(found.pairs[:MAX_LISTED]),
        )
