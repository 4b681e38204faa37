"""Importer of the HEROHE challenge: H&E slides with IHC score, ISH group and final result.

Layout: ``<case>.mrxs`` with ``<case>/Slidedat.ini`` beside it (or ``<case>/<case>.mrxs``), optionally below folders
``positive`` and ``negative``; ``Training (ground truth).csv`` (semicolons, byte-order mark) and ``Test (ground
truth).xlsx`` with ``Case, Immunohistochemistry, ISH Group, Final Result (Ground truth), Age, ..., Laboratory``; another
export is ``HEROHE_TrainGroundTruth.csv`` with ``caseID, HER2status``.

The final result is resolved by ISH: it is not the same target as the IHC score, and both are kept. Of the ISH groups of
ASCO/CAP, 1 is positive and 5 negative; 2 to 4 are no result without the IHC score, and stand in ``ish_group`` alone.
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
    NO_LABEL,
    TWICE,
    UNLISTED,
    Findings,
    case_number,
    note_unread,
    other_names,
    relative,
)
from her2core.data.importers.her2_results import (
    STATUS,
    age_groups,
    chosen_scheme,
    her2_schemes,
    ihc_scores,
    results,
    status_of_scores,
)
from her2core.data.importers.published import (
    build_cohort,
    count_facts,
    files_of,
    not_the_layout,
    parts_of,
    require_published,
    without_gaps,
)
from her2core.data.importers.result_tables import tables_of
from her2core.data.manifest import Manifest
from her2core.errors import ManifestError
from her2core.io.cells import UNKNOWN, identifiers, label_text
from her2core.io.columns import squash
from her2core.io.listing import Listing
from her2core.io.text import clean_text

LAYOUT = "slides <case>.mrxs with <case>/Slidedat.ini, and a table with Case and Final Result, or caseID and HER2status"
LICENCE = "HEROHE challenge: research use, after registration"
TERMS = "Registered research use; no redistribution. The final result is after ISH and differs from the IHC score."
CITATION = "Conde-Sousa et al. 2022, J Imaging 8:213, doi 10.3390/jimaging8080213"
SCHEMES = her2_schemes(["final", "ihc_status", "ihc_positive", "ihc_score"], "of the case (HEROHE)")
#: Which case has which result is not public without registration, so no first and last label is compared.
PUBLISHED: Mapping[str, int] = {
    "training cases": 360,
    "training cases, positive": 144,
    "test cases": 150,
    "test cases, positive": 60,
}
_PARTS = {"train": "training", "test": "test"}


def to_manifest(root: Path, *, scheme: str = "final", mpp: float | None = None, part: str = "") -> Manifest:
    """Read the challenge's folder as a manifest, one row a slide with a result.

    Parameters
    ----------
    root : Path
        The folder that holds slides and tables.
    scheme : {"final", "ihc_status", "ihc_positive", "ihc_score"}
        Which result the label is.
    mpp : float, optional
        Microns per pixel of all slides; their files state it.
    part : {"", "train", "test"}
        Part of slides whose folders do not name it, where a number is a training and a test case.

    Returns
    -------
    Manifest
        ``her2_ihc`` is the IHC score, ``ish`` the ISH result, ``her2_final`` the published final result, ``site`` the
        laboratory, ``split`` the part of the challenge (train, test), or ``published_part`` where that of a case is
        unknown. ``findings`` lists contradictions, missing slides and slide data, and cases without result or in no
        table.

    Raises
    ------
    ManifestError
        For another layout, an unknown scheme, and an IHC scheme where the tables have no IHC score.
    """
    root = Path(root)
    chosen = chosen_scheme(SCHEMES, scheme)
    if part not in ("", *_PARTS):
        raise ManifestError(
            "part out of train, test", got=repr(part), where="herohe options", fix="Leave it out where folders name it."
        )
    listing = files_of(root, LAYOUT, slides=True)
    findings = Findings()
    truth = _ground_truth(root, findings, needed=not any(_folder_result(relative(p, root)) for p in listing.files))
    both = set(truth["case"][truth["case"].duplicated()])
    known = {(row.part, row.case): row for row in truth.itertuples()}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    folders: dict[tuple[str, str], str | None] = {}
    listed: dict[tuple[str, str], bool] = {}
    for path in _slides(listing):
        case, inside = _case(path.stem), relative(path, root)
        of = _part(inside) or part or _only_part(truth, case)
        folder = _folder_result(inside)
        if of is None and case in both:
            findings.add(CONFLICT, case, path.stem, inside, "a training and a test case: set part")
            continue
        key = (of or "", case)
        row = known.pop(key, None)
        if key in rows or (row is None and folder is None):
            kind, said = (TWICE, f"{rows[key]['path']} is used") if key in rows else (NO_LABEL, "in no table")
            findings.add(kind, case, path.stem, inside, said)
            if key in rows and folder and folders[key] and folder != folders[key]:
                _contradict(rows[key], f"folders {folders[key]} and {folder}", listed[key])
            continue
        if not any((place / "Slidedat.ini").is_file() for place in (path.with_suffix(""), path.parent)):
            findings.add(MISSING, case, path.stem, inside, f"no slide data ({path.stem}/Slidedat.ini)")
        if row is None and not truth.empty:
            findings.add(UNLISTED, case, path.stem, inside, f"result {folder} by its folder")
        folders[key], listed[key] = folder, row is not None and row.her2_final is not None
        name = f"{of}-{case}" if case in both else case
        rows[key] = {"path": inside, "patient_id": name, "slide_id": name, "split": of, **_results(row, folder)}
    for in_part, case in sorted(known):
        findings.add(MISSING, case, detail=f"a {_PARTS[in_part]} case without slide")
    if not rows:
        raise not_the_layout(
            LAYOUT, f"{len(listing.files):,} images, no single case of the tables ({_first(findings)})", root
        )
    frame = pd.DataFrame(list(rows.values())).assign(
        source="HEROHE", scanner="3DHistech", mpp=float("nan") if mpp is None else mpp
    )
    if scheme != "final" and frame["her2_ihc"].isna().all():
        raise ManifestError(
            "a table with IHC scores (Training (ground truth).csv)",
            got="final results only",
            where="scheme",
            fix="Add the full table, or use scheme=final.",
        )
    facts = {
        "licence": LICENCE,
        "terms": TERMS,
        "citation": CITATION,
        "left_out": other_names([path for path in listing.files if path.suffix.lower() != ".mrxs"], root),
        **count_facts(_counts(frame), PUBLISHED),
    }
    frame = without_gaps(frame)
    return build_cohort(
        frame, root=root, scheme=chosen, facts=facts, findings=findings, listing=listing, final_recorded=True
    )


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
    return require_published(_counts(manifest.frame), published, name="HEROHE", partial=partial)


def _first(findings: Findings) -> str:
    return next(iter(findings.sentences()), "no slide")


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    counts = {}
    for part, name in _PARTS.items():
        held = frame[parts_of(frame) == part]
        counts[f"{name} cases"] = len(held)
        counts[f"{name} cases, positive"] = int((held["her2_final"] == "positive").sum())
    return counts


def _slides(listing: Listing) -> list[Path]:
    return [path for path in listing.files if path.suffix.lower() == ".mrxs"]


def _case(text: str) -> str:
    """A case's number without leading zeros; another name as it is."""
    return case_number(text) or clean_text(label_text(text), 60)


def _part(inside: str) -> str | None:
    """Training or test by the folders of a path."""
    found = re.search(r"(?<![a-z])(train|test)", "/".join(inside.split("/")[:-1]), re.IGNORECASE)
    return found[1].lower() if found else None


def _only_part(truth: pd.DataFrame, case: str) -> str | None:
    parts = truth.loc[truth["case"] == case, "part"].tolist()
    return str(parts[0]) if len(parts) == 1 else None


def _folder_result(inside: str) -> str | None:
    """Positive or negative by the folders of a path."""
    found = re.search(r"(?<![a-z])(positive|negative)(?![a-z])", "/".join(inside.split("/")[:-1]), re.IGNORECASE)
    return found[1].lower() if found else None


def _results(row: Any, folder: str | None) -> dict[str, Any]:
    """Results of a case by its table's row, and the contradiction with its folder."""
    if row is None:
        return {"her2_ihc": None, STATUS: None, "ish": UNKNOWN, "her2_final": folder, "conflict": ""}
    final = row.her2_final or folder
    differs = folder is not None and row.her2_final is not None and folder != row.her2_final
    held = {name: getattr(row, name) for name in ("her2_ihc", STATUS, "ish", "ish_group", "site", "age_group")}
    return {**held, "her2_final": final, "conflict": f"final result {final}, but folder {folder}" if differs else ""}


def _contradict(row: dict[str, Any], said: str, listed: bool) -> None:
    """Note that folders name two results of a case; without a table's it has none."""
    row["conflict"] = "; ".join(filter(None, (row["conflict"], said)))
    if not listed:
        row["her2_final"] = None


def _ground_truth(root: Path, findings: Findings, *, needed: bool) -> pd.DataFrame:
    """Results by part and case; what two tables say differently is unknown."""
    columns = ["part", "case", "her2_ihc", STATUS, "ish", "ish_group", "her2_final", "site", "age_group"]
    further = ("ishgroup*", "laboratory", "her2status", "age", "finalresult*")
    full, passed = tables_of(root, ("case", "immunohistochemistry*"), further)
    short, _ = tables_of(root, ("caseid", "her2status"))
    if not full and not short:
        if needed:
            raise not_the_layout(LAYOUT, passed, root)
        return pd.DataFrame(columns=columns)
    tables = []
    for path, frame in (*full.items(), *short.items()):
        part = "test" if "test" in squash(path.stem) else "train"
        tables.append(_table(frame, findings).assign(part=part))
    merged = []
    for (part, case), rows in pd.concat(tables, ignore_index=True).groupby(["part", "case"], sort=False):
        row: dict[str, Any] = {"part": part, "case": case}
        for name in columns[2:]:
            said = [v for v in dict.fromkeys(rows[name]) if isinstance(v, str) and v != UNKNOWN]
            if len(said) > 1:
                findings.add(CONFLICT, str(case), detail=f"{name} {' and '.join(said)} in the tables")
            row[name] = said[0] if len(said) == 1 else (None if name in _NULLABLE else UNKNOWN)
        merged.append(row)
    return pd.DataFrame(merged, columns=columns, dtype=object)


_NULLABLE = ("her2_ihc", STATUS, "her2_final")


def _table(frame: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    frame = frame.rename(columns={"caseid": "case"})
    absent = pd.Series([None] * len(frame), index=frame.index, dtype="object")
    final = frame.get("finalresult", frame.get("her2status", absent))
    group = frame.get("ishgroup", absent).map(label_text)
    digit = group.str.extract(r"^(?:group\s*)?([1-5])$", flags=re.IGNORECASE, expand=False)
    ish = results(group.where(digit.isna(), None)).fillna(digit.map({"1": "positive", "5": "negative"}))
    scores, finals = ihc_scores(frame.get("immunohistochemistry", absent)), results(final)
    cases = frame["case"].map(_case)
    note_unread(findings, cases, frame.get("immunohistochemistry", absent), scores, "Immunohistochemistry")
    note_unread(findings, cases, final, finals, "Final Result")
    named = {
        "case": cases,
        "her2_ihc": scores,
        STATUS: status_of_scores(scores),
        "ish": ish.fillna(UNKNOWN),
        "ish_group": group.where(group != "", UNKNOWN),
        "her2_final": finals,
        "site": identifiers(frame.get("laboratory", absent)).to_numpy(),
        "age_group": age_groups(frame.get("age", absent)),
    }
    table = pd.DataFrame(named, dtype=object)
    return table[table["case"] != ""]
