"""Importer of TCGA-BRCA: slides or fields named by TCGA barcode, joined to the HER2 columns of TCGA's clinical table.

Layout: slides or images anywhere below the folder whose names hold a TCGA barcode
(``TCGA-XX-YYYY-01Z-00-DX1.<uuid>.svs``); a clinical table (text, Excel, OpenDocument or Parquet) found by its header
(``bcr_patient_barcode``, ``her2_status_by_ihc``; the two further header rows of TCGA are skipped); for fields
optionally ``cells/<name>_gt_class_coords.txt`` with one cell a line as ``row column class``.

IHC status, IHC score and FISH result were recorded separately and contradict each other in some patients. They stay
separate columns, a scheme names the one that the label is, and ``Manifest.findings`` lists the contradictions.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from her2core.data.importers.findings import CONFLICT, MISSING, NO_LABEL, TWICE, Findings, not_read
from her2core.data.importers.her2_results import chosen_scheme, conflict_of, label_of
from her2core.data.importers.published import files_of
from her2core.data.importers.tcga_clinical import NUMBERS, SCHEMES_TCGA, find_clinical, read_clinical, validate_clinical
from her2core.data.importers.tcga_slides import OTHER_TISSUE, is_slide, slide_rows
from her2core.data.importers.tcga_windows import cell_counts, windows_of
from her2core.data.manifest import Manifest, build_manifest
from her2core.errors import ManifestError
from her2core.io.images import image_size
from her2core.io.listing import FEW, Listing

LAYOUT = "images or slides with a TCGA barcode in their names (TCGA-XX-YYYY-01Z-00-DX1.<uuid>.svs)"
LICENCE = "TCGA open access; fields and cells: BSD-3 (Dataset-BRCA-M2C)"
TERMS = "TCGA open-access data; do not try to identify participants. No HER2 class here is a reading of these images."
CITATION = "TCGA 2012, doi 10.1038/nature11412; fields and cells: Abousamra et al. 2021, arXiv 2110.04886"
#: Labelled fields and patients of the 120 published fields under the scheme ihc_status.
PUBLISHED = {"negative": (66, 63), "equivocal": (17, 13), "positive": (24, 24)}
#: First and last published field with a status, and their labels.
ENDS = (
    ("TCGA-A7-A0D9-01Z-00-DX2_18001_13001_1000_1000_0.9824", "negative"),
    ("TCGA-Z7-A8R6-01Z-00-DX1_41501_40501_1000_1000_1.0108", "negative"),
)
_BARCODE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?:-\d{2}[A-Z](?:-\d{2}(?:-[A-Z]{2}\w?)?)?)?", re.IGNORECASE)
#: Name of a published field after the barcode: x, y, width, height in level-0 pixels, and microns per pixel over 0.25.
_FIELD = re.compile(r"_(\d+)_(\d+)_(\d+)_(\d+)_(\d+\.\d+)$")


def to_manifest(
    root: Path,
    *,
    scheme: str = "ihc_status",
    mpp: float | None = None,
    window_um: float | None = None,
    overlap: float = 0.0,
    min_tumour_cells: int = 0,
    sites: str = "",
    images: str = "auto",
    annotations: str | Path | None = None,
) -> Manifest:
    """Read images or slides named by TCGA barcode as a manifest: one row a slide, an image, or a window of an image.

    Parameters
    ----------
    root : Path
        The folder that holds the images or slides and the clinical table.
    scheme : {"ihc_status", "ihc_positive", "ihc_score", "final"}
        ``ihc_status`` (negative, equivocal, positive as recorded), ``ihc_positive`` (positive against the other two),
        ``ihc_score`` (0 to 3+) or ``final`` (a FISH result overrides the IHC status; an equivocal status without one
        has no label).
    mpp : float, optional
        Microns per pixel of images whose name does not state them as the published fields do.
    window_um : float, optional
        Side of square windows in microns; whole images when left out. Windows cover the image evenly, the last of each
        direction ending at its border. All windows of an image have its ``field_id`` and ``slide_id``.
    overlap : float
        Smallest share of a window's side that neighbours overlap, 0 to below 1.
    min_tumour_cells : int
        Rows with fewer annotated tumour or epithelial cells are left out; needs the cell files.
    sites : str
        Codes of the sites to keep, separated by commas (``A8``); all where empty.
    images : {"auto", "fields", "slides"}
        What to read: plain images, diagnostic whole slides of primary tumours (sample type 01 and DX), or slides where
        there are both.
    annotations : path, optional
        Of slides: folder of Aperio XML named by barcode, such as Yale's ``TCGA_BRCA_Filtered``; ``regions`` names each
        slide's.

    Returns
    -------
    Manifest
        ``her2_ihc`` is the score, ``her2_status_by_ihc`` the status, ``ish`` the FISH result, ``her2_final`` the class
        after FISH; ``conflict`` names contradictions. Its facts count what has no label, ``findings`` lists conflicts,
        patients without label or record, and slides of other tissue.

    Raises
    ------
    ManifestError
        For a folder without such images or table, an unknown scheme or site, options out of range, windows without a
        scale, and missing cell files where cells are asked for.
    """
    root = Path(root)
    chosen = chosen_scheme(SCHEMES_TCGA, scheme)
    if not 0 <= overlap < 1 or min_tumour_cells < 0 or (window_um is not None and not window_um > 0):
        got = f"{window_um}, {overlap} and {min_tumour_cells}"
        _refuse(
            "window_um above 0, overlap from 0 to below 1 and min_tumour_cells of 0 or more",
            got,
            "tcga_brca options",
            "Leave them out for whole images.",
        )
    if images not in ("auto", "fields", "slides"):
        _refuse("images out of auto, fields, slides", repr(images), "tcga_brca options", "Use one of these.")
    listing, slides, unread = _listing(root, images)
    named = [(path, found) for path in listing.files if (found := _BARCODE.search(path.stem))]
    if not named:
        got = f"{len(listing.files)} {'slides' if slides else 'images'} without one"
        _refuse(LAYOUT, got, str(root), "Give the folder that holds them.")
    if slides and (window_um is not None or min_tumour_cells):
        _refuse("fields for windows and cells", "slides", str(root), "Cut slides into tiles with her2 tile.")
    unnamed = len(listing.files) - len(named)
    named, elsewhere = _of_sites(named, sites)
    clinical = read_clinical(find_clinical(root))
    findings = Findings()
    if slides:
        where = Path(annotations) if annotations else None
        rows = slide_rows([path for path, _ in named], root, mpp=mpp, annotations=where, findings=findings)
        if not rows:
            got = f"{len(named)} other slides"
            _refuse("a diagnostic slide of a primary tumour (-01Z-00-DX1)", got, str(root), "Download those.")
    else:
        rows = _field_rows(named, root, mpp, window_um, overlap, min_tumour_cells)
        clinical = clinical.drop(columns=[name for name in NUMBERS if name in clinical])
    other, bare = findings.number(OTHER_TISSUE) + findings.number(TWICE), findings.number(MISSING)
    frame = pd.DataFrame(rows)
    absent = ~frame["patient_id"].isin(clinical.index)
    unknown = sorted(set(frame.loc[absent, "patient_id"]))
    for patient in unknown:
        findings.add(NO_LABEL, patient, detail="absent from the clinical table")
    frame = frame[~absent].join(clinical, on="patient_id")
    if frame.empty:
        _refuse("patients of the clinical table", f"{len(unknown)} others", str(root), "Use TCGA's table unchanged.")
    frame["label"] = label_of(frame, scheme)
    frame["conflict"] = conflict_of(frame)
    for row in frame.drop_duplicates("patient_id").itertuples():
        if row.conflict:
            findings.add(CONFLICT, str(row.patient_id), detail=str(row.conflict))
        if pd.isna(row.label):
            findings.add(NO_LABEL, str(row.patient_id), detail=f"no {scheme}")
    unlabelled = frame["label"].isna()
    few = ~unlabelled & (frame["tumour_cells"] < min_tumour_cells) if min_tumour_cells else unlabelled & False
    left_out = [
        f"{frame.loc[unlabelled, 'patient_id'].nunique():,} patients ({int(unlabelled.sum()):,} rows): no {scheme}."
        if unlabelled.any()
        else "",
        f"{int(few.sum()):,} rows: fewer than {min_tumour_cells} tumour cells." if few.any() else "",
        f"{len(unknown):,} patients absent from the clinical table: {', '.join(unknown[:FEW])}." if unknown else "",
        f"{elsewhere:,} images of other sites than {sites}." if elsewhere else "",
        f"{unnamed:,} images without a TCGA barcode." if unnamed else "",
        f"{other:,} slides: frozen or normal tissue, or a second copy (findings)." if other else "",
        *unread,
        *listing.left_out,
    ]
    kept = frame[~unlabelled & ~few]
    patients = kept.drop_duplicates("patient_id")
    said = {
        "left_out": [sentence for sentence in left_out if sentence],
        "unreadable": list(listing.unreadable),
        "links": listing.links_sentence,
        "found": [f"{bare:,} {'slide' if bare == 1 else 'slides'} without annotation."] if bare else [],
        "conflicts": patients.loc[patients["conflict"] != "", "conflict"]
        .str.split("; ")
        .explode()
        .value_counts()
        .to_dict(),
        "clinical": clinical.attrs["counts"] if slides else None,
    }
    facts_of_all = {"licence": LICENCE, "terms": TERMS, "citation": CITATION, **{k: v for k, v in said.items() if v}}
    manifest = build_manifest(kept, root=root, scheme=chosen, facts=facts_of_all, where=str(root))
    return replace(manifest, findings=findings.frame())


def validate(manifest: Manifest, *, partial: bool = False) -> list[str]:
    """Check whole fields under ihc_status against the published 120 fields, or slides' clinical table.

    Parameters
    ----------
    manifest : Manifest
        Made without windows.
    partial : bool, optional
        Of slides: accept a clinical table with fewer patients than the release with 1,099.

    Returns
    -------
    list of str
        What is missing.

    Raises
    ------
    ManifestError
        For other counts of fields, patients or recorded results, or other first and last labels.
    """
    if "field_id" not in manifest.frame:
        return validate_clinical(manifest.facts.get("clinical", {}), partial=partial)
    frame = manifest.frame.sort_values("field_id")
    grouped = frame.groupby("label")["patient_id"]
    counts = {label: (len(ids), ids.nunique()) for label, ids in grouped}
    ends = tuple(zip(frame["field_id"].iloc[[0, -1]], frame["label"].iloc[[0, -1]], strict=True))
    if counts != PUBLISHED or ends != ENDS:
        got = f"{counts}, from {ends[0]} to {ends[1]}"
        _refuse(f"{PUBLISHED}, from {ENDS[0]} to {ENDS[1]}", got, "tcga_brca", "Use the published fields unchanged.")
    return []


def _listing(root: Path, images: str) -> tuple[Listing, bool, list[str]]:
    """The files to read, whether they are slides, and what was not read because of that."""
    listing = files_of(root, LAYOUT, slides=True)
    slides = tuple(path for path in listing.files if is_slide(path))
    plain = tuple(path for path in listing.files if not is_slide(path))
    whole = images == "slides" or (images == "auto" and any(_BARCODE.search(path.stem) for path in slides))
    if whole:
        unread = not_read(len(plain), "plain image", "plain images", "images=fields")
    else:
        unread = not_read(len(slides), "whole slide", "whole slides", "images=slides")
    return replace(listing, files=slides if whole else plain), whole, unread


def _field_rows(
    named: list[tuple[Path, re.Match[str]]],
    root: Path,
    mpp: float | None,
    window_um: float | None,
    overlap: float,
    min_tumour_cells: int,
) -> list[dict[str, Any]]:
    """A row a field, or a row a window of it, with its annotated cells where there are such."""
    cells = root / "cells"
    rows = []
    for path, barcode in named:
        facts = _image_facts(path, barcode[0].upper(), mpp)
        side = image_size(path)
        counted = cell_counts(cells / f"{path.stem}_gt_class_coords.txt")
        if counted is None and min_tumour_cells:
            _refuse(f"{path.stem}_gt_class_coords.txt", "no such file", str(cells), "Set min_tumour_cells to 0.")
        for window in windows_of(side, facts["mpp"], window_um, overlap, where=str(path)):
            count = counted.within(window or (0, 0, *side)) if counted is not None else {}
            at = dict(zip(("x", "y", "width", "height"), window, strict=True)) if window else {}
            rows.append({"path": path.relative_to(root).as_posix(), **facts, **at, **count})
    return rows


def _of_sites(named: list[tuple[Path, re.Match[str]]], sites: str) -> tuple[list[tuple[Path, re.Match[str]]], int]:
    """Images of the sites asked for, and the number of others."""
    asked = {code.strip().upper() for code in sites.split(",") if code.strip()}
    known = {found[0][5:7].upper() for _, found in named}
    if missing := sorted(asked - known):
        _refuse(f"sites out of {', '.join(sorted(known))}", ", ".join(missing), "sites", "Name sites of these images.")
    kept = [(path, found) for path, found in named if not asked or found[0][5:7].upper() in asked]
    return kept, len(named) - len(kept)


def _image_facts(path: Path, barcode: str, mpp: float | None) -> dict[str, Any]:
    """Patient, slide, site and scale that the name of an image states."""
    field = _FIELD.search(path.stem)
    if field:  # resampled: its width in microns is that of the level-0 window
        mpp = int(field[3]) * 0.25 * float(field[5]) / image_size(path)[0]
    return {
        "patient_id": barcode[:12],
        "slide_id": barcode[:23] if len(barcode) >= 22 else path.stem,
        "field_id": path.stem,
        "site": barcode[5:7],
        "mpp": float("nan") if mpp is None else round(float(mpp), 6),
        "source": "TCGA-BRCA",
    }


def _refuse(expected: str, got: str, where: str, fix: str) -> NoReturn:
    raise ManifestError(expected, got=got, where=where, fix=fix)
