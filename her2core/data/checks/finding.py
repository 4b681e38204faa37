"""What does a check say? A code, how grave it is, what was expected and found, the rows, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Literal

import pandas as pd

Severity = Literal["error", "warning", "info"]
#: Rows and pairs that a finding lists; it counts all.
LISTED = 20

#: Every code, with why it matters.
EXPLANATIONS = MappingProxyType(
    {
        "missing-files": "A row without its image can be neither trained nor tested on.",
        "unreadable-images": "A file that is no whole image can be neither trained nor tested on.",
        "empty-class": "A class without patches cannot be learned, and no figure can be given for it.",
        "few-patients": "Patients are the unit of every claim about new patients; patches of one patient are no "
        "substitute for more of them.",
        "few-patients-for-interval": "The width of an interval is set by the number of patients tested, "
        "however many patches each has.",
        "unknown-patients": "Patches of one patient look alike; without the ids nobody can tell whether one patient "
        "stands on both sides of a split.",
        "label-conflict": "A label that IHC or ISH contradicts teaches and tests the wrong answer.",
        "patient-with-two-labels": "A patient with several labels has no single answer to be right about.",
        "missing-mpp": "Without microns per pixel patches of different scale cannot be told apart.",
        "site-confounded": "A network can tell the site from stain and scanner and answer with the site's class; the "
        "figures then do not hold at another site.",
        "scanner-confounded": "A network can tell the scanner from its colours and sharpness and answer with the "
        "scanner's class; the figures then do not hold on another scanner.",
        "patient-confounded": "Where a class is hardly more than one patient, knowing that patient again is as good "
        "as knowing the class.",
        "colour-confounded": "Colour alone, without any form, tells the class of patients not seen before: the "
        "figures may rest on how the slides were stained.",
        "colour-unjudged": "Whether colour alone tells the class can only be judged across patients: patches of one "
        "patient share a stain, so that within patients colour always seems to tell it.",
        "patient-leak": "Patches of a patient seen in training are recognised; the test says nothing of new patients.",
        "slide-leak": "Patches of a slide seen in training are recognised; the test says nothing of new slides.",
        "neighbouring-tiles": "Tiles that overlap or touch show the same cells, gland or stain on both sides of the "
        "split.",
        "identical-images": "A copy in another part of the split is an answer given away.",
        "near-duplicates": "The same tissue, encoded anew, cropped, flipped or stained otherwise, is an answer given "
        "away; a comparison of files does not see it.",
    }
)


@dataclass(frozen=True)
class Finding:
    """One thing found. ``rows`` are patch ids (the first 20 of them), ``count`` how many there are in all.

    ``pairs`` are the first 20 pairs of patch ids where it is pairs that were found. ``why`` says why it matters.
    """

    code: str
    severity: Severity
    expected: str
    got: str
    fix: str
    rows: tuple[str, ...] = ()
    count: int = 0
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def why(self) -> str:
        return EXPLANATIONS[self.code]

    def __str__(self) -> str:
        return f"{self.code} ({self.severity}): expected {self.expected}, got {self.got}. {self.fix}"

    def text(self, rows: int = 5) -> str:
        """The finding as a paragraph for a terminal: what, why, and the first ``rows`` rows or pairs."""
        lines = [str(self), f"  why:   {self.why}"]
        if self.rows:
            more = ", ..." if self.count > rows else ""
            lines.append(f"  rows:  {self.count}: {', '.join(self.rows[:rows])}{more}")
        if self.pairs:
            lines.append("  pairs: " + "; ".join(f"{a} and {b}" for a, b in self.pairs[:rows]))
        return "\n".join(lines)

    def as_dict(self) -> dict:
        """Its fields and ``why``, as plain values."""
        return {**asdict(self), "why": self.why}


def finding(
    code: str,
    severity: Severity,
    rows: pd.DataFrame | Sequence[str],
    expected: str,
    got: str,
    fix: str,
    *,
    pairs: Sequence[tuple[str, str]] = (),
) -> Finding:
    """A Finding over ``rows``, a table with ``patch_id`` or the ids themselves."""
    ids = list(rows["patch_id"]) if isinstance(rows, pd.DataFrame) else list(rows)
    return Finding(code, severity, expected, got, fix, tuple(ids[:LISTED]), len(ids), tuple(pairs[:LISTED]))
