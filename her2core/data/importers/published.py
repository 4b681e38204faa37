"""What importers of public data sets share: findings, comparison with the published counts, tables and files by name.

A copy of a data set of several hundred gigabytes is often partial, so an import says what is missing and goes on; the
``validate`` of an importer refuses everything but the published whole, unless it is told that the copy is partial.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.importers.her2_results import STATUS, conflict_of, label_of
from her2core.data.manifest import FINDING_COLUMNS, Manifest, build_manifest
from her2core.errors import Her2Error, ManifestError
from her2core.io.cells import UNKNOWN
from her2core.io.columns import squash
from her2core.io.listing import FEW, Listing, images_below, is_system_name
from her2core.io.tables import read_table
from her2core.io.text import printable_path
from her2core.labels import LabelScheme

#: Kinds of findings.
CONFLICT, MISSING, NO_LABEL, TWICE = "conflict", "missing file", "no label", "duplicate"
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods", ".parquet")


@dataclass
class Findings:
    """Conflicts, missing files and cases without label that an importer met: one row each.

    Examples
    --------
    >>> found = Findings()
    >>> found.add(MISSING, "07", detail="no H&E slide")
    >>> found.frame()[["kind", "patient_id", "detail"]].values.tolist()
    [['missing file', '07', 'no H&E slide']]
    """

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(self, kind: str, patient: str = "", slide: str = "", path: str = "", detail: str = "") -> None:
        """Note one."""
        self.rows.append((kind, patient, slide, path, detail))

    def number(self, kind: str) -> int:
        """How many of one kind."""
        return sum(row[0] == kind for row in self.rows)

    def frame(self) -> pd.DataFrame:
        """All of them as the table of ``Manifest.findings``."""
        return pd.DataFrame(self.rows, columns=list(FINDING_COLUMNS), dtype="object")

    def sentences(self) -> list[str]:
        """How many of each kind, and the first ones."""
        said = []
        for kind in dict.fromkeys(row[0] for row in self.rows):
            named = [f"{row[1] or row[2] or row[3]} ({row[4]})" for row in self.rows if row[0] == kind]
            said.append(f"{kind}, {len(named):,}: {', '.join(named[:FEW])}{', ...' if len(named) > FEW else ''}")
        return said


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
        Take whole slides as well.

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
    return images_below(root, slides=slides)


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


def tables_of(root: Path, needed: Collection[str], text: Iterable[str] = ()) -> tuple[dict[Path, pd.DataFrame], str]:
    """Find the tables below a folder that have certain columns.

    Parameters
    ----------
    root : Path
        The folder.
    needed : collection of str
        Columns in lower case, letters and digits only (``io.columns.squash``).
    text : iterable of str, optional
        Columns, likewise, that are text.

    Returns
    -------
    tables : dict of Path to DataFrame
        Sorted by path, with columns named likewise.
    passed : str
        Which tables were passed over and why, for a message where none is left.
    """
    found, passed = {}, []
    for path in _table_files(root):
        try:
            # A first reading tells how the columns are spelled here, so that the second keeps scores as text.
            names = list(read_table(path).frame.columns)
            if lacking := sorted(set(needed) - {squash(name) for name in names}):
                passed.append(f"{path.name} has no column {', '.join(lacking)}")
                continue
            kept = [name for name in names if squash(name) in {*needed, *text}]
            frame = read_table(path, text=kept).frame
        except Her2Error as unreadable:
            passed.append(f"{path.name} cannot be read ({unreadable.got})")
            continue
        frame.columns = [squash(name) for name in frame.columns]
        found[path] = frame.loc[:, ~frame.columns.duplicated()]
    return found, "; ".join(passed[:FEW]) or "no table"


def _table_files(root: Path) -> list[Path]:
    found = []
    for folder, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if not is_system_name(name))
        found += [
            Path(folder, name)
            for name in names
            if name.lower().endswith(_TABLES) and not is_system_name(name) and not name.startswith("~$")
        ]
    return sorted(found)


def relative(path: Path, root: Path) -> str:
    """A file's path below the root, as manifests have it.

    Parameters
    ----------
    path, root : Path

    Returns
    -------
    str

    Examples
    --------
    >>> relative(Path("a/b/1.png"), Path("a"))
    'b/1.png'
    """
    return path.relative_to(root).as_posix()


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
    for row in frame[frame["conflict"] != ""].drop_duplicates(["patient_id", "slide_id", "conflict"]).itertuples():
        findings.add(CONFLICT, str(row.patient_id), str(row.slide_id), str(row.path), str(row.conflict))
    bare = frame["label"].isna()
    for row in frame[bare].itertuples():
        findings.add(NO_LABEL, str(row.patient_id), str(row.slide_id), str(row.path), f"no class under {scheme.name}")
    if bare.all():
        raise ManifestError(
            f"a case with a class under {scheme.name}",
            got="none",
            where=printable_path(root),
            fix="Complete the data set's table of results, or choose another scheme.",
        )
    left_out = [*facts.get("left_out", ())]
    left_out += [f"{int(bare.sum()):,} rows: no class under {scheme.name}."] if bare.any() else []
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
