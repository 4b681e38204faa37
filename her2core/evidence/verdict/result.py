"""The verdict on a reported accuracy as a frozen object: answer, sentence, figures, graded aspects, what is unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from her2core.evidence.planning import EffectiveSample
from her2core.evidence.verdict.rules import (
    CLAIM,
    CONTRADICTS,
    LIMITS,
    NOT_KNOWN,
    QUESTION,
    RULES,
    SUPPORTS,
    Answer,
    Grade,
    Rule,
)

_SHORT = {
    "all_rows": "Training rows included",
    "as_reported": "As usually reported",
    "by_patch": "By patch, over patients",
    "by_patient": "By patient",
}


@dataclass(frozen=True)
class Figure:
    """An accuracy with its 95 % interval, and what the two rest on.

    Parameters
    ----------
    name : {'all_rows', 'as_reported', 'by_patch', 'by_patient'}
    label : str
        What it is, for people.
    value, lower_95, upper_95 : float
        Proportions; bounds are NaN where there is no interval.
    interval_method : str
        Empty where there is no interval.
    n : int
        Rows: patches or patients.
    note : str
        Remark on the interval.

    Examples
    --------
    >>> Figure("as_reported", "By patch, as usually reported", 0.66, 0.621, 0.697, "Wilson score", 600).text
    '66.0% [62.1%, 69.7%]'
    """

    name: str
    label: str
    value: float
    lower_95: float
    upper_95: float
    interval_method: str
    n: int
    note: str = ""

    @property
    def short(self) -> str:
        """What it is, in a few words."""
        return _SHORT[self.name]

    @property
    def text(self) -> str:
        """Value and interval in percent."""
        if math.isnan(self.lower_95):
            return f"{percent(self.value)} (no interval)"
        return f"{percent(self.value)} [{percent(self.lower_95)}, {percent(self.upper_95)}]"


@dataclass(frozen=True)
class Aspect:
    """One aspect of the verdict, graded by its rule.

    Parameters
    ----------
    rule : str
        Key of ``rules.RULES``.
    grade : str
        One of ``rules.GRADES``.
    finding : str
        What was found, in sentences.
    reason : str
        The finding as a clause, for the sentence of the verdict.
    needed : str
        What would make it known; empty where it is.

    Examples
    --------
    >>> Aspect("overlap", "not known", "No ids.", "there are no ids", "Add the ids.").title
    'Overlap'
    """

    rule: str
    grade: Grade
    finding: str
    reason: str
    needed: str = ""

    @property
    def about(self) -> Rule:
        """The rule."""
        return RULES[self.rule]

    @property
    def title(self) -> str:
        """Name of the aspect."""
        return self.about.title


@dataclass(frozen=True)
class Unknown:
    """What these data cannot show, and what would show it."""

    what: str
    needed: str


@dataclass(frozen=True)
class Verdict:
    """Whether a reported accuracy can be believed; made by ``verdict``.

    Parameters
    ----------
    name : str
        Name of the run or table.
    answer : {'Yes', 'Within limits', 'Not known', 'No'}
        By ``rules.OVERALL``.
    sentence : str
        The verdict in plain words.
    figures : tuple of Figure
        The accuracy as usually reported, with patches as independent, then with honest intervals.
    aspects : tuple of Aspect
        In the order of ``rules.RULES``.
    unknowns : tuple of Unknown
        What cannot be known from these data.
    effective_sample : EffectiveSample or None
        What the patches are worth.
    notes : tuple of str
        How a table was read, as far as no aspect says it.

    Examples
    --------
    >>> import her2core
    >>> found = her2core.verdict("models/tissue12")
    >>> found.answer, found.aspect("overlap").grade
    ('No', 'contradicts the claim')
    """

    name: str
    answer: Answer
    sentence: str
    figures: tuple[Figure, ...]
    aspects: tuple[Aspect, ...]
    unknowns: tuple[Unknown, ...]
    effective_sample: EffectiveSample | None
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """Question and answer."""
        return f"{QUESTION} {self.answer}."

    @property
    def grouped(self) -> tuple[tuple[Aspect, ...], ...]:
        """The aspects, those together that have the same grade and finding, so that one thing is said once."""
        groups: dict[tuple[str, str], list[Aspect]] = {}
        for aspect in self.aspects:
            groups.setdefault((aspect.grade, aspect.finding), []).append(aspect)
        return tuple(map(tuple, groups.values()))

    def says(self, sentence: str) -> bool:
        """Whether a finding or note contains this sentence of a run or table.

        Parameters
        ----------
        sentence : str

        Returns
        -------
        bool
        """
        return bool(sentence) and any(sentence in text for text in (*self.notes, *(a.finding for a in self.aspects)))

    def aspect(self, rule: str) -> Aspect:
        """One aspect.

        Parameters
        ----------
        rule : str
            Key of ``rules.RULES``; 'further' is there only where there are further warnings.

        Returns
        -------
        Aspect
        """
        return next(aspect for aspect in self.aspects if aspect.rule == rule)

    def figure(self, name: str) -> Figure | None:
        """One figure, None where it could not be computed.

        Parameters
        ----------
        name : {'all_rows', 'as_reported', 'by_patch', 'by_patient'}

        Returns
        -------
        Figure or None
        """
        return next((figure for figure in self.figures if figure.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; docs/verdict.md documents them. Absent bounds are None.

        Returns
        -------
        dict
        """
        figures = [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(f).items()}
            for f in self.figures
        ]
        aspects = [
            {
                "rule": a.rule,
                "title": a.title,
                "question": a.about.question,
                "grade": a.grade,
                "finding": a.finding,
                "needed": a.needed,
                "documentation": a.about.documentation,
            }
            for a in self.aspects
        ]
        return {
            "name": self.name,
            "question": QUESTION,
            "claim": CLAIM,
            "answer": self.answer,
            "sentence": self.sentence,
            "figures": figures,
            "aspects": aspects,
            "unknowns": [asdict(unknown) for unknown in self.unknowns],
            "effective_sample": None if self.effective_sample is None else asdict(self.effective_sample),
            "notes": list(self.notes),
        }


def overall(aspects: Sequence[Aspect]) -> Answer:
    """Derive the answer from the grades, by ``rules.OVERALL``.

    Parameters
    ----------
    aspects : sequence of Aspect

    Returns
    -------
    str
        One of ``rules.ANSWERS``.

    References
    ----------
    Wolff et al. 2019, PROBAST, doi 10.7326/M18-1376: there too the overall judgement is that of the worst domain.

    Examples
    --------
    >>> overall([Aspect("overlap", "supports the claim", "", ""), Aspect("calibration", "not known", "", "")])
    'Within limits'
    >>> overall([Aspect("overlap", "not known", "", ""), Aspect("calibration", "supports the claim", "", "")])
    'Not known'
    """
    if any(a.grade == CONTRADICTS for a in aspects):
        return "No"
    if any(a.grade == NOT_KNOWN and a.about.essential for a in aspects):
        return "Not known"
    if any(a.grade in (LIMITS, NOT_KNOWN) for a in aspects):
        return "Within limits"
    return "Yes"


def deciding(aspects: Sequence[Aspect]) -> tuple[Aspect, ...]:
    """The aspects that decide the answer: those of the gravest grade, the essential ones where they are not known.

    Parameters
    ----------
    aspects : sequence of Aspect

    Returns
    -------
    tuple of Aspect
        Empty where every aspect supports the claim.
    """
    answer = overall(aspects)
    if answer == "No":
        return tuple(a for a in aspects if a.grade == CONTRADICTS)
    if answer == "Not known":
        return tuple(a for a in aspects if a.grade == NOT_KNOWN and a.about.essential)
    return tuple(a for a in aspects if a.grade != SUPPORTS)


def percent(value: float) -> str:
    """A proportion in percent, one decimal.

    Parameters
    ----------
    value : float

    Returns
    -------
    str

    Examples
    --------
    >>> percent(0.9536)
    '95.4%'
    """
    return f"{value:.1%}"
