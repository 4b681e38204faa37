"""Importer of the Warwick HER2 contest: H&E slides of 86 cases, with the IHC score of the training cases.

Layout: ``NN_HE.ndpi`` and ``NN_HER2.ndpi`` (or ``NN_Her2.ndpi``) anywhere below the folder, NN the zero-padded number
of the case; ``groundTruth.xlsx`` or ``.csv`` with ``CaseNo``, ``HeR2 SCORE (0-3)`` and the percentage of cells with
complete membrane staining. Only the scores of training cases were published; there was no ISH.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.importers.findings import (
    CONFLICT,
    MISSING,
    TWICE,
    UNREAD,
    Findings,
    case_number,
    note_unread,
    other_names,
    relative,
)
from her2core.data.importers.her2_results import STATUS, chosen_scheme, her2_schemes, ihc_scores, status_of_scores
from her2core.data.importers.published import build_cohort, count_facts, files_of, not_the_layout, require_published
from her2core.data.importers.result_tables import tables_of
from her2core.data.manifest import Manifest
from her2core.io.cells import UNKNOWN, identifiers
from her2core.io.number_formats import to_numbers

LAYOUT = "slides NN_HE.ndpi and a table groundTruth with the columns CaseNo and HeR2 SCORE"
LICENCE = "Warwick HER2 contest: academic use only, after registration"
TERMS = "Registered academic use; no redistribution. The score is the case's, read on its IHC slide."
CITATION = "Qaiser et al. 2018, Histopathology 72:227, doi 10.1111/his.13333"
SCHEMES = her2_schemes(["ihc_status", "ihc_positive", "ihc_score"], "of the case by consensus (Warwick contest)")
#: Of the whole data set. Which training case has which score is not public, so no first and last label is compared.
PUBLISHED: Mapping[str, int] = {"cases with an H&E slide": 86}
_NAME = re.compile(r"0*(\d+)_(HE|HER2)", re.IGNORECASE)
_CASE = r"(?i)^case\s*"


def to_manifest(root: Path, *, scheme: str = "ihc_status", mpp: float | None = None) -> Manifest:
    """Read the contest's folder as a manifest, one row an H&E slide with a score.

    Parameters
    ----------
    root : Path
        The folder that holds slides and ground truth.
    scheme : {"ihc_status", "ihc_positive", "ihc_score"}
        Which result the label is.
    mpp : float, optional
        Microns per pixel of all slides; their files state it.

    Returns
    -------
    Manifest
        ``her2_ihc`` is the score, ``her2_percent`` the percentage of stained cells, ``ihc_path`` the IHC slide.
        ``findings`` lists missing slides, cases without score, with several scores, and cells that state none.

    Raises
    ------
    ManifestError
        For another layout, a table without the columns, and an unknown scheme.
    """
    root = Path(root)
    chosen = chosen_scheme(SCHEMES, scheme)
    listing = files_of(root, LAYOUT, slides=True)
    findings = Findings()
    slides: dict[str, dict[str, Path]] = {"HE": {}, "HER2": {}}
    others = []
    for path in listing.files:
        if named := _NAME.fullmatch(path.stem):
            case, stain = f"{int(named[1]):02d}", named[2].upper()
            if case in slides[stain]:
                where = relative(slides[stain][case], root)
                findings.add(TWICE, case, path.stem, relative(path, root), f"{where} is used")
            else:
                slides[stain][case] = path
        else:
            others.append(path)
    if not slides["HE"]:
        raise not_the_layout(LAYOUT, f"{len(listing.files):,} other images", root)
    truth = _ground_truth(root, findings)
    rows: list[dict[str, Any]] = []
    for case, path in sorted(slides["HE"].items()):
        ihc = slides["HER2"].get(case)
        if ihc is None:
            findings.add(MISSING, case, path.stem, relative(path, root), "no IHC slide")
        rows.append(
            {
                "path": relative(path, root),
                "patient_id": case,
                "slide_id": path.stem,
                "scanner": "Hamamatsu NanoZoomer",
                "mpp": float("nan") if mpp is None else mpp,
                "source": "Warwick",
                "ihc_path": None if ihc is None else relative(ihc, root),
            }
        )
    for case in sorted(set(truth.index) - set(slides["HE"])):
        findings.add(MISSING, case, detail="a score, but no H&E slide")
    frame = pd.DataFrame(rows).join(truth, on="patient_id")
    frame[STATUS] = status_of_scores(frame["her2_ihc"])
    found = {"cases with an H&E slide": len(slides["HE"])}
    facts = {
        "licence": LICENCE,
        "terms": TERMS,
        "citation": CITATION,
        "counted": found,
        "left_out": other_names(others, root),
        **count_facts(found, PUBLISHED),
    }
    return build_cohort(frame, root=root, scheme=chosen, facts=facts, findings=findings, listing=listing)


def validate(manifest: Manifest, *, published: Mapping[str, int] = PUBLISHED, partial: bool = False) -> list[str]:
    """Check a manifest against the published counts.

    Parameters
    ----------
    manifest : Manifest
        As ``to_manifest`` makes it.
    published : mapping of str to int, optional
        Other counts.
    partial : bool, optional
        Accept missing cases.

    Returns
    -------
    list of str
        What is missing.

    Raises
    ------
    ManifestError
        Naming each difference.
    """
    return require_published(manifest.facts.get("counted", {}), published, name="Warwick HER2 contest", partial=partial)


def _ground_truth(root: Path, findings: Findings) -> pd.DataFrame:
    """Score and percentage by case; none where tables contradict each other."""
    tables, passed = tables_of(root, ("caseno", "her2score*"), ("percentage*",))
    if not tables:
        raise not_the_layout("a table with the columns CaseNo and HeR2 SCORE", passed, root)
    read = []
    for path, frame in tables.items():
        named = identifiers(frame["caseno"])
        case = named.str.replace(_CASE, "", regex=True).map(case_number).astype("object").str.zfill(2)
        scores = ihc_scores(frame["her2score"])
        for name in named[case.isna() & (named != UNKNOWN)]:
            findings.add(UNREAD, name, path=relative(path, root), detail=f"CaseNo {name!r}")
        note_unread(findings, case.fillna(named), frame["her2score"], scores, "HeR2 SCORE")
        numbers = to_numbers(frame["percentage"]) if "percentage" in frame else float("nan")
        read.append(pd.DataFrame({"case": case.to_numpy(), "her2_ihc": scores.to_numpy(), "her2_percent": numbers}))
    table = pd.concat(read, ignore_index=True).dropna(subset=["case"]).drop_duplicates(["case", "her2_ihc"])
    for case in sorted(set(table.loc[table["case"].duplicated(), "case"])):
        scores = table.loc[table["case"] == case, "her2_ihc"]
        findings.add(CONFLICT, case, detail=f"scores {', '.join('none' if s is None else s for s in scores)}")
        table.loc[table["case"] == case, "her2_ihc"] = None
    return table.drop_duplicates("case").set_index("case")
