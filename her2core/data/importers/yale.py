"""Importer of Yale's HER2 tumour ROIs (TCIA): slides HER2-positive or negative, with annotated tumour.

Layout: ``Yale_HER2_cohort/{SVS,Annotations}/Her2Pos_Case_NN.svs|.xml`` and ``Her2Neg_Case_NN``, the class in the name;
numbers of positive and negative cases overlap, so the whole stem is the case.
``Yale_trastuzumab_response_cohort/{SVS,Annotations}/`` with a workbook ``..._metadata_clean.xlsx`` (``Patient,
Responder``; strict OOXML): all HER2-positive, the label is the response. ``TCGA_BRCA_Filtered/`` holds annotations of
TCGA slides alone, to be joined by ``tcga_brca`` (its option ``annotations``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.importers.findings import CONFLICT, MISSING, TWICE, UNREAD, Findings, not_read, other_names, relative
from her2core.data.importers.her2_results import chosen_scheme, her2_schemes
from her2core.data.importers.published import build_cohort, count_facts, files_of, not_the_layout, require_published
from her2core.data.importers.result_tables import tables_of
from her2core.data.importers.tcga_slides import annotation_files
from her2core.data.manifest import Manifest
from her2core.errors import ManifestError
from her2core.io.cells import is_missing, label_text
from her2core.io.columns import squash
from her2core.io.text import clean_text, printable_path
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
        ``regions`` is the annotation of the tumour. ``findings`` lists slides without annotation and the reverse,
        patients without slide, and cells that state no response. ``facts["left_out"]`` counts what belongs to the other
        cohort or to TCGA.

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
    inside, outside = (_in_response, _in_her2) if scheme == "response" else (_in_her2, _in_response)
    slides: dict[str, Path] = {}
    others: list[Path] = []
    elsewhere = 0
    for path in listing.files:
        if path.suffix.lower() != ".svs" or not inside(path, root):
            of_other = path.suffix.lower() == ".svs" and outside(path, root)
            elsewhere += of_other
            others += [] if of_other else [path]
        else:
            if path.stem.lower() in slides:
                used = relative(slides[path.stem.lower()], root)
                findings.add(TWICE, path.stem, path.stem, relative(path, root), f"{used} is used")
            else:
                slides[path.stem.lower()] = path
    other = "response" if scheme == "final" else "final"
    left_out = not_read(elsewhere, f"slide of {_COHORTS[other]}", f"slides of {_COHORTS[other]}", f"scheme={other}")
    if not slides:
        got = left_out[0].removesuffix(".") if left_out else f"{len(listing.files):,} other images"
        raise not_the_layout(layout, got, root)
    labels = _labels_by_name(slides) if scheme == "final" else _responses(root, slides, findings)
    regions = {
        path.stem.lower(): path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() == ".xml" and inside(path, root)
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
    annotated_tcga = len(annotation_files(tcga[0])) if tcga else 0
    if annotated_tcga:
        left_out.append(
            f"Annotations of TCGA slides, {annotated_tcga:,}: they go with TCGA-BRCA (her2 data import tcga_brca ... "
            f"--set annotations={printable_path(tcga[0])})."
        )
    facts = {
        "licence": LICENCE,
        "terms": TERMS,
        "citation": CITATION,
        "tcga_annotations": annotated_tcga,
        "left_out": [*left_out, *other_names(others, root)],
        **count_facts({"slides": len(frame)}, PUBLISHED[scheme]),
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


def _in_response(path: Path, root: Path) -> bool:
    """Whether a file lies in the response cohort: by its folders, or by the name of the folder given."""
    below = "/".join(path.relative_to(root).parts[:-1]).lower()
    return "response" in below or "trastuzumab_response" in root.resolve().name.lower()


def _in_her2(path: Path, root: Path) -> bool:
    return _NAME.fullmatch(path.stem) is not None and not _in_response(path, root)


def _labels_by_name(slides: Mapping[str, Path]) -> dict[str, str]:
    return {stem: "positive" if stem.startswith("her2pos") else "negative" for stem in slides}


def _responses(root: Path, slides: Mapping[str, Path], findings: Findings) -> dict[str, str]:
    """Response by slide: a patient of the workbook is the stem of a slide, or its first words."""
    tables, passed = tables_of(root, ("patient", "responder*"))
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
    for patient, cell in zip(frame["patient"].map(label_text), frame["responder"].map(label_text), strict=True):
        word = squash(cell)
        response = "non-responder" if word in _NO else "responder" if word in _YES else None
        stem = _fitting(slides, patient)
        if stem is None:
            findings.add(MISSING, patient, detail="a response, but no slide")
        elif response is None:
            if not is_missing(cell):
                findings.add(UNREAD, patient, slides[stem].stem, detail=f"Responder {clean_text(cell, 40)!r}")
        elif response in found.setdefault(stem, []):
            findings.add(TWICE, patient, slides[stem].stem, detail="two rows of the workbook")
        else:
            found[stem].append(response)
    for stem, said in found.items():
        if len(said) > 1:
            findings.add(CONFLICT, slides[stem].stem, slides[stem].stem, detail=f"responses {' and '.join(said)}")
    return {stem: said[0] for stem, said in found.items() if len(said) == 1}


def _fitting(stems: Iterable[str], patient: str) -> str | None:
    """The only slide with the patient's name, or whose name starts with it, or ends with their number.

    Names are compared as words and numbers: ``case_02`` is ``Case_2``, unless there are slides of both names.
    """
    asked = _words(patient)
    named = {stem: _words(stem) for stem in stems}
    rules: list[Callable[[str], bool]] = [
        lambda stem: stem == patient.lower(),
        lambda stem: named[stem] == asked,
        lambda stem: named[stem][: len(asked)] == asked,
        lambda stem: len(asked) == 1 and named[stem][-1:] == asked,
    ]
    for fits in rules:
        if fitting := [stem for stem in named if asked and fits(stem)]:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _words(name: str) -> tuple[str | int, ...]:
    """Words and numbers of a name, numbers without leading zeros."""
    return tuple(int(word) if word.isdecimal() else word for word in re.findall(r"\d+|[^\W\d_]+", name.casefold()))


_COHORTS = {"final": "the HER2 cohort", "response": "the trastuzumab response cohort"}
_YES = ("responder", "yes", "1", "true", "pcr")
_NO = ("nonresponder", "noresponder", "no", "0", "false", "nonpcr", "nopcr")
