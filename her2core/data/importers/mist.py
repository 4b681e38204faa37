"""Importer of MIST-HER2: pairs of H&E and HER2 IHC patches, regrouped by slide.

Layout: ``HER2/TrainValAB/{trainA,trainB,valA,valB}/<WSIid>_<row>_<col>.jpg``, 1024 px at 0.4661 microns per pixel; A is
H&E, B is IHC, a pair under one name. There are no HER2 scores: the label is the stain, and the patches serve to teach
without labels. The shipped parts share slides, as the authors confirm, so the parts are drawn anew by slide here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.importers.findings import MISSING, TWICE, Findings, not_read, other_names, relative
from her2core.data.importers.published import build_cohort, files_of, not_the_layout, require_published
from her2core.data.manifest import Manifest
from her2core.data.splits import split_manifest
from her2core.errors import ManifestError, SplitError
from her2core.labels import LabelScheme

LAYOUT = "HER2/TrainValAB/{trainA,trainB,valA,valB}/<WSIid>_<row>_<col>.jpg"
LICENCE = "MIST: research use, as its authors state"
TERMS = "Research use; there are no HER2 scores, and an IHC patch is no HER2 result."
CITATION = "Li et al. 2023, MICCAI, Adaptive Supervised PatchNCE Loss, doi 10.1007/978-3-031-43987-2_61"
LIMITS = (
    "No patient id and no HER2 score is published: no HER2 class can be trained, and a patient-level split is "
    "impossible.",
)
MPP = 0.4661
#: Kind of finding for slides of both shipped parts.
LEAK = "slide in several shipped parts"
SCHEME = LabelScheme("stain", ("H&E", "IHC"), "the stain of the patch (MIST): not a HER2 class", is_her2=False)
_NAME = re.compile(r"(.+)_(\d+)_(\d+)")
_FOLDER = re.compile(r"(train|val|test)(A|B)", re.IGNORECASE)
_OTHERS = ("er", "pr", "ki67")


def to_manifest(root: Path, *, stain: str = "he", seed: int = 0) -> Manifest:
    """Read the data set's folder as a manifest, one row a patch.

    Parameters
    ----------
    root : Path
        ``HER2``, ``TrainValAB``, or a folder above them.
    stain : {"he", "both"}
        H&E patches, each with its IHC patch in ``ihc_path``, or both as rows.
    seed : int
        Of the split by slide.

    Returns
    -------
    Manifest
        ``slide_id`` is the slide, ``published_part`` the shipped part, ``split`` a new one of 60, 20 and 20 % of the
        slides, where there are at least three. ``findings`` lists slides of several shipped parts and patches without
        pair.

    Raises
    ------
    ManifestError
        For another layout, and an unknown stain.
    """
    root = Path(root)
    if stain not in ("he", "both"):
        raise ManifestError("stain out of he, both", got=repr(stain), where="mist options", fix="Use one of these.")
    listing = files_of(root, LAYOUT, slides=False)
    findings = Findings()
    found: dict[str, dict[tuple[str, str], Path]] = {"A": {}, "B": {}}
    stains, others = 0, []
    for path in listing.files:
        named, folder = _NAME.fullmatch(path.stem), _FOLDER.fullmatch(path.parent.name)
        inside = relative(path, root)
        if any(place.lower() in _OTHERS for place in inside.split("/")):
            stains += 1
            continue
        if named is None or folder is None:
            others.append(path)
            continue
        held, key = found[folder[2].upper()], (folder[1].lower(), path.stem)
        if key in held:
            findings.add(TWICE, slide=named[1], path=inside, detail=f"{relative(held[key], root)} is used")
        else:
            held[key] = path
    if not found["A"]:
        raise not_the_layout(LAYOUT, f"{len(listing.files):,} other images", root)
    rows = _rows(found["A"], found["B"], root, "H&E", findings)
    paired = _rows(found["B"], found["A"], root, "IHC", findings)
    frame = pd.DataFrame([*rows, *(paired if stain == "both" else ())])
    parts = frame.groupby("slide_id")["published_part"].value_counts().unstack(fill_value=0)
    for slide, counts in parts[(parts > 0).sum(axis=1) > 1].iterrows():
        said = ", ".join(f"{n} in {part}" for part, n in counts.items())
        findings.add(LEAK, slide=str(slide), detail=f"patches: {said}")
    facts = {
        "licence": LICENCE,
        "terms": TERMS,
        "citation": CITATION,
        "rules_out": list(LIMITS),
        "left_out": [
            *not_read(stains, "image of another stain (ER, PR, Ki67)", "images of other stains (ER, PR, Ki67)"),
            *other_names(others, root),
        ],
    }
    manifest = build_cohort(frame, root=root, scheme=SCHEME, facts=facts, findings=findings, listing=listing)
    return _regrouped(manifest, seed)


def validate(manifest: Manifest, *, published: Mapping[str, int] | None = None, partial: bool = False) -> list[str]:
    """Check that every patch has its pair and no slide is in several parts, and compare counts where some are given.

    Parameters
    ----------
    manifest : Manifest
        As ``to_manifest`` makes it.
    published : mapping of str to int, optional
        Patches by shipped part ("train", "val"); no count is documented for this data set.
    partial : bool, optional
        Accept missing patches and pairs.

    Returns
    -------
    list of str
        What is missing.

    Raises
    ------
    ManifestError
        Naming each difference.
    """
    frame = manifest.frame
    counts = {str(part): int(n) for part, n in frame["published_part"].value_counts().items()}
    paired = int(frame["ihc_path"].notna().sum()) if "ihc_path" in frame else 0
    parts = frame.groupby("slide_id")["split"].nunique() if "split" in frame else pd.Series(dtype=int)
    found = {**counts, "patches with their pair": paired, "slides in one part": int((parts == 1).sum())}
    expected = {
        **(published or {}),
        "patches with their pair": len(frame),
        "slides in one part": frame["slide_id"].nunique(),
    }
    return require_published(found, expected, name="MIST-HER2", partial=partial)


def _rows(
    own: Mapping[tuple[str, str], Path],
    pairs: Mapping[tuple[str, str], Path],
    root: Path,
    label: str,
    findings: Findings,
) -> list[dict[str, Any]]:
    rows = []
    for (part, stem), path in own.items():
        named = _NAME.fullmatch(stem)
        assert named is not None  # for the type checker: only such names are collected
        pair = pairs.get((part, stem))
        if pair is None:
            findings.add(
                MISSING, slide=named[1], path=relative(path, root), detail=f"an {label} patch without its pair"
            )
        rows.append(
            {
                "path": relative(path, root),
                "slide_id": named[1],
                "row": int(named[2]),
                "column": int(named[3]),
                "published_part": part,
                "mpp": MPP,
                "source": "MIST",
                "stain": label,
                "ihc_path": None if pair is None else relative(pair, root),
            }
        )
    return rows


def _regrouped(manifest: Manifest, seed: int) -> Manifest:
    """The manifest with parts by slide, where there are enough slides."""
    try:
        split = split_manifest(manifest, "slide", seed=seed)
    except SplitError as refused:
        note = f"No split by slide: {refused.expected}, but there are {refused.got}."
        return replace(manifest, facts={**manifest.facts, "left_out": [*manifest.facts.get("left_out", ()), note]})
    return replace(manifest, frame=manifest.frame.assign(split=split["split"].to_numpy()))
