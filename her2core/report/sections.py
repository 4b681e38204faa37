"""Sections of the run report: their order, numbers, titles and standing sentences, and how the text refers to them."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from her2core.report.document import Block, Section, Words

if TYPE_CHECKING:
    from her2core.report.run_report import RunReport

#: Section key -> title and standing sentences, in the order of the report.
TEXTS: dict[str, dict[str, Any]] = tomllib.loads(
    (files("her2core.report") / "items" / "texts.toml").read_text(encoding="utf-8")
)
#: Section key -> title.
TITLES: dict[str, str] = {key: texts["title"] for key, texts in TEXTS.items()}
#: Figures of a table that one sentence names as not available.
_NAMED = 6


def number(key: str) -> int:
    """Number of a section, counted from 1.

    Examples
    --------
    >>> number("partition")
    4
    """
    return list(TITLES).index(key) + 1


def where(*keys: str) -> str:
    """Reference to one section or several.

    Examples
    --------
    >>> where("partition", "methods")
    'Section 4 (Partition) and Section 18 (How the figures were computed)'
    """
    return " and ".join(f"Section {number(k)} ({TITLES[k]})" for k in keys)


def text(key: str, name: str, **values: object) -> str:
    """A standing sentence of a section, with ``values`` in its braces.

    Examples
    --------
    >>> text("summary", "by_slide", dash="-")[:11]
    '- by slide:'
    """
    return str(TEXTS[key][name]).format_map(values)


def section(key: str, *blocks: Block) -> Section:
    """The section ``key`` with its number and title, holding ``blocks`` in order.

    Examples
    --------
    >>> section("summary").title
    'Summary'
    """
    return Section(key, number(key), TITLES[key], blocks)


def units(unit: str, count: int) -> str:
    """A count with its unit of analysis.

    Examples
    --------
    >>> units("patch", 1), units("patch", 1200), units("patient", 24)
    ('1 patch', '1,200 patches', '24 patients')
    """
    return f"{count:,} {unit if count == 1 else 'patches' if unit == 'patch' else f'{unit}s'}"


def absent(r: RunReport, *tables: str) -> list[Block]:
    """A sentence for everything of these tables that could not be computed.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> absent(example_report(), "referral")[0].text[:36]
    'Not available. by patch; by patient:'
    """
    blocks: list[Block] = []
    for reason, rows in r.missing[r.missing["table"].isin(tables)].groupby("reason", sort=False):
        names = [f"{row.what}, by {row.unit}" if row.what else f"by {row.unit}" for row in rows.itertuples()]
        if len(tables) > 1:
            names = [f"{n} ({t.replace('_', ' ')})" for n, t in zip(names, rows["table"], strict=True)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        blocks.append(Words(f"Not available. {'; '.join(names[:_NAMED])}{more}: {reason}", "muted"))
    return blocks
