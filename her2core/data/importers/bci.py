"""Importer of BCI: 4,873 pairs of H&E and IHC patches, labelled with the HER2 score of their slide.

Layout: ``BCI_dataset/{HE,IHC}/{train,test}/NNNNN_{train|test}_{0|1+|2+|3+}.png``, 1024 x 1024 px, a pair under one
name. The patches are of 51 pairs of slides, and no id of slide or patient was published: a split by patient is
impossible on this data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.importers.findings import CONFLICT, MISSING, TWICE, Findings, other_names, relative
from her2core.data.importers.her2_results import STATUS, chosen_scheme, her2_schemes, status_of_scores
from her2core.data.importers.published import build_cohort, count_facts, files_of, not_the_layout, require_published
from her2core.data.manifest import Manifest

LAYOUT = "BCI_dataset/{HE,IHC}/{train,test}/NNNNN_{train|test}_{0|1+|2+|3+}.png"
LICENCE = "BCI: non-commercial use only, after a form"
TERMS = "Non-commercial use; the score is that of the whole slide, not of the patch."
CITATION = "Liu et al. 2022, CVPR Workshops, BCI: Breast Cancer Immunohistochemical Image Generation"
#: What the missing ids rule out.
LIMITS = (
    "A patient-level split is impossible on this data: no slide or patient id is published. Patches of one slide stand "
    "in the published training and test parts, so every figure on them is of slides that training has seen.",
    "Patient-level and slide-level figures are switched off; no figure speaks of new patients.",
)
SCHEMES = her2_schemes(["ihc_status", "ihc_positive", "ihc_score"], "of the patch's slide (BCI)")
PUBLISHED: Mapping[str, int] = {"train pairs": 3896, "test pairs": 977}
_NAME = re.compile(r"(\d+)_(train|test)_([0-3])\+?", re.IGNORECASE)
#: Part, number and score: what the name of a patch states, the same for both patches of a pair.
_Key = tuple[str, str, str]


def to_manifest(root: Path, *, scheme: str = "ihc_status", mpp: float | None = None) -> Manifest:
    """Read the data set's folder as a manifest, one row an H&E patch.

    Parameters
    ----------
    root : Path
        ``BCI_dataset`` or a folder above it.
    scheme : {"ihc_status", "ihc_positive", "ihc_score"}
        Which result the label is.
    mpp : float, optional
        Microns per pixel; the files do not state it.

    Returns
    -------
    Manifest
        ``her2_ihc`` is the slide's score, ``ihc_path`` the other patch of the pair, ``split`` the published part.
        Patients and slides are unknown. ``findings`` lists patches without pair, pairs whose names disagree, and
        numbers with several H&E patches of different scores, which have no label.

    Raises
    ------
    ManifestError
        For another layout, and an unknown scheme.
    """
    root = Path(root)
    chosen = chosen_scheme(SCHEMES, scheme)
    listing = files_of(root, LAYOUT, slides=False)
    findings = Findings()
    found: dict[str, dict[_Key, Path]] = {"HE": {}, "IHC": {}}
    others = []
    for path in listing.files:
        named = _NAME.fullmatch(path.stem)
        stain = path.parent.parent.name.upper()
        if named is None or stain not in found:
            others.append(path)
            continue
        part, key = path.parent.name.lower(), (named[2].lower(), named[1], "0" if named[3] == "0" else f"{named[3]}+")
        if part != key[0]:
            findings.add(CONFLICT, path=relative(path, root), detail=f"part {key[0]} by its name, {part} by its folder")
        elif key in found[stain]:
            findings.add(TWICE, path=relative(path, root), detail=f"{relative(found[stain][key], root)} is used")
        else:
            found[stain][key] = path
    if not found["HE"]:
        raise not_the_layout(LAYOUT, f"{len(listing.files):,} other images", root)
    alone: dict[tuple[str, str], list[_Key]] = {}
    scores: dict[tuple[str, str], list[str]] = {}
    for key in found["IHC"]:
        if key not in found["HE"]:
            alone.setdefault(key[:2], []).append(key)
    for key in found["HE"]:
        scores.setdefault(key[:2], []).append(key[2])
    rows: list[dict[str, Any]] = []
    for key, path in found["HE"].items():
        pair = found["IHC"].get(key)
        others_of = [] if pair else alone.pop(key[:2], [])
        if pair is None and not others_of:
            findings.add(MISSING, path=relative(path, root), detail="no IHC patch")
        conflict = [f"score {key[2]}, but {other[2]} in the name of its IHC patch" for other in others_of]
        if len(scores[key[:2]]) > 1:
            conflict.append(f"scores {', '.join(scores[key[:2]])} in the names of H&E patches of this number")
        rows.append(
            {
                "path": relative(path, root),
                "her2_ihc": key[2] if len(scores[key[:2]]) == 1 else None,
                "scanner": "Hamamatsu NanoZoomer S60",
                "source": "BCI",
                "split": key[0],
                "ihc_path": None if pair is None else relative(pair, root),
                "conflict": "; ".join(conflict),
            }
        )
    for key in sorted(key for keys in alone.values() for key in keys):
        findings.add(MISSING, path=relative(found["IHC"][key], root), detail="an IHC patch without its H&E patch")
    frame = pd.DataFrame(rows).assign(mpp=float("nan") if mpp is None else mpp)
    frame[STATUS] = status_of_scores(frame["her2_ihc"])
    facts = {
        "licence": LICENCE,
        "terms": TERMS,
        "citation": CITATION,
        "rules_out": list(LIMITS),
        "left_out": other_names(others, root),
        **count_facts(_counts(frame), PUBLISHED),
    }
    return build_cohort(frame, root=root, scheme=chosen, facts=facts, findings=findings, listing=listing)


def validate(manifest: Manifest, *, published: Mapping[str, int] = PUBLISHED, partial: bool = False) -> list[str]:
    """Check a manifest against the published counts, and its first and last label against their names.

    Parameters
    ----------
    manifest : Manifest
        As ``to_manifest`` makes it.
    published : mapping of str to int, optional
        Other counts.
    partial : bool, optional
        Accept missing pairs.

    Returns
    -------
    list of str
        What is missing.

    Raises
    ------
    ManifestError
        Naming each difference.
    """
    frame = manifest.frame.sort_values("path").iloc[[0, -1]]
    ends = []
    for path, score in zip(frame["path"], frame["her2_ihc"], strict=True):
        named = _NAME.fullmatch(Path(path).stem)
        ends.append((str(path), str(score)[0], named[3] if named else "a score in its name"))
    return require_published(_counts(manifest.frame), published, name="BCI", partial=partial, ends=ends)


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    paired = frame[frame["ihc_path"].notna()]
    return {f"{part} pairs": int((paired["split"] == part).sum()) for part in ("train", "test")}
