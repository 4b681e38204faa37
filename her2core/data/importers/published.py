"""What importers of public data sets share: comparison with the published counts, files, and labelled rows.

A copy of a data set of several hundred gigabytes is often partial, so an import says what is missing and goes on; the
``validate`` of an importer refuses everything but the published whole, unless it is told that the copy is partial.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.importers.findings import CONFLICT, NO_LABEL, Findings, not_read
from her2core.data.importers.her2_results import STATUS, conflict_of, label_of
from her2core.data.manifest import Manifest, build_manifest
from her2core.errors import ManifestError
from her2core.io.cells import UNKNOWN
from her2core.io.image_header import SLIDE_SUFFIXES
from her2core.io.listing import Listing, images_below
from her2core.io.text import printable_path
from her2core.labels import LabelScheme


def compare(found: Mapping[str, int], published: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Compare counts with the published ones.

    Parameters
    ----------
    found, published : mapping of str to int
        Count by what is counted.

    Returns
    -------
    missing : list of str
        What a partial copy lacks.
    contrary : list of str
        What no partial copy can have: more than was published.

    Examples
    --------
    >>> compare({"slides": 3, "cases": 9}, {"slides": 5, "cases": 8})
    (['slides: 3 of 5'], ['cases: 9, published 8'])
    """
    missing = [f"{name}: {found.get(name, 0):,} of {n:,}" for name, n in published.items() if found.get(name, 0) < n]
    contrary = [f"{name}: {found[name]:,}, published {n:,}" for name, n in published.items() if found.get(name, 0) > n]
    return missing, contrary


def count_facts(found: Mapping[str, int], published: Mapping[str, int]) -> dict[str, list[str]]:
    """The comparison with the published counts as facts of a manifest.

    Parameters
    ----------
    found, published : mapping of str to int
        Count by what is counted.

    Returns
    -------
    dict
        ``partial`` says what the copy lacks, ``beyond`` of what there is more than was published.

    Examples
    --------
    >>> count_facts({"slides": 3, "cases": 9}, {"slides": 5, "cases": 8})
    {'partial': ['slides: 3 of 5'], 'beyond': ['cases: 9, published 8']}
    """
    missing, contrary = compare(found, published)
    return {"partial": missing, "beyond": contrary}


def parts_of(frame: pd.DataFrame) -> pd.Series:
    """The published part of each row, whether all rows have one (``split``) or not (``published_part``).

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    Series
        Null where no part is known.

    Examples
    --------
    >>> parts_of(pd.DataFrame({"published_part": ["train", "test"]})).tolist()
    ['train', 'test']
    """
    name = next((name for name in ("split", "published_part") if name in frame), None)
    return pd.Series([None] * len(frame), index=frame.index, dtype="object") if name is None else frame[name]


def without_gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with ``split`` as ``published_part`` where a row has none: a split must place every row.

    Parameters
    ----------
    frame : DataFrame
        With ``split``.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> list(without_gaps(pd.DataFrame({"split": ["train", None]})))
    ['published_part']
    """
    return frame.rename(columns={"split": "published_part"}) if frame["split"].isna().any() else frame


def require_published(
    found: Mapping[str, int],
    published: Mapping[str, int],
    *,
    name: str,
    partial: bool = False,
    ends: Collection[tuple[str, str, str]] = (),
) -> list[str]:
    """Refuse a data set that is not the published one.

    Parameters
    ----------
    found, published : mapping of str to int
        Count by what is counted.
    name : str
        The data set.
    partial : bool, optional
        Accept that files are missing; they are returned, and only what no partial copy can have is refused.
    ends : collection of (str, str, str)
        First and last row as (id, label, expected label).

    Returns
    -------
    list of str
        What is missing: empty for a complete copy.

    Raises
    ------
    ManifestError
        Naming each difference.

    Examples
    --------
    >>> require_published({"slides": 3}, {"slides": 5}, name="BCNB", partial=True)
    ['slides: 3 of 5']
    """
    missing, contrary = compare(found, published)
    contrary += [f"{row}: label {label}, expected {expected}" for row, label, expected in ends if label != expected]
    if contrary or (missing and not partial):
        raise ManifestError(
            f"{name} as it was published",
            got="; ".join([*contrary, *missing]),
            where=name,
            fix="Complete the copy, or state that it is partial (validate(manifest, partial=True))."
            if not contrary
            else "Use the published files unchanged, under the scheme that the counts belong to.",
        )
    return missing


def files_of(root: Path, layout: str, *, slides: bool) -> Listing:
    """List the images of a data set.

    Parameters
    ----------
    root : Path
        Its folder.
    layout : str
        What belongs there, for the message.
    slides : bool
        Take whole slides as well; otherwise they are counted as left out.

    Returns
    -------
    Listing

    Raises
    ------
    ManifestError
        For a folder that does not exist.
    """
    if not root.is_dir():
        raise not_the_layout(layout, "no such folder" if not root.exists() else "a file", root)
    listing = images_below(root, slides=True)
    if slides:
        return listing
    plain = tuple(path for path in listing.files if not path.name.lower().endswith(SLIDE_SUFFIXES))
    whole = not_read(len(listing.files) - len(plain), "whole slide", "whole slides")
    return replace(listing, files=plain, left_out=(*whole, *listing.left_out))


def not_the_layout(layout: str, got: str, root: Path) -> ManifestError:
    """The error for a folder of another layout.

    Parameters
    ----------
    layout : str
        What was expected.
    got : str
        What was found.
    root : Path
        The folder.

    Returns
    -------
    ManifestError

    Examples
    --------
    >>> print(not_the_layout("NN_HE.ndpi", "12 other images", Path("data")))
    Expected NN_HE.ndpi, but got 12 other images (data). Give the data set's own folder, unchanged.
    """
    return ManifestError(layout, got=got, where=printable_path(root), fix="Give the data set's own folder, unchanged.")


def build_cohort(
    frame: pd.DataFrame,
    *,
    root: Path,
    scheme: LabelScheme,
    facts: Mapping[str, Any],
    findings: Findings,
    listing: Listing,
    final_recorded: bool = False,
) -> Manifest:
    """Label the rows of a data set under a scheme, and build its manifest.

    Parameters
    ----------
    frame : DataFrame
        ``path``, the columns of HER2 results and any others; without ``label``. ``conflict`` may hold contradictions
        that the data set's own names make.
    root : Path
        Where the paths start.
    scheme : LabelScheme
        One of ``her2_schemes``.
    facts : mapping
        Licence, terms, citation and others.
    findings : Findings
        What was met so far; conflicts and cases without label are added.
    listing : Listing
        The files below the root.
    final_recorded : bool, optional
        The data set records the final result.

    Returns
    -------
    Manifest
        With ``findings``. Its facts say what was left out and what was found.

    Raises
    ------
    ManifestError
        Where no row has a label under the scheme.
    """
    frame = frame.reset_index(drop=True)
    empty = (("patient_id", UNKNOWN), ("slide_id", UNKNOWN), (STATUS, None), ("her2_ihc", None), ("her2_final", None))
    for column, absent in (*empty, ("ish", UNKNOWN), ("conflict", "")):
        if column not in frame:
            frame[column] = pd.Series([absent] * len(frame), dtype="object")
    frame["label"] = label_of(frame, scheme.name)
    derived = conflict_of(frame, final_recorded=final_recorded)
    frame["conflict"] = ["; ".join(filter(None, both)) for both in zip(frame["conflict"], derived, strict=True)]
    # Several images of one slide are one finding; where neither slide nor patient is known, each image is its own.
    unknown = (frame["patient_id"] == UNKNOWN) & (frame["slide_id"] == UNKNOWN)
    case = frame["path"].where(unknown, frame["patient_id"] + "\0" + frame["slide_id"])
    contrary = frame.assign(case=case)[frame["conflict"] != ""].drop_duplicates(["case", "conflict"])
    for row in contrary.itertuples():
        findings.add(CONFLICT, str(row.patient_id), str(row.slide_id), str(row.path), str(row.conflict))
    bare = frame["label"].isna()
    for row in frame[bare].itertuples():
        findings.add(NO_LABEL, str(row.patient_id), str(row.slide_id), str(row.path), f"no class under {scheme.name}")
    if bare.all():
        raise ManifestError(
            f"a case with a class under {scheme.name}",
            got="; ".join(["none", *findings.sentences()]),
            where=printable_path(root),
            fix="Complete the data set's results, or choose another scheme.",
        )
    left_out = [*facts.get("left_out", ())]
    if unlabelled := int(bare.sum()):
        left_out.append(f"{unlabelled:,} {'row' if unlabelled == 1 else 'rows'}: no class under {scheme.name}.")
    kept = frame[~bare]
    said = {
        "left_out": [*left_out, *listing.left_out],
        "unreadable": list(listing.unreadable),
        "links": listing.links_sentence,
        "found": findings.sentences(),
    }
    held = {**facts, **said}
    manifest = build_manifest(
        kept, root=root, scheme=scheme, facts={k: v for k, v in held.items() if v}, where=printable_path(root)
    )
    return replace(manifest, findings=findings.frame())
