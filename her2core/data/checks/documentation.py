"""The documentation page of the data checks, generated from the registry.

python -m her2core.data.checks.documentation > docs/checks.md
"""

from __future__ import annotations

from her2core.data.checks.registry import CHECKS

_INTRODUCTION = """# Data checks

Checks of a manifest, and of a split where one is given: `her2 data check`, `her2core.check_manifest`, and the Dataset
page of a run, which shows how every check ended when the run was trained. This page is generated from the registry
(`her2core/data/checks/registry.py`).

Each check ends in one of four ways: **found**, **not found**, **not applicable** (the question does not arise, for
example leakage without a split) or **could not be run** (the question arises, but the data do not allow an answer, for
example because patient ids are unknown). An *error* makes `her2 data check` exit with 1 and stops training before it
starts; a *warning* limits what the figures may claim; *info* is for the record.
"""

_LIMITS = """**What no check finds.** Copies that share less than about a third of their tissue and have no coordinates;
consecutive sections and further blocks of a patient who has another id; a typing error that makes another id, unless a
slide or file is named after the right one. Wrong labels of whole patients that neither IHC, ISH, the folder nor another
copy of the picture contradicts, such as *equivocal* for what was never tested. Shortcuts need patients: with 15 a class
those that four fifths of a class have are at the limit of what a permutation test shows. Differences of brightness,
white balance or noise that are smaller than those between patients, vignetting, marks in the middle of the patches and
faint watermarks are not found. Of several kinds of tissue as classes, colour and texture are information only: they
differ by themselves."""


def markdown_table() -> str:
    """The registry as a Markdown table.

    Returns
    -------
    str
        One row per check: code (linked to its section), title, severity, and inputs required.

    Examples
    --------
    >>> print(markdown_table().splitlines()[2])
    | [missing-files](#missing-files) | Missing image files | error | manifest |
    """
    rows = [
        f"| [{c.code}](#{c.code}) | {c.title} | {c.severity} | {', '.join(('manifest', *c.requires))} |"
        for c in CHECKS.values()
    ]
    return "\n".join(["| code | finds | severity | requires |", "|---|---|---|---|", *rows])


def markdown_page() -> str:
    """The whole page docs/checks.md: introduction, table, limits, and a section per check.

    Returns
    -------
    str

    Examples
    --------
    >>> "## patient-leak" in markdown_page()
    True
    """
    sections = [
        f"## {c.code}\n\n**{c.title}** ({c.severity}). {c.explanation}\n\n**Fix.** {c.fix}" for c in CHECKS.values()
    ]
    return "\n\n".join([_INTRODUCTION.rstrip(), markdown_table(), _LIMITS, *sections]) + "\n"


if __name__ == "__main__":
    print(markdown_page(), end="")
