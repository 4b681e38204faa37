"""Reporting guidelines (TRIPOD+AI, CLAIM 2024), filled in from what a report contains.

Items, their texts and the rules that assess them are data, in ``items``; a rule looks at the facts of
``checklist_facts`` and at nothing else.

References
----------
G. S. Collins et al. (2024), TRIPOD+AI statement, BMJ 385:e078378, doi 10.1136/bmj-2023-078378.
A. S. Tejani et al. (2024), CLAIM 2024 update, Radiology: Artificial Intelligence 6(4):e240300,
doi 10.1148/ryai.240300.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, get_args

from her2core.errors import ConfigError
from her2core.io.text import capitalised
from her2core.report.checklist_facts import facts_of
from her2core.report.run_report import RunReport
from her2core.report.sections import where

State = Literal["met", "partly", "not reported", "not applicable"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Case:
    """One case of a rule.

    Attributes
    ----------
    state : {'met', 'partly', 'not reported', 'not applicable'}
        State of an item in this case.
    words : str
        What the report contains, or the reason why the item is not met; facts in braces.
    when : sequence of str
        Facts that all hold in this case; "not x" where x does not.
    sections : sequence of str
        Keys of the sections that meet the item.
    """

    state: State
    words: str
    when: Sequence[str] = ()
    sections: Sequence[str] = ()

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether a report with these facts is such a case.

        Examples
        --------
        >>> Case("met", "shared", when=("code", "not secret")).holds({"code": "a1b2", "secret": False})
        True
        """
        return all(bool(facts[name.removeprefix("not ")]) != name.startswith("not ") for name in self.when)

    def where(self, facts: Mapping[str, Any]) -> str:
        """The sections and words, with the facts of a report.

        Examples
        --------
        >>> Case("met", "commit {code}", sections=("model",)).where({"code": "a1b2"})
        'Section 5 (Model and training): commit a1b2'
        """
        words = self.words.format_map(facts)
        return f"{where(*self.sections)}: {words}" if self.sections else words


@dataclass(frozen=True)
class Item:
    """One item of a guideline; ``text`` says in our own words what it asks, ``cases`` assess a report."""

    number: str
    topic: str
    text: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Checklist:
    """A guideline: its name, how to cite it, its licence, how its items are worded here, and its items in order."""

    name: str
    citation: str
    items: tuple[Item, ...]
    licence: str
    wording: str


@dataclass(frozen=True)
class Filled:
    """One item of a guideline with its assessment.

    Attributes
    ----------
    number, topic, text : str
        Number in the guideline, its heading, and what it asks in our own words.
    state : {'met', 'partly', 'not reported', 'not applicable'}
        Assessment of the item.
    where : str
        The section that meets the item, or the reason why it is not met.
    """

    number: str
    topic: str
    text: str
    state: State
    where: str


def read_checklist(name: str, rules: Mapping[str, Sequence[Case]]) -> Checklist:
    """Read a guideline's items from their file.

    Parameters
    ----------
    name : str
        File in ``report/items``, without suffix.
    rules : mapping of str to sequence of Case
        Name of a rule -> its cases, as ``read_rules`` gives them.

    Returns
    -------
    Checklist

    Raises
    ------
    ConfigError
        Where an item names a rule that there is not.

    Examples
    --------
    >>> read_checklist("claim_2024", {})
    Traceback (most recent call last):
    her2core.errors.ConfigError: Expected a rule of rules.toml in claim_2024.json, but got 'of_run' for 1. Add the rule.
    """
    stated = json.loads(_file(f"{name}.json"))
    items = []
    for item in stated["items"]:
        if unknown := [rule for rule in item["rules"] if rule not in rules]:
            got = f"{unknown[0]!r} for {item['number']}"
            raise ConfigError(f"a rule of rules.toml in {name}.json", got=got, fix="Add the rule.")
        cases = tuple(case for rule in item["rules"] for case in rules[rule])
        items.append(Item(item["number"], item["topic"], item["text"], cases))
    citation = f"{stated['citation']} Licence: {stated['licence']}. Items: {stated['wording']}."
    return Checklist(stated["name"], citation, tuple(items), stated["licence"], stated["wording"])


@lru_cache(1)
def read_rules() -> dict[str, tuple[Case, ...]]:
    """Name of each rule -> its cases, from ``items/rules.toml``.

    Examples
    --------
    >>> read_rules()["authors"][0].state
    'not reported'
    """
    rules = tomllib.loads(_file("rules.toml"))
    return {name: tuple(Case(**case) for case in cases) for name, cases in rules.items()}


def _file(name: str) -> str:
    return (files("her2core.report") / "items" / name).read_text(encoding="utf-8")


TRIPOD, CLAIM = (read_checklist(name, read_rules()) for name in ("tripod_ai", "claim_2024"))
CHECKLISTS: tuple[Checklist, ...] = (TRIPOD, CLAIM)


def fill(checklist: Checklist, report: RunReport) -> tuple[Filled, ...]:
    """Assess every item of a guideline by its rules on what a report contains.

    Parameters
    ----------
    checklist : Checklist
        One of ``CHECKLISTS``.
    report : RunReport
        Report of a run or of a table of predictions.

    Returns
    -------
    tuple of Filled
        All items in the guideline's order.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> [item.state for item in fill(TRIPOD, example_report())].count("met")
    1
    """
    facts, filled = facts_of(report), []
    for item in checklist.items:
        case = next(case for case in item.cases if case.holds(facts))
        filled.append(Filled(item.number, item.topic, item.text, case.state, case.where(facts)))
    return tuple(filled)


def counts(filled: Sequence[Filled]) -> dict[State, int]:
    """Number of items in each state.

    Examples
    --------
    >>> counts([Filled("1", "Title", "Name the study", "met", "Section 2 (Summary)")])["met"]
    1
    """
    counted = Counter(item.state for item in filled)
    return {state: counted[state] for state in STATES}


def counts_sentence(checklist: Checklist, filled: Sequence[Filled]) -> str:
    """Number of a guideline's items in each state, in words.

    Examples
    --------
    >>> counts_sentence(CLAIM, [Filled("1", "Title", "Name the study", "met", "Section 2 (Summary)")])
    'CLAIM 2024 update: 1 met, 0 partly, 0 not reported, 0 not applicable.'
    """
    return f"{checklist.name}: {', '.join(f'{n} {state}' for state, n in counts(filled).items())}."


def not_reported_sentence(filled: Sequence[Filled]) -> str:
    """The items that are not reported as one list, by their reason.

    Parameters
    ----------
    filled : sequence of Filled

    Returns
    -------
    str

    Examples
    --------
    >>> states = ("met", "not reported", "not reported")
    >>> items = [Filled(str(i), t, "", s, "not known") for i, (t, s) in enumerate(zip("abc", states, strict=True))]
    >>> not_reported_sentence(items)
    'Not reported, 2 items. Not known: 1 b, 2 c.'
    """
    reasons: dict[str, list[str]] = {}
    for item in filled:
        if item.state == "not reported":
            reasons.setdefault(item.where, []).append(f"{item.number} {item.topic}")
    count = sum(map(len, reasons.values()))
    listed = " ".join(f"{capitalised(reason)}: {', '.join(names)}." for reason, names in reasons.items())
    return f"Not reported, {count} items. {listed}" if count else "No item is not reported."
