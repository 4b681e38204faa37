"""Slides named on a command line, with what a table states about each."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.manifest import WINDOW, read_manifest
from her2core.errors import ConfigError, ImageError, ManifestError, TableError
from her2core.io.cells import UNKNOWN, cell_text, missing_cells
from her2core.io.columns import SPELLINGS, find_column
from her2core.io.dicom_header import one_file_a_series
from her2core.io.listing import images_below
from her2core.io.number_formats import to_numbers
from her2core.io.scale import PRESETS
from her2core.io.tables import read_table
from her2core.io.text import clean_text, printable_path
from her2core.labels import LabelScheme
from her2core.slide.reader import Slide
from her2core.slide.regions import Regions, read_regions

#: Columns of the manifest that a table of slides may state; the label belongs to the slide, as in the literature.
FACTS = ("patient_id", "site", "scanner", "her2_ihc", "ish", "label", "source")
#: Columns of a manifest that belong to its own files: tiles have others. All else is a fact about the slide.
_OF_FILES = ("patch_id", "path", "ihc_path", "slide_id", "mpp", "regions", *WINDOW)
_PLAIN = (str, bool, int, float)
#: Facts of a manifest that hold for whatever is made of its images.
_HELD = ("licence", "terms", "citation", "rules_out", "conflicts")
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
        A row a slide: ``slide`` (file name, with or without suffix and folders) and any of ``slide_id, mpp, regions``
        and FACTS. Of a manifest's slides it states ``mpp`` and ``regions``, and the manifest the rest.
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
    marked = _region_files(regions, len(files))
    jobs: list[SlideJob] = []
    used: set[str | None] = set()
    for job in [*of_manifests, *(SlideJob(file, clean_text(file.stem, 120), mpp, marked(file)) for file in files)]:
        key = next((k for k in _names(job.path) if k in stated), None)
        row = {} if key is None else stated[key]
        used.add(key)
        own = table.parent / row["regions"] if table and row.get("regions") else job.regions
        job = replace(job, mpp=row.get("mpp") or job.mpp, regions=own)
        if len(jobs) >= len(of_manifests):
            facts = {name: row[name] for name in FACTS if name in row}
            job = replace(job, slide_id=clean_text(row.get("slide_id") or job.slide_id, 120), facts=facts)
        jobs.append(job)
    missing = [name for name in stated if name not in used]
    if missing:
        left_out.append(f"{len(missing):,} rows of the table name no slide here, the first: {missing[0]}.")
    _refuse_clashes(jobs)
    return jobs, left_out


def manifests_origin(paths: Sequence[Path]) -> tuple[LabelScheme | None, dict[str, Any]]:
    """What manifests of slides state about their labels and data, for the manifest of the tiles.

    Parameters
    ----------
    paths : sequence of Path
        As in ``slide_jobs``.

    Returns
    -------
    scheme : LabelScheme or None
        None where some paths are no manifests, or their schemes differ.
    facts : dict
        Licence, terms, citation, what the data rule out, contradictions; lists where manifests differ.

    Examples
    --------
    >>> manifests_origin([Path("a/S1.svs")])
    (None, {})
    """
    found = [read_manifest(path) for path in paths if path.suffix.lower() in (".parquet", ".csv")]
    schemes = list(dict.fromkeys(manifest.scheme for manifest in found))
    facts: dict[str, Any] = {}
    for name in _HELD:
        stated = [manifest.facts[name] for manifest in found if name in manifest.facts]
        different = [value for place, value in enumerate(stated) if value not in stated[:place]]
        if different:
            facts[name] = different[0] if len(different) == 1 else different
    return (schemes[0] if len(schemes) == 1 and len(found) == len(paths) else None), facts


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
    marked_files = _region_files(regions, len(frame))
    for row in frame.to_dict("records"):
        file = manifest.file(row["path"])
        named = file.stem if row["slide_id"] == UNKNOWN else row["slide_id"]
        scale = None if pd.isna(row["mpp"]) else float(row["mpp"])
        marked = row.get("regions")
        own = manifest.file(marked) if isinstance(marked, str) and marked else marked_files(file)
        facts = {
            k: v for k, v in row.items() if k not in _OF_FILES and isinstance(v, _PLAIN) and v not in ("", UNKNOWN)
        }
        facts = {k: v for k, v in facts.items() if v == v}
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
        files += found.files
    files = one_file_a_series(dict.fromkeys(files))  # any file of a DICOM slide opens the whole
    if not files:
        raise ImageError(
            "at least one slide",
            got=f"none ({' '.join(left_out)})" if left_out else "none",
            where=", ".join(map(printable_path, paths)),
            fix="Name slides, plain images, or a folder that holds some.",
        )
    return files, left_out


def _names(file: Path) -> Iterator[str]:
    """What a table may call a file: its path from any folder on, the longest first, with and without suffix."""
    for name in (file.as_posix(), file.with_suffix("").as_posix()):
        parts = unicodedata.normalize("NFC", name).split("/")
        yield from ("/".join(parts[start:]) for start in range(len(parts)))


def _region_files(regions: Path | None, slides: int) -> Callable[[Path], Path | None]:
    """The file of annotations of a slide: one for the only slide, or that of its name in a folder."""
    if regions is None or not regions.is_dir():
        if regions is not None and slides > 1:
            raise ConfigError(
                "a folder with a file of regions for each slide",
                got=f"one file for {slides} slides",
                where=f"--regions {printable_path(regions)}",
                fix="Name the folder; its files have the names of the slides.",
            )
        return lambda file: regions
    held = {path.name.casefold(): path for path in sorted(regions.iterdir(), reverse=True) if path.is_file()}

    def of(file: Path) -> Path | None:
        names = [f"{file.stem}{suffix}" for suffix in _REGION_SUFFIXES]
        return next((held[n.casefold()] for n in names if n.casefold() in held), regions / names[0])

    return of


def _stated(table: Path) -> dict[str, dict[str, Any]]:
    frame = read_table(table, text=("slide", "slide_id", *FACTS), wanted=lambda names: "slide" in names).frame
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
    named = frame["slide"].map(cell_text).str.replace("\\", "/").str.removeprefix("./")
    frame["slide"] = named.map(lambda name: unicodedata.normalize("NFC", name))
    twice = frame["slide"][frame["slide"].duplicated()]
    if len(twice):
        raise TableError("each slide once", got=f"{twice.iloc[0]!r} twice", where=where, fix="Drop one of the rows.")
    if "mpp" in frame:
        objectives = frame["mpp"].map(cell_text).str.lower().str.replace("×", "x").map(PRESETS)
        numbers = objectives.fillna(pd.Series(to_numbers(frame["mpp"].where(objectives.isna())), index=frame.index))
        bad = (numbers.isna() & ~missing_cells(frame["mpp"])) | (numbers <= 0)
        if bad.any():
            raise TableError(
                f"microns per pixel above 0, one of {', '.join(PRESETS)}, or an empty cell",
                got=repr(cell_text(frame["mpp"][bad].iloc[0])),
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
