"""Items of reporting guidelines and their possible assessments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, get_args

from her2core.errors import ConfigError
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
    """A guideline: its name, how to cite it, its licence, how its items are worded here, and its items in order."""

    name: str
    citation: str
    items: tuple[Item, ...]
    licence: str
    wording: str


def read_checklist(name: str, rules: Mapping[str, Rule]) -> Checklist:
    """Read a guideline's items from their file, and give each its rule.

    Parameters
    ----------
    name : str
        File in ``report/items``, without suffix.
    rules : mapping of str to Rule
        Number of every item -> its rule.

    Returns
    -------
    Checklist

    Raises
    ------
    ConfigError
        Where items and rules are not the same numbers.

    Examples
    --------
    >>> read_checklist("claim_2024", {})
    Traceback (most recent call last):
    her2core.errors.ConfigError: Expected a rule for each item of claim_2024.json, but got none for 1. Add the rule.
    """
    text = (files("her2core.report") / "items" / f"{name}.json").read_text(encoding="utf-8")
    stated = json.loads(text)
    numbers = [item["number"] for item in stated["items"]]
    if differing := [n for n in numbers if n not in rules] + [n for n in rules if n not in numbers]:
        raise ConfigError(f"a rule for each item of {name}.json", got=f"none for {differing[0]}", fix="Add the rule.")
    items = tuple(Item(i["number"], i["topic"], i["text"], rules[i["number"]]) for i in stated["items"])
    citation = f"{stated['citation']} Licence: {stated['licence']}. Items: {stated['wording']}."
    return Checklist(stated["name"], citation, items, stated["licence"], stated["wording"])


_BY_AUTHOR = "not contained in a run; its authors have to add it"


def met(words: str, *sections: str) -> Assessment:
    """Met, in the named sections.

    Examples
    --------
    >>> met("disjoint by patient", "partition")
    Assessment(state='met', where='Section 4 (Partition): disjoint by patient')
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
