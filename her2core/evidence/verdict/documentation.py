"""The documentation page of the verdict, generated from its rules.

python -m her2core.evidence.verdict.documentation > docs/verdict.md
"""

from __future__ import annotations

from her2core.data.checks.registry import CHECKS
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.verdict.rules import CLAIM, NOT_GRADED, OVERALL, QUESTION, RULES, Rule

_INTRODUCTION = f"""# Verdict

"{QUESTION}" is the first thing on the page Performance, in `her2 evaluate`, in the run report, and in
`her2core.verdict`. This page is generated from the rules (`her2core/evidence/verdict/rules.py`).

**The claim.** {CLAIM}

Every aspect of it is graded by a written rule: it **supports the claim**, **limits the claim**, **contradicts the
claim**, or is **not known**. There is no score: no points are given and nothing is averaged. The answer is that of the
worst aspect, as in the overall judgement of PROBAST (Wolff et al. 2019, doi 10.7326/M18-1376).
"""
_JSON = """## JSON form

`her2 evaluate --json` has it under `verdict`, and `her2core.verdict(source).as_dict()` returns it: `name`, `question`,
`claim`, `answer` (`Yes`, `Within limits`, `Not known`, `No`), `sentence`, and

- `figures`: list of `name` (`all_rows`: training rows included, only where a table has them; `as_reported`: patches of
  the test part taken as independent; `by_patch`: interval over patients; `by_patient`), `label`, `value`, `lower_95`,
  `upper_95` (null without an interval), `interval_method`, `n`, `note`;
- `aspects`: list of `rule` (its id below), `title`, `question`, `grade`, `finding`, `needed` (what would make it known;
  empty where it is), `documentation`;
- `unknowns`: list of `what` and `needed`;
- `effective_sample`: null, or `unit`, `rows`, `patients`, `intraclass_correlation`, `design_effect`, `effective_rows`;
- `notes`: how a table was read, as far as no aspect says it.

Names and grades are stable; sentences are for people and may change.
"""


def markdown_page() -> str:
    """The whole page docs/verdict.md: the claim, the answers, a section per rule, and the JSON form.

    Returns
    -------
    str

    Examples
    --------
    >>> "## overlap" in markdown_page()
    True
    """
    answers = "\n".join(
        ["| answer | given where |", "|---|---|", *(f"| {a} | {when} |" for a, when in OVERALL.items())]
    )
    left_out = "; ".join(f"[{CHECKS[code].title}](checks.md#{code}) ({why})" for code, why in NOT_GRADED.items())
    end = f"## Checks that are not graded\n\n{left_out}."
    parts = [_INTRODUCTION.rstrip(), answers, markdown_table(), *map(_section, RULES.values()), end, _JSON.rstrip()]
    return "\n\n".join(parts) + "\n"


def markdown_table() -> str:
    """The rules as a Markdown table.

    Returns
    -------
    str
        One row per rule: id (linked to its section), question, and whether it is essential.

    Examples
    --------
    >>> print(markdown_table().splitlines()[2])
    | [overlap](#overlap) | Are the tested patients new to the network? | essential |
    """
    rows = [f"| [{r.id}](#{r.id}) | {r.question} | {'essential' if r.essential else ''} |" for r in RULES.values()]
    return "\n".join(["| rule | question | |", "|---|---|---|", *rows])


def _section(rule: Rule) -> str:
    grades = "\n".join(f"- **{grade}**: {when}." for grade, when in rule.grades.items())
    rests = [f"[{CHECKS[code].title}](checks.md#{code})" for code in rule.checks]
    rests += [f"[{metric_label(name)}](metrics.md)" for name in rule.metrics]
    on = f"\n\n**Rests on** {', '.join(rests)}." if rests else ""
    return (
        f"## {rule.id}\n\n**{rule.title}**. {rule.question} The first condition that holds gives the grade:\n\n{grades}"
        f"{on}\n\n**Source.** {rule.source}"
    )


if __name__ == "__main__":
    print(markdown_page(), end="")
