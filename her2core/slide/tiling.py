"""Tiles of slides as image files and a manifest, which every other part of the product reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from her2core.data.manifest import Manifest, build_manifest
from her2core.data.prepare import FLAGS
from her2core.data.quality import quality_flags
from her2core.errors import ConfigError, ImageError, ManifestError
from her2core.io.files import write_parquet, write_via_temporary
from her2core.io.images import RGBImage, encode_png
from her2core.io.shards import ShardWriter
from her2core.io.tables import read_table
from her2core.labels import LabelScheme
from her2core.notice import RESEARCH
from her2core.parallel.stages import stage, waiting
from her2core.slide.contact import contact_sheet
from her2core.slide.jobs import SlideJob
from her2core.slide.plan import STAGES, TileGrid, TilePlan, audit, plan_tiles, work_key
from her2core.slide.reader import Slide, exact_tile, open_slide
from her2core.slide.stain import SlideStain, normalise_tile, slide_stain
from her2core.slide.stream import stream_tiles, tile_groups
from her2core.slide.work import finish, finished, slide_folder, unfinished
from her2core.stain.density import tissue_share
from her2core.stain.reference import StainReference

#: Share of tissue in a tile at full size below which it is left out, as ``stain.macenko`` does.
MIN_TISSUE = 0.05
#: Stage -> reason at full size, for people.
TILE_STAGES = {
    "nearly_empty": "almost no tissue at full size",
    **{f"tile_{flag}": FLAGS[flag].partition(":")[0] for flag in ("not_he", "ink", "blurred")},
}
STAINS = ("none", "slide")


@dataclass(frozen=True)
class TileSettings:
    """How slides are cut into tiles.

    Parameters
    ----------
    px : int
        Side of a tile in pixels.
    mpp : float
        Microns per pixel of the tiles, exactly.
    grid : TileGrid
        Its tiles have ``px * mpp`` microns.
    stain : {'none', 'slide'}
        Leave colours as they are, or normalise by one estimate for each slide.
    screen : bool
        Leave out tiles that are nearly empty, inked, blurred or no H&E at full size.
    shard : bool
        Write the tiles of a slide into one file, ``tiles.tar``, instead of a folder with a file each.

    Raises
    ------
    ConfigError
        For settings out of range or at odds.

    Examples
    --------
    >>> TileSettings(224, 0.5, TileGrid(112.0)).stain
    'none'
    """

    px: int
    mpp: float
    grid: TileGrid
    stain: str = "none"
    screen: bool = True
    shard: bool = False

    def __post_init__(self) -> None:
        if self.stain not in STAINS:
            raise ConfigError(f"one of {', '.join(STAINS)}", got=repr(self.stain), where="stain", fix="Choose one.")
        if not 8 <= self.px <= 4096 or abs(self.px * self.mpp - self.grid.tile_um) > 1e-6 * self.grid.tile_um:
            raise ConfigError(
                "tiles of 8 to 4,096 px whose side is px times mpp",
                got=f"{self.px} px of {self.mpp:g} microns, and tiles of {self.grid.tile_um:g} microns",
                where="tiles",
                fix="Correct one of them.",
            )

    @property
    def tiles_name(self) -> str:
        """Folder or shard of a slide's tiles."""
        return "tiles.tar" if self.shard else "tiles"


def tile_slide(
    job: SlideJob,
    settings: TileSettings,
    out: Path,
    *,
    threads: int = 2,
    progress: Callable[[int, int], Any] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Cut one slide into tiles, unless the same work is there already.

    Parameters
    ----------
    job : SlideJob
    settings : TileSettings
    out : Path
        Folder of all slides; this one's is ``slides/<slide_id>`` with tiles/*.png (or tiles.tar), tiles.parquet,
        contact.png and slide.json.
    threads : int, default 2
        That read.
    progress : callable, optional
        Called with (tiles read, tiles in all).

    Returns
    -------
    about : dict
        Content of slide.json.
    reused : bool
        Whether it was there.

    Raises
    ------
    ImageError
        The slide or its annotations cannot be used.
    OSError
        Writing failed; nothing incomplete has the slide's name.
    """
    with open_slide(job.path, mpp=job.mpp) as slide:
        if exact_tile(slide, settings.grid.tile, settings.px) < settings.px:
            raise ImageError(
                f"a slide of at most {settings.mpp:g} microns per pixel",
                got=f"{slide.scale.mpp:g}",
                where=job.slide_id,
                fix="Choose a coarser scale for the tiles: they are never enlarged.",
            )
        stated = {"slide_id": job.slide_id, "facts": dict(job.facts), "regions": regions_key(job)}
        how = {name: value for name, value in asdict(settings).items() if name != "grid"}
        key = work_key(slide, settings.grid, **how, **stated)
        if (about := finished(out, job, key)) is not None:
            return about, True
        with stage("plan"):
            plan = plan_tiles(slide, settings.grid, job.read_regions(slide))
        with stage("stain"):
            stain = slide_stain(slide, plan.kept)
        folder = unfinished(out, job, key)
        with _tile_files(folder, settings) as write:
            rows, stages, samples = _write_tiles(slide, plan, settings, stain, write, threads, progress)
        counted = [*plan.tiles["stage"][plan.tiles["stage"] != ""], *stages]
        counts = audit(counted, {**STAGES, **(TILE_STAGES if settings.screen else {})})
        frame = _frame(rows, job, settings, slide_folder(out, job).relative_to(out))
        with stage("write"):
            write_parquet(folder / "tiles.parquet", frame)
            sheet = contact_sheet(plan, samples, title=f"{job.slide_id}: {len(frame):,} tiles. {RESEARCH}")
            write_via_temporary(folder / "contact.png", lambda t: t.write_bytes(encode_png(sheet)))
        about = {
            "key": key,
            "slide_id": job.slide_id,
            "patient_id": job.patient_id,
            **about_slide(slide),
            "settings": asdict(settings),
            "stain": stain.as_dict(),
            "tiles": len(frame),
            "audit": counts.to_dict("records"),
            "notes": [*slide.notes, *plan.notes],
            "notice": RESEARCH,
        }
        finish(out, job, folder, about)
        return about, False


def _write_tiles(
    slide: Slide,
    plan: TilePlan,
    settings: TileSettings,
    stain: SlideStain,
    write: Callable[[str, bytes], Any],
    threads: int,
    progress: Callable[[int, int], Any] | None,
) -> tuple[list[dict[str, Any]], list[str], list[RGBImage]]:
    """Rows of the tiles kept, the stage of each tile that was read, and a sample for the contact sheet."""
    tiles = plan.kept
    rows: list[dict[str, Any]] = []
    stages: list[str] = []
    samples: list[RGBImage] = []
    every = max(1, -(-len(tiles) // 40))
    reference = StainReference()
    groups = tile_groups(slide, tiles, settings.px)
    for group in waiting("read", stream_tiles(slide, tiles, groups, settings.px, threads=threads)):
        for index, image in zip(group.rows, group.images, strict=True):
            with stage("screen"):
                stages.append(_stage(image) if settings.screen else "")
            if stages[-1]:
                continue
            if settings.stain == "slide":
                with stage("stain"):
                    image = normalise_tile(image, stain, reference)
            tile = tiles.iloc[index]
            name = f"{int(tile['column'])}_{int(tile['row'])}.png"
            with stage("write"):
                write(name, encode_png(image))
            rows.append({**tile.to_dict(), "name": name})
            if len(rows) % every == 1 or every == 1:
                samples.append(image)
        if progress:
            progress(len(stages), len(tiles))
    return rows, stages, samples


@contextmanager
def _tile_files(folder: Path, settings: TileSettings) -> Iterator[Callable[[str, bytes], Any]]:
    """Function that writes a tile, by its name and its bytes."""
    place = folder / settings.tiles_name
    if settings.shard:
        with ShardWriter(place) as shard:
            yield shard.add
    else:
        place.mkdir(exist_ok=True)
        yield lambda name, data: (place / name).write_bytes(data)


def _stage(image: RGBImage) -> str:
    if tissue_share(image) < MIN_TISSUE:
        return "nearly_empty"
    flags = quality_flags(image, image)
    return next((stage for stage in TILE_STAGES if stage.removeprefix("tile_") in flags), "")


def _frame(rows: list[dict[str, Any]], job: SlideJob, settings: TileSettings, folder: Path) -> pd.DataFrame:
    """Rows of a manifest. Window columns are in pixels of the tiles' own scale, level-0 pixels beside them."""
    tiles = pd.DataFrame(rows, columns=["name", "column", "row", "x", "y", "side", "x_um", "y_um", "tissue"])
    tiles = tiles.sort_values(["row", "column"], ignore_index=True)
    place = tiles["column"].astype(str) + "_" + tiles["row"].astype(str)
    return pd.DataFrame(
        {
            "patch_id": f"{job.slide_id}/" + place,
            "path": f"{folder.as_posix()}/{settings.tiles_name}/" + tiles["name"].astype(str),
            "slide_id": job.slide_id,
            "patient_id": job.patient_id,
            "mpp": settings.mpp,
            "x": np.rint(tiles["x_um"].astype(float) / settings.mpp).astype("int64"),
            "y": np.rint(tiles["y_um"].astype(float) / settings.mpp).astype("int64"),
            "width": settings.px,
            "height": settings.px,
            "level0_x": tiles["x"].astype(float),
            "level0_y": tiles["y"].astype(float),
            "level0_side": tiles["side"].astype(float),
            "tissue": tiles["tissue"].astype(float),
            **{name: value for name, value in job.facts.items() if name != "patient_id"},
        }
    )


def about_slide(slide: Slide) -> dict[str, Any]:
    """What is written about a slide's file: format, size, scale and levels; no property that may hold a name.

    Parameters
    ----------
    slide : Slide

    Returns
    -------
    dict
        JSON-ready.
    """
    return {
        "format": slide.kind,
        "width": slide.levels[0].width,
        "height": slide.levels[0].height,
        "mpp": slide.scale.mpp,
        "mpp_source": slide.scale_source,
        "levels": [round(level.downsample, 4) for level in slide.levels],
    }


def regions_key(job: SlideJob) -> list[Any] | None:
    """What identifies a slide's file of regions: name, size and time of change; None without one.

    Parameters
    ----------
    job : SlideJob

    Returns
    -------
    list or None

    Examples
    --------
    >>> regions_key(SlideJob(Path("a.svs"), "a")) is None
    True
    """
    if job.regions is None or not job.regions.exists():
        return None
    about = job.regions.stat()
    return [job.regions.name, about.st_size, about.st_mtime_ns]


def collect_tiles(
    out: Path, folders: Sequence[Path], *, scheme: LabelScheme | None = None, facts: Mapping[str, Any] | None = None
) -> tuple[Path, Manifest | None]:
    """Join the tables of finished slides: a manifest where every slide has a label, a table of tiles otherwise.

    The other of both, of an earlier run, is removed: its tiles may have been replaced.

    Parameters
    ----------
    out : Path
        Folder of all slides.
    folders : sequence of Path
        Of the finished slides.
    scheme : LabelScheme, optional
        Of the labels; recognised when left out.
    facts : mapping, optional
        Of the data set: licence, terms, citation.

    Returns
    -------
    path : Path
        ``manifest.parquet``, or ``tiles.parquet``.
    manifest : Manifest or None

    Raises
    ------
    ImageError
        No slide has a tile.
    ManifestError
        The labels break the schema; the table of tiles is written.
    """
    parts = [read_table(folder / "tiles.parquet", own=True).frame for folder in folders]
    parts = [part for part in parts if len(part)]
    table, whole = out / "tiles.parquet", out / "manifest.parquet"
    if not parts:
        for former in (table, whole):
            former.unlink(missing_ok=True)
        raise ImageError(
            "at least one tile", got="none on any slide", where=str(out), fix="The audit in slide.json says why."
        )
    frame = pd.concat(parts, ignore_index=True)
    labelled = [c for c in ("label", "her2_ihc") if c in frame and frame[c].notna().all()]
    if not labelled:
        write_parquet(table, frame)
        whole.unlink(missing_ok=True)
        return table, None
    held = {**(facts or {}), "tiles": "her2 tile", "claim": "labels belong to slides"}
    try:
        manifest = build_manifest(frame, root=out, scheme=scheme, facts=held, where=str(out))
    except ManifestError:  # of labels that make no manifest, such as a single class: the tiles are there all the same
        write_parquet(table, frame)
        whole.unlink(missing_ok=True)
        raise
    manifest.write(whole)
    table.unlink(missing_ok=True)
    return whole, manifest
