"""Items of reporting guidelines and their possible assessments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from her2core.report.run_report import RunReport
from her2core.report.sections import where

State = Literal["met", "partly", "not reported", "not applicable"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Assessment:
    """State of an item, and the section that meets it or the reason why it is not met."""

    state: State
    where: str


Rule = Callable[[RunReport], Assessment]


@dataclass(frozen=True)
class Item:
    """One item of a guideline; ``text`` says in our own words what it asks, ``rule`` assesses a report."""

    number: str
    topic: str
    text: str
    rule: Rule


@dataclass(frozen=True)
class Checklist:
    """A guideline: its name, how to cite it, and its items in order."""

    name: str
    citation: str
    items: tuple[Item, ...]


_BY_AUTHOR = "not contained in a run; its authors have to add it"


def met(words: str, *sections: str) -> Assessment:
    """Met, in the named sections.

    Examples
    --------
    >>> met("disjoint by patient", "partition")
    Assessment(state='met', where='Section 3 (Partition): disjoint by patient')
    """
    return Assessment("met", f"{where(*sections)}: {words}")


def partly(words: str, *sections: str) -> Assessment:
    """Met in part, in the named sections.

    Examples
    --------
    >>> partly("no images", "failures").state
    'partly'
    """
    return Assessment("partly", f"{where(*sections)}: {words}" if sections else words)


def not_reported(words: str = _BY_AUTHOR) -> Assessment:
    """Not reported, with the reason.

    Examples
    --------
    >>> not_reported()
    Assessment(state='not reported', where='not contained in a run; its authors have to add it')
    """
    return Assessment("not reported", words)


def not_applicable(words: str) -> Assessment:
    """Not applicable, with the reason.

    Examples
    --------
    >>> not_applicable("one network, no ensemble").state
    'not applicable'
    """
    return Assessment("not applicable", words)


def always(verdict: Assessment) -> Rule:
    """The same assessment for every report.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> always(not_reported())(example_report()).state
    'not reported'
    """
    return lambda _: verdict
