"""Importer of BCNB: core-needle biopsies of 1,058 patients of one site, as slides or as patches.

Layout: ``WSIs/{id}.jpg`` with ``{id}.json`` (annotated tumour), ``patches/{pid}/{pid}_{region}_{x}_{y}.jpg`` (256 px),
``dataset-splitting/{train,val,test}_id.txt`` (one id a line) and ``patient-clinical-data.xlsx`` with ``Patient ID``,
``HER2`` (final result), ``HER2 Expression`` (IHC score) and others. The final result of a score of 2+ is its ISH
result. The images do not state their scale.
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
    Findings,
    case_number,
    not_read,
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
from her2core.io.cells import UNKNOWN, label_text

LAYOUT = "WSIs/{id}.jpg or patches/{id}/{id}_{region}_{x}_{y}.jpg, and patient-clinical-data.xlsx"
LICENCE = "BCNB: non-commercial use only, after registration; no redistribution"
TERMS = "Registered non-commercial use; do not redistribute images or tables."
CITATION = "Xu et al. 2021, Front Oncol 11:759007, doi 10.3389/fonc.2021.759007"
LIMITS = (
    "One site and one scanner: nothing here says how a model does at another.",
    "The images do not state their scale: give it with --set mpp=...",
)
SCHEMES = her2_schemes(["ihc_status", "ihc_positive", "ihc_score", "final"], "of the patient (BCNB)")
#: Patients by part and by result. Which patient has which is not public, so no first and last label is compared.
PUBLISHED: Mapping[str, int] = {
    "patients": 1058,
    **{f"patients in {part}": n for part, n in (("train", 630), ("val", 210), ("test", 218))},
    **{f"patients with {score}": n for score, n in (("0", 127), ("1+", 242), ("2+", 483), ("3+", 206))},
    "patients with 2+ and ISH negative": 412,
    "patients with 2+ and ISH positive": 71,
}
PATCHES = 76578
#: Side of a patch in pixels.
_PX = 256
_PATCHES, _SLIDES = ("patch", "patches"), ("slide", "slides")
_PATCH = re.compile(r"(\d+)_(\d+)_(\d+)_(\d+)")
_FURTHER = {"er": "er", "pr": "pr", "histologicalgrading": "grade", "molecularsubtype": "molecular_subtype"}


def to_manifest(root: Path, *, scheme: str = "ihc_status", images: str = "auto", mpp: float | None = None) -> Manifest:
    """Read the data set's folder as a manifest, one row a slide or one row a patch.

    Parameters
    ----------
    root : Path
        The folder that holds ``WSIs`` or ``patches`` and the clinical table.
    scheme : {"ihc_status", "ihc_positive", "ihc_score", "final"}
        Which result the label is.
    images : {"auto", "slides", "patches"}
        What a row is; slides where there are both.
    mpp : float, optional
        Microns per pixel of slides or patches; the files do not state it.

    Returns
    -------
    Manifest
        ``her2_ihc`` is the score, ``her2_final`` the final result, ``ish`` the ISH result of a score of 2+, ``split``
        the published part, ``regions`` the annotation of a slide; ``x, y`` place a patch on its slide. ``findings``
        lists contradictions, missing files and patients of several parts.

    Raises
    ------
    ManifestError
        For another layout, a table without the columns, and an unknown scheme.
    """
    root = Path(root)
    chosen = chosen_scheme(SCHEMES, scheme)
    if images not in ("auto", "slides", "patches"):
        raise ManifestError(
            "images out of auto, slides, patches", got=repr(images), where="bcnb options", fix="Use one of these."
        )
    listing = files_of(root, LAYOUT, slides=False)
    findings = Findings()
    slides, patches, others = _images(listing.files, root, findings)
    whole = bool(slides) if images == "auto" else images == "slides"
    named = {key: [path] for key, path in slides.items()} if whole else patches
    if not named:
        kind = "slides" if whole else "patches"
        raise not_the_layout(LAYOUT, f"{len(listing.files):,} images, none of {kind}", root)
    clinical = _clinical(root, findings)
    parts = _parts(root, set(clinical.index), findings)
    rows: list[dict[str, Any]] = []
    annotated = {p.as_posix().lower(): p for p in root.rglob("*") if p.suffix.lower() == ".json"} if whole else {}
    for patient in sorted(named, key=int):
        if patient not in clinical.index:
            findings.add(NO_LABEL, patient, path=relative(named[patient][0], root), detail="not in the clinical table")
            continue
        for path in named[patient]:
            rows.append({"patient_id": patient, "slide_id": patient, **_row(path, root, whole, annotated, findings)})
    unread = {key: len(paths) for key, paths in patches.items()} if whole else dict.fromkeys(slides, 1)
    option = "images=patches" if whole else "images=slides"
    for patient in clinical.index.difference(pd.Index(named)):
        instead = not_read(unread.get(patient, 0), *(_PATCHES if whole else _SLIDES), option)
        detail = "; ".join([f"no {'slide' if whole else 'patch'}", *instead]).removesuffix(".")
        findings.add(MISSING, patient, detail=detail)
    if not rows:
        raise not_the_layout("images of patients of the clinical table", "none", root)
    frame = pd.DataFrame(rows).join(clinical, on="patient_id")
    frame = frame.assign(site="BCNB", scanner="iScan Coreo", source="BCNB", mpp=float("nan") if mpp is None else mpp)
    if parts:
        frame = without_gaps(frame.assign(split=frame["patient_id"].map(parts)))
    facts = {
        "licence": LICENCE,
        "terms": TERMS,
        "citation": CITATION,
        "whole_slides": whole,
        "rules_out": list(LIMITS[: 2 if mpp is None else 1]),
        "left_out": [
            *not_read(sum(unread.values()), *(_PATCHES if whole else _SLIDES), option),
            *other_names(others, root),
        ],
        **count_facts(_counts(frame), _published(frame)),
    }
    return build_cohort(
        frame, root=root, scheme=chosen, facts=facts, findings=findings, listing=listing, final_recorded=True
    )


def validate(manifest: Manifest, *, published: Mapping[str, int] | None = None, partial: bool = False) -> list[str]:
    """Check a manifest against the published counts.

    Parameters
    ----------
    manifest : Manifest
        As ``to_manifest`` makes it.
    published : mapping of str to int, optional
        Other counts; ``PUBLISHED`` when left out, and for patches their number.
    partial : bool, optional
        Accept missing patients.

    Returns
    -------
    list of str
        What is missing.

    Raises
    ------
    ManifestError
        Naming each difference.
    """
    expected = _published(manifest.frame) if published is None else published
    return require_published(_counts(manifest.frame), expected, name="BCNB", partial=partial)


def _published(frame: pd.DataFrame) -> Mapping[str, int]:
    return {**PUBLISHED, "patches": PATCHES} if "region" in frame else PUBLISHED


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    patients = frame.drop_duplicates("patient_id")
    part = parts_of(patients)
    borderline = patients[patients["her2_ihc"] == "2+"]
    return {
        "patients": len(patients),
        **{f"patients in {name}": int((part == name).sum()) for name in ("train", "val", "test")},
        **{f"patients with {score}": int((patients["her2_ihc"] == score).sum()) for score in ("0", "1+", "2+", "3+")},
        **{f"patients with 2+ and ISH {r}": int((borderline["ish"] == r).sum()) for r in ("negative", "positive")},
        **({"patches": len(frame)} if "region" in frame else {}),
    }


def _number(text: str) -> str:
    """A patient's number without leading zeros."""
    return str(int(text))


def _images(
    files: tuple[Path, ...], root: Path, findings: Findings
) -> tuple[dict[str, Path], dict[str, list[Path]], list[Path]]:
    """Slides and patches by patient, and images of other names."""
    slides: dict[str, Path] = {}
    patches: dict[str, list[Path]] = {}
    others: list[Path] = []
    for path in files:
        if found := _PATCH.fullmatch(path.stem):
            folder = path.parent.name
            if folder.isdecimal() and _number(folder) != _number(found[1]):
                detail = f"patient {found[1]} by its name, {folder} by its folder"
                findings.add(CONFLICT, found[1], path=relative(path, root), detail=detail)
            else:
                patches.setdefault(_number(found[1]), []).append(path)
        elif path.stem.isdecimal():
            key = _number(path.stem)
            if key in slides:
                findings.add(TWICE, key, key, relative(path, root), f"{relative(slides[key], root)} is used")
            else:
                slides[key] = path
        else:
            others.append(path)
    return slides, patches, others


def _row(path: Path, root: Path, whole: bool, annotated: Mapping[str, Path], findings: Findings) -> dict[str, Any]:
    inside = relative(path, root)
    if not whole:
        _, region, x, y = map(int, path.stem.split("_"))
        return {"path": inside, "region": region, "x": x, "y": y, "width": _PX, "height": _PX}
    annotation = annotated.get(path.with_suffix(".json").as_posix().lower())
    if annotation is None:
        findings.add(MISSING, _number(path.stem), _number(path.stem), inside, f"no annotation {path.stem}.json")
    return {"path": inside, "regions": None if annotation is None else relative(annotation, root)}


def _clinical(root: Path, findings: Findings) -> pd.DataFrame:
    """Results by patient; what two rows say differently is unknown."""
    tables, passed = tables_of(root, ("patientid", "her2expression*"), ("her2", "age*", *_FURTHER))
    if not tables:
        raise not_the_layout("patient-clinical-data.xlsx with the columns Patient ID and HER2 Expression", passed, root)
    read = []
    for frame in tables.values():
        absent = pd.Series([None] * len(frame), index=frame.index, dtype="object")
        scores = ihc_scores(frame["her2expression"])
        final = results(frame.get("her2", absent))
        patients = frame["patientid"].map(lambda cell: case_number(cell) or label_text(cell))
        note_unread(findings, patients, frame["her2expression"], scores, "HER2 Expression")
        note_unread(findings, patients, frame.get("her2", absent), final, "HER2")
        held = pd.DataFrame(
            {
                "patient_id": patients,
                "her2_ihc": scores,
                STATUS: status_of_scores(scores),
                "ish": final.where(scores == "2+", None).fillna(UNKNOWN),
                "her2_final": final,
                "age_group": age_groups(frame.get("age", absent)),
            },
            dtype=object,
        )
        for own, name in _FURTHER.items():
            if own in frame:
                cells = frame[own].map(label_text)
                held[name] = (
                    results(cells).fillna(UNKNOWN) if own in ("er", "pr") else cells.where(cells != "", UNKNOWN)
                )
        read.append(held)
    table = pd.concat(read, ignore_index=True)
    table = table[table["patient_id"] != ""].drop_duplicates()
    for patient in sorted(set(table.loc[table["patient_id"].duplicated(), "patient_id"])):
        findings.add(CONFLICT, patient, detail="rows of the clinical table that differ; the result is unknown")
        table.loc[table["patient_id"] == patient, ["her2_ihc", STATUS, "her2_final"]] = None
        table.loc[table["patient_id"] == patient, "ish"] = UNKNOWN
    return table.drop_duplicates("patient_id").set_index("patient_id")


def _parts(root: Path, patients: set[str], findings: Findings) -> dict[str, str]:
    """Published part by patient, without those in several."""
    found: dict[str, str] = {}
    several = set()
    for path in sorted(path for path in root.rglob("*") if path.name.lower().endswith("_id.txt")):
        part = path.name.lower().removesuffix("_id.txt")
        if part not in ("train", "val", "test"):
            continue
        for line in path.read_text(encoding="utf-8-sig", errors="replace").split():
            patient = case_number(line) or line
            if found.setdefault(patient, part) != part:
                findings.add(CONFLICT, patient, path=relative(path, root), detail=f"in {found[patient]} and {part}")
                several.add(patient)
            if patient not in patients:
                findings.add(NO_LABEL, patient, path=relative(path, root), detail="not in the clinical table")
    return {patient: part for patient, part in found.items() if patient not in several}
