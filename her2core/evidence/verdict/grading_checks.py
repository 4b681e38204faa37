"""Grades that rest on the data checks of a run: copies, shortcuts, labels, and doubts about identifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from her2core.evidence.verdict.inputs import SEVERAL_LABELS, VerdictInputs
from her2core.evidence.verdict.result import Aspect
from her2core.evidence.verdict.rules import LIMITS, NOT_KNOWN, RULES, SUPPORTS, Rule
from her2core.io.text import capitalised

if TYPE_CHECKING:
    from her2core.data.checks.outcome import Finding

NOT_MADE = "not made when the run was finished"
_AGAIN = "Check the data with their images (her2 data check MANIFEST --split SPLIT --contents)."


@dataclass(frozen=True)
class Checked:
    """How the checks of a rule ended.

    Parameters
    ----------
    found : tuple of Finding
        Findings that are no mere information.
    clean : int
        Checks that found nothing, or mere information.
    inapplicable, unanswered : dict of str to list of str
        Reason to the titles of the checks that do not apply, and of those that were not made or could not be run.
    """

    found: tuple[Finding, ...]
    clean: int
    inapplicable: dict[str, list[str]]
    unanswered: dict[str, list[str]]


def checked(inputs: VerdictInputs, rule: Rule) -> Checked:
    """Collect how the checks of a rule ended.

    Parameters
    ----------
    inputs : VerdictInputs
    rule : Rule

    Returns
    -------
    Checked
        Nothing where no checks are recorded.
    """
    found: list[Finding] = []
    clean = 0
    inapplicable: dict[str, list[str]] = {}
    unanswered: dict[str, list[str]] = {}
    if inputs.checks is None:
        return Checked((), 0, {}, {})
    from her2core.data.checks.registry import CHECKS

    outcomes = {o.code: o for o in inputs.checks.outcomes}
    for code in rule.checks:
        outcome = outcomes.get(code)
        if outcome is None:
            unanswered.setdefault(NOT_MADE, []).append(CHECKS[code].title)
        elif outcome.finding is not None and outcome.finding.severity != "info":
            found.append(outcome.finding)
        elif outcome.status in ("found", "not found"):
            clean += 1
        else:
            without = inapplicable if outcome.status == "not applicable" else unanswered
            without.setdefault(outcome.reason, []).append(outcome.title)
    return Checked(tuple(found), clean, inapplicable, unanswered)


def said(found: Finding) -> str:
    """A finding in a sentence.

    Parameters
    ----------
    found : Finding

    Returns
    -------
    str
    """
    return f"{found.title}: {found.got}."


def copies(inputs: VerdictInputs) -> Aspect:
    """Grade copies across parts.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    return _by_checks(inputs, RULES["copies"], "no image of one part was found in another", all_apply=True)


def shortcuts(inputs: VerdictInputs) -> Aspect:
    """Grade shortcuts.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    return _by_checks(inputs, RULES["shortcuts"], "no check found a way to tell the class without the tissue")


def labels(inputs: VerdictInputs) -> Aspect:
    """Grade the consistency of labels; of a table, only patients with several labels can be seen.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    if not inputs.from_run and SEVERAL_LABELS in (refused := inputs.why_not("patient")):
        return Aspect("labels", LIMITS, capitalised(refused), "patients have several labels")
    return _by_checks(inputs, RULES["labels"], "no contradictory label was found")


def _by_checks(inputs: VerdictInputs, rule: Rule, clean: str, *, all_apply: bool = False) -> Aspect:
    """Limits where something was found, not known where a check has no answer, and supports otherwise."""
    if inputs.checks is None:
        why = inputs.reasons["checks"]
        needed = f"Record them: her2 runs complete {inputs.name}." if inputs.from_run else _AGAIN
        return Aspect(rule.id, NOT_KNOWN, f"{capitalised(why)}.", why, needed)
    result = checked(inputs, rule)
    open_ = {**result.unanswered, **(result.inapplicable if all_apply else {})}
    left = "; ".join(f"{', '.join(titles)} ({reason})" for reason, titles in open_.items())
    if result.found:
        first = result.found[0]
        text = " ".join(map(said, result.found)) + (f" Without an answer: {left}." if left else "")
        return Aspect(rule.id, LIMITS, text, f"{first.title.lower()} ({first.got})")
    if left:
        number = sum(map(len, open_.values()))
        text = f"{result.clean} of {len(rule.checks)} checks found nothing. Without an answer: {left}."
        return Aspect(rule.id, NOT_KNOWN, text, f"{number} of {len(rule.checks)} checks have no answer", _AGAIN)
    return Aspect(rule.id, SUPPORTS, f"{capitalised(clean)}.", clean)
