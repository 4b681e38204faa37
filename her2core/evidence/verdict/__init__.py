"""Verdict on a reported accuracy, graded by written rules.

``rules`` holds the rules as data, ``grading`` has a function for each, ``assess`` makes the verdict.
"""

from her2core.evidence.verdict.assess import verdict, verdict_of
from her2core.evidence.verdict.result import Aspect, Figure, Unknown, Verdict
from her2core.evidence.verdict.rules import ANSWERS, GRADES, QUESTION, RULES, Rule

__all__ = [
    "ANSWERS",
    "GRADES",
    "QUESTION",
    "RULES",
    "Aspect",
    "Figure",
    "Rule",
    "Unknown",
    "Verdict",
    "verdict",
    "verdict_of",
]
