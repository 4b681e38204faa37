"""Importer of Yale's HER2 tumour ROIs (TCIA): slides HER2-positive or negative, with annotated tumour.

Layout: ``Yale_HER2_cohort/{SVS,Annotations}/Her2Pos_Case_NN.svs|.xml`` and ``Her2Neg_Case_NN``, the class in the name;
numbers of positive and negative cases overlap, so the whole stem is the case.
``Yale_trastuzumab_response_cohort/{SVS,Annotations}/`` with a workbook ``..._metadata_clean.xlsx`` (``Patient,
Responder``; strict OOXML): all HER2-positive, the label is the response. ``TCGA_BRCA_Filtered/`` holds annotations of
TCGA slides alone, to be joined by ``tcga_brca`` (its option ``annotations``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.importers.her2_results import chosen_scheme, her2_schemes
from her2core.data.importers.published import (
    CONFLICT,
    MISSING,
    NO_LABEL,
    TWICE,
    Findings,
    build_cohort,
    compare,
    files_of,
    not_the_layout,
    relative,
    require_published,
    tables_of,
)
from her2core.data.importers.tcga_slides import annotation_files
from her2core.data.manifest import Manifest
from her2core.errors import ManifestError
from her2core.io.cells import label_text
from her2core.io.columns import squash
from her2core.labels import LabelScheme

LAYOUT = "slides Her2Pos_Case_NN.svs and Her2Neg_Case_NN.svs (Yale_HER2_cohort/SVS)"
LAYOUT_RESPONSE = "slides of Yale_trastuzumab_response_cohort and its workbook with the columns Patient and Responder"
LICENCE = "CC BY 4.0 (TCIA, HER2-TUMOR-ROIS)"
TERMS = "TCIA data usage policy: no attempt to identify patients; cite the collection."
CITATION = "Farahmand et al. 2022, TCIA, doi 10.7937/E65C-AM96"
SCHEMES = {
    **her2_schemes(["final"], "of the case by the name of its slide (Yale)"),
    "response": LabelScheme(
        "response",
        ("non-responder", "responder"),
        "response of HER2-positive tumours to trastuzumab (Yale): not a HER2 class",
        is_her2=False,
    ),
}
PUBLISHED: Mapping[str, Mapping[str, int]] = {"final": {"slides": 192}, "response": {"slides": 85}}
#: Labels of the first and last slide by name, which hold them.
ENDS = {"her2neg": "negative", "her2pos": "positive"}
TCGA_ANNOTATIONS = 182
_NAME = re.compile(r"(Her2(Pos|Neg))_?Case_?\d+.*", re.IGNORECASE)


def to_manifest(root: Path, *, scheme: str = "final", mpp: float | None = None) -> Manifest:
    """Read one cohort of the data set as a manifest, one row a slide.

    Parameters
    ----------
    root : Path
        ``pkg_v3``, a folder above it, or the cohort's own.
    scheme : {"final", "response"}
        ``final`` reads the HER2 cohort, ``response`` the trastuzumab response cohort.
    mpp : float, optional
        Microns per pixel of all slides; their files state it.

    Returns
    -------
    Manifest
        ``regions`` is the annotation of the tumour. ``findings`` lists slides without annotation and the reverse, and
        patients without slide or response.

    Raises
    ------
    ManifestError
        For another layout, a workbook without the columns, and an unknown scheme.
    """
    root = Path(root)
    chosen = chosen_scheme(SCHEMES, scheme)
    layout = LAYOUT if scheme == "final" else LAYOUT_RESPONSE
    listing = files_of(root, layout, slides=True)
    findings = Findings()
    inside = _in_response if scheme == "response" else _in_her2
    slides: dict[str, Path] = {}
    for path in listing.files:
        if path.suffix.lower() == ".svs" and inside(relative(path, root), path.stem):
            if path.stem.lower() in slides:
                used = relative(slides[path.stem.lower()], root)
                findings.add(TWICE, path.stem, path.stem, relative(path, root), f"{used} is used")
            else:
                slides[path.stem.lower()] = path
    if not slides:
        raise not_the_layout(layout, f"{len(listing.files):,} other images", root)
    labels = _labels_by_name(slides) if scheme == "final" else _responses(root, slides, findings)
    regions = {
        path.stem.lower(): path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() == ".xml" and inside(relative(path, root), path.stem)
    }
    rows: list[dict[str, Any]] = []
    for stem, path in sorted(slides.items()):
        annotated = regions.get(stem)
        if annotated is None:
            findings.add(MISSING, path.stem, path.stem, relative(path, root), "no annotation")
        rows.append(
            {
                "path": relative(path, root),
                "patient_id": path.stem,
                "slide_id": path.stem,
                "site": "Yale",
                "source": "Yale",
                "mpp": float("nan") if mpp is None else mpp,
                "regions": None if annotated is None else relative(annotated, root),
                "her2_final": labels[stem] if scheme == "final" else "positive",
                "response": labels.get(stem) if scheme == "response" else None,
            }
        )
    for stem in sorted(set(regions) - set(slides)):
        findings.add(MISSING, path=relative(regions[stem], root), detail="an annotation without its slide")
    frame = pd.DataFrame(rows)
    if scheme == "final":
        frame = frame.drop(columns="response")
    tcga = [folder for folder in sorted(root.rglob("TCGA_BRCA_Filtered")) if folder.is_dir()]
    facts = {
        "licence": LICENCE,
        "terms": TERMS,
        "citation": CITATION,
        "partial": compare({"slides": len(frame)}, PUBLISHED[scheme])[0],
        "tcga_annotations": len(annotation_files(tcga[0])) if tcga else 0,
    }
    return build_cohort(frame, root=root, scheme=chosen, facts=facts, findings=findings, listing=listing)


def validate(manifest: Manifest, *, published: Mapping[str, int] | None = None, partial: bool = False) -> list[str]:
    """Check a manifest against the published counts, and the labels of its first and last slide.

    Parameters
    ----------
    manifest : Manifest
        As ``to_manifest`` makes it.
    published : mapping of str to int, optional
        Other counts; those of the manifest's cohort when left out.
    partial : bool, optional
        Accept missing slides.

    Returns
    -------
    list of str
        What is missing.

    Raises
    ------
    ManifestError
        Naming each difference.
    """
    ends = []
    if manifest.scheme.name == "final":
        for _, row in manifest.frame.sort_values("slide_id").iloc[[0, -1]].iterrows():
            ends.append(
                (str(row["slide_id"]), str(row["label"]), ENDS.get(str(row["slide_id"])[:7].lower(), "another"))
            )
    expected = PUBLISHED.get(manifest.scheme.name, {}) if published is None else published
    return require_published({"slides": len(manifest)}, expected, name="Yale", partial=partial, ends=ends)


def _in_response(inside: str, stem: str) -> bool:
    return "response" in inside.rsplit("/", 1)[0].lower()


def _in_her2(inside: str, stem: str) -> bool:
    return _NAME.fullmatch(stem) is not None and not _in_response(inside, stem)


def _labels_by_name(slides: Mapping[str, Path]) -> dict[str, str]:
    return {stem: "positive" if stem.startswith("her2pos") else "negative" for stem in slides}


def _responses(root: Path, slides: Mapping[str, Path], findings: Findings) -> dict[str, str]:
    """Response by slide: a patient of the workbook is the stem of a slide, or its first words."""
    tables, passed = tables_of(root, ("patient", "responder"))
    if not tables:
        raise not_the_layout(LAYOUT_RESPONSE, passed, root)
    if len(tables) > 1:
        raise ManifestError(
            "one workbook with the columns Patient and Responder",
            got=", ".join(path.name for path in tables),
            where=str(root),
            fix="Leave one.",
        )
    found: dict[str, list[str]] = {}
    (frame,) = tables.values()
    names = {squash(stem): stem for stem in slides}
    for patient, cell in zip(frame["patient"].map(label_text), frame["responder"].map(label_text), strict=True):
        word = squash(cell)
        response = "non-responder" if word in _NO else "responder" if word in _YES else None
        stem = names.get(squash(patient)) or _fitting(slides, patient)
        if stem is None:
            findings.add(MISSING, patient, detail="a response, but no slide")
        elif response is None:
            findings.add(NO_LABEL, patient, slides[stem].stem, detail=f"response {cell!r}")
        elif response in found.setdefault(stem, []):
            findings.add(TWICE, patient, slides[stem].stem, detail="two rows of the workbook")
        else:
            found[stem].append(response)
    for stem, said in found.items():
        if len(said) > 1:
            findings.add(CONFLICT, slides[stem].stem, slides[stem].stem, detail=f"responses {' and '.join(said)}")
    return {stem: said[0] for stem, said in found.items() if len(said) == 1}


def _fitting(stems: Iterable[str], patient: str) -> str | None:
    """The only slide whose name starts with the patient's, or ends with their number."""
    starts = re.escape(patient.lower()) + r"(?![a-z0-9]).*"
    ends = rf"(?:.*\D)?0*{int(patient)}" if patient.isdecimal() else starts
    fitting = [stem for stem in stems if re.fullmatch(starts, stem)] or [s for s in stems if re.fullmatch(ends, s)]
    return fitting[0] if patient and len(fitting) == 1 else None


_YES = ("responder", "yes", "1", "true", "pcr")
_NO = ("nonresponder", "noresponder", "no", "0", "false", "nonpcr", "nopcr")
