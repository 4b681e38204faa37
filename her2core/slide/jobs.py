"""Slides named on a command line, with what a table states about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.manifest import WINDOW, read_manifest
from her2core.errors import ConfigError, ImageError, ManifestError, TableError
from her2core.io.cells import UNKNOWN, cell_text
from her2core.io.columns import SPELLINGS, find_column
from her2core.io.listing import images_below
from her2core.io.number_formats import to_numbers
from her2core.io.tables import read_table
from her2core.io.text import clean_text, printable_path
from her2core.slide.reader import Slide
from her2core.slide.regions import Regions, read_regions

#: Columns of the manifest that a table of slides may state; the label belongs to the slide, as in the literature.
FACTS = ("patient_id", "site", "scanner", "her2_ihc", "ish", "label", "source")
#: File endings of annotations, in the order in which they are looked for.
_REGION_SUFFIXES = (".geojson", ".xml", ".json")


@dataclass(frozen=True)
class SlideJob:
    """A slide to work on.

    Parameters
    ----------
    path : Path
    slide_id : str
        Unique among the slides; the file's name without suffix unless a table states another.
    mpp : float, optional
        Microns per pixel that a person stated.
    regions : Path, optional
        File of annotated regions.
    facts : dict of str
        What the table states, by FACTS.

    Examples
    --------
    >>> SlideJob(Path("a/S1.svs"), "S1").patient_id
    'unknown'
    """

    path: Path
    slide_id: str
    mpp: float | None = None
    regions: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def patient_id(self) -> str:
        """The patient; ``unknown`` where no table names one."""
        return str(self.facts.get("patient_id", UNKNOWN))

    def read_regions(self, slide: Slide) -> Regions | None:
        """The annotated regions of the opened slide; None where none were asked for."""
        if self.regions is None:
            return None
        return read_regions(self.regions, width=slide.width.value, height=slide.height.value)


def slide_jobs(
    paths: Sequence[Path], *, table: Path | None = None, mpp: float | None = None, regions: Path | None = None
) -> tuple[list[SlideJob], list[str]]:
    """Find slides, and join what is stated about them.

    Parameters
    ----------
    paths : sequence of Path
        Slides, plain images, folders with such, or manifests of slides as ``her2 data import`` writes them (.parquet,
        .csv), whose rows state what is known of each slide.
    table : Path, optional
        A row a slide: ``slide`` (file name, with or without suffix) and any of ``slide_id, mpp, regions`` and FACTS.
    mpp : float, optional
        Microns per pixel of all slides; a table's own cell has precedence.
    regions : Path, optional
        A file, for one slide, or a folder with a file of annotations for each slide, of the slide's name.

    Returns
    -------
    jobs : list of SlideJob
        In the order of the paths.
    left_out : list of str
        What was left out of folders, as sentences.

    Raises
    ------
    ImageError
        There is no slide at all.
    ConfigError
        Two slides have one name, or one file of regions is named for several slides.
    TableError
        The table has no column ``slide``, names a slide twice, or a cell is no scale.
    ManifestError
        A manifest cannot be read, or its rows are windows of images.

    Examples
    --------
    >>> jobs, _ = slide_jobs([Path("a/S1.svs"), Path("b/S2.svs")], mpp=0.5)
    >>> [(job.slide_id, job.mpp) for job in jobs]
    [('S1', 0.5), ('S2', 0.5)]
    """
    manifests = [path for path in paths if path.suffix.lower() in (".parquet", ".csv")]
    of_manifests = [job for path in manifests for job in _manifest_jobs(path, mpp, regions)]
    rest = [path for path in paths if path not in manifests]
    files, left_out = _files(rest) if rest or not of_manifests else ([], [])
    stated = {} if table is None else _stated(table)
    jobs, used = of_manifests, set()
    for file in files:
        key = next((k for k in (file.name, file.stem) if k in stated), None)
        row = {} if key is None else stated[key]
        used.add(key)
        slide_id = clean_text(row.get("slide_id") or file.stem, 120)
        own = table.parent / row["regions"] if table and row.get("regions") else _regions_of(file, regions, len(files))
        jobs.append(SlideJob(file, slide_id, row.get("mpp") or mpp, own, {k: row[k] for k in FACTS if k in row}))
    missing = [name for name in stated if name not in used]
    if missing:
        left_out.append(f"{len(missing):,} rows of the table name no slide here, the first: {missing[0]}.")
    _refuse_clashes(jobs)
    return jobs, left_out


def absolute(job: SlideJob) -> SlideJob:
    """The same job with absolute paths, for processes with another working directory.

    Parameters
    ----------
    job : SlideJob

    Returns
    -------
    SlideJob

    Examples
    --------
    >>> absolute(SlideJob(Path("a.svs"), "a")).path.is_absolute()
    True
    """
    return replace(job, path=job.path.absolute(), regions=job.regions.absolute() if job.regions else None)


def _manifest_jobs(path: Path, mpp: float | None, regions: Path | None) -> list[SlideJob]:
    """A job a row of a manifest of slides."""
    manifest = read_manifest(path)
    frame = manifest.frame
    if any(name in frame for name in WINDOW) or not frame["path"].is_unique:
        raise ManifestError(
            "a manifest with a row a slide",
            got="windows of images, or a path twice",
            where=printable_path(path),
            fix="Import the slides of the data set: tiles need no cutting.",
        )
    jobs = []
    for row in frame.to_dict("records"):
        file = manifest.file(row["path"])
        named = file.stem if row["slide_id"] == UNKNOWN else row["slide_id"]
        scale = None if pd.isna(row["mpp"]) else float(row["mpp"])
        marked = row.get("regions")
        own = manifest.file(marked) if isinstance(marked, str) and marked else _regions_of(file, regions, len(frame))
        facts = {name: row[name] for name in FACTS if isinstance(row.get(name), str) and row[name] != UNKNOWN}
        jobs.append(SlideJob(file, clean_text(named, 120), scale or mpp, own, facts))
    return jobs


def _files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    files: list[Path] = []
    left_out: list[str] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = images_below(path, slides=True)
        left_out += [f"{printable_path(path)}/{sentence}" for sentence in (*found.left_out, *found.unreadable)]
        series: set[Path] = set()
        for file in found.files:
            # A DICOM slide is a folder of files, any of which opens the whole.
            if file.suffix.lower() == ".dcm" and file.parent in series:
                continue
            series.add(file.parent)
            files.append(file)
    files = list(dict.fromkeys(files))
    if not files:
        raise ImageError(
            "at least one slide",
            got=f"none ({' '.join(left_out)})" if left_out else "none",
            where=", ".join(map(printable_path, paths)),
            fix="Name slides, plain images, or a folder that holds some.",
        )
    return files, left_out


def _regions_of(file: Path, regions: Path | None, slides: int) -> Path | None:
    if regions is None or not regions.is_dir():
        if regions is not None and slides > 1:
            raise ConfigError(
                "a folder with a file of regions for each slide",
                got=f"one file for {slides} slides",
                where=f"--regions {printable_path(regions)}",
                fix="Name the folder; its files have the names of the slides.",
            )
        return regions
    candidates = [regions / f"{file.stem}{suffix}" for suffix in _REGION_SUFFIXES]
    return next((c for c in candidates if c.is_file()), candidates[0])


def _stated(table: Path) -> dict[str, dict[str, Any]]:
    frame = read_table(table, text=("slide", "slide_id", *FACTS)).frame
    names = {role: find_column(list(frame.columns), role) for role in FACTS if role in SPELLINGS}
    frame = frame.rename(columns={own: role for role, own in names.items() if own not in (None, role)})
    where = printable_path(table)
    if "slide" not in frame:
        raise TableError(
            "a column slide with the file names of the slides",
            got=", ".join(map(str, frame.columns)),
            where=where,
            fix="Name the column slide.",
        )
    frame["slide"] = frame["slide"].map(cell_text)
    twice = frame["slide"][frame["slide"].duplicated()]
    if len(twice):
        raise TableError("each slide once", got=f"{twice.iloc[0]!r} twice", where=where, fix="Drop one of the rows.")
    if "mpp" in frame:
        numbers = pd.Series(to_numbers(frame["mpp"]), index=frame.index)
        bad = numbers.isna() & (frame["mpp"].map(cell_text) != "")
        if bad.any():
            raise TableError(
                "microns per pixel, or an empty cell",
                got=repr(frame["mpp"][bad].iloc[0]),
                where=f"{where}, slide {frame['slide'][bad].iloc[0]}",
                fix="Correct it.",
            )
        frame["mpp"] = numbers
    kept = [c for c in ("slide_id", "mpp", "regions", *FACTS) if c in frame]
    rows = frame[kept].astype(object).where(frame[kept].notna(), None).to_dict("records")
    return dict(
        zip(frame["slide"], ({k: v for k, v in row.items() if v not in (None, "")} for row in rows), strict=True)
    )


def _refuse_clashes(jobs: Sequence[SlideJob]) -> None:
    first: dict[str, SlideJob] = {}
    for job in jobs:
        other = first.setdefault(job.slide_id.casefold(), job)
        if other is not job:
            raise ConfigError(
                "slides of different names",
                got=f"{job.slide_id!r} twice: {printable_path(other.path)} and {printable_path(job.path)}",
                where="slides",
                fix="Rename one, or give each a slide_id in a table (--table).",
            )
