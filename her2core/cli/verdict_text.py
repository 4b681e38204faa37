"""The verdict on a reported accuracy as lines of text: answer, sentence, figures, graded aspects, what is unknown."""

from __future__ import annotations

from her2core.evidence.verdict import Aspect, Verdict

#: Note where the figures below are of corrected probabilities.
UNCORRECTED = "The verdict is about the probabilities as they were, before the correction for label shift."


def verdict_lines(found: Verdict) -> list[str]:
    """The verdict as text.

    Parameters
    ----------
    found : Verdict

    Returns
    -------
    list of str
        The answer first; aspects of one grade and finding share a line.

    Examples
    --------
    >>> from her2core.evidence.verdict import verdict
    >>> verdict_lines(verdict("models/tissue12"))[0]
    'Can this number be believed? No.'
    """
    lines = [found.headline, found.sentence]
    lines += [f"  {figure.text:24} {figure.label}" for figure in found.figures]
    lines += [f"  {_titles(group)}: {group[0].grade}. {group[0].finding}" for group in found.grouped]
    if found.unknowns:
        lines.append("  What cannot be known from these data, and what would make it known:")
    lines += [f"    {unknown.what} {unknown.needed}" for unknown in found.unknowns]
    return [*lines, *(f"note: {note}" for note in found.notes)]


def _titles(group: tuple[Aspect, ...]) -> str:
    return ", ".join(aspect.title for aspect in group)
