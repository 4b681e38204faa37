"""Prediction of whole slides: tiles streamed through a run's predictor, in parts that survive an interruption.

Tiles have the field of view of the run's training patches and are read at the scale of its network's input, so that
nothing is shrunk twice; the predictor prepares them exactly as it does patches. Memory holds a few groups of tiles
whatever the size of the slide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import ConfigError, ImageError
from her2core.inference.arguments import checked_batch, checked_mpp
from her2core.inference.predictor import Predictor
from her2core.inference.tiles import tile_row
from her2core.io.cells import UNKNOWN
from her2core.io.files import write_parquet, write_via_temporary
from her2core.io.images import DecodedImage, RGBImage, encode_png
from her2core.io.tables import read_table
from her2core.maps.field_overlay import with_colour_scale
from her2core.maps.overlay import with_caption
from her2core.notice import RESEARCH
from her2core.parallel.stages import add_seconds, stage, waiting
from her2core.slide.dicom_map import map_comments, write_parametric_map
from her2core.slide.dicom_series import SlideFrame, slide_frame
from her2core.slide.geojson import write_geojson
from her2core.slide.heatmap import Heatmap, heatmap_picture, make_heatmap, tile_state, write_ome_tiff
from her2core.slide.jobs import SlideJob
from her2core.slide.plan import TileGrid, TilePlan, plan_tiles, work_key
from her2core.slide.reader import Slide, exact_tile, open_slide
from her2core.slide.result import UnitPrediction, from_dict, predict_unit, run_rule
from her2core.slide.stream import Indices, TileGroup, stream_tiles, tile_groups
from her2core.slide.tiling import about_slide, regions_key
from her2core.slide.work import finish, finished, read_about, slide_folder, unfinished

#: Tiles after which a part is written: what an interruption costs at most.
PART_TILES = 512
#: The heatmap as DICOM Parametric Map, where it was asked for.
DICOM = "heatmap.dcm"
#: Smallest side of a tile as a share of the network's input, as for fields.
_MIN_TILE = 0.25


@dataclass(frozen=True)
class SlideSettings:
    """How slides are predicted.

    Parameters
    ----------
    grid : TileGrid
        Its tiles have the run's field of view (``slide_grid``).
    rule : str, optional
        Of aggregation; that of the run's evaluation when left out.
    batch : int
        Tiles a forward pass.
    threads : int
        That read.
    dicom : bool
        Whether the heatmap is written as DICOM as well (extra ``dicom``).

    Examples
    --------
    >>> SlideSettings(TileGrid(89.6)).batch
    16
    """

    grid: TileGrid
    rule: str | None = None
    batch: int = 16
    threads: int = 2
    dicom: bool = False


def slide_grid(predictor: Predictor, field_um: float | None = None, **settings: Any) -> TileGrid:
    """The grid of tiles with a run's field of view.

    Parameters
    ----------
    predictor : Predictor
    field_um : float, optional
        Side of a tile in microns; that of the run's training patches when left out.
    **settings
        Further fields of ``TileGrid``.

    Returns
    -------
    TileGrid

    Raises
    ------
    ConfigError
        The run states no field of view and none is given.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> slide_grid(example_predictor(), 50.0).tile_um
    50.0
    """
    side = checked_mpp(field_um) or predictor.prepare.field_um
    if side is None:
        raise ConfigError(
            "a run that states the field of view of its training patches",
            got="one that does not",
            where=predictor.model_id,
            fix="State the side of its patches in microns (--field-um).",
        )
    return TileGrid(float(side), **settings)


def predict_slide(
    predictor: Predictor,
    job: SlideJob,
    out: Path,
    settings: SlideSettings,
    *,
    progress: Callable[[int, int], Any] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Predict one slide, unless the same work is there already.

    Parameters
    ----------
    predictor : Predictor
        From ``load_predictor``.
    job : SlideJob
    out : Path
        Folder of all slides; this one's is ``slides/<slide_id>`` with tiles.parquet, tiles.geojson, heatmap.ome.tif,
        heatmap.png and slide.json, and heatmap.dcm where it was asked for.
    settings : SlideSettings
    progress : callable, optional
        Called with (tiles done, tiles in all).

    Returns
    -------
    about : dict
        Content of slide.json; ``prediction`` is ``UnitPrediction.as_dict`` of the slide.
    reused : bool
        Whether it was there.

    Raises
    ------
    ImageError
        The slide or its annotations cannot be used, or the slide is too coarse.
    ConfigError
        For ``batch`` or ``rule`` out of range.
    OSError
        Writing failed; parts written before are used by the next call.
    """
    checked_batch(settings.batch)
    with open_slide(job.path, mpp=job.mpp) as slide:
        frame = slide_frame(slide) if settings.dicom else None  # refused before any tile is predicted
        px = tile_px(slide, settings.grid, predictor)
        rule = run_rule(predictor.run, "slide", settings.rule)
        stated = {"slide_id": job.slide_id, "patient_id": job.patient_id, "regions": regions_key(job)}
        model = {"model": predictor.model_id, "engine": predictor.engine}
        key = work_key(slide, settings.grid, **model, rule=rule, **stated)
        if (about := finished(out, job, key)) is not None:
            done = slide_folder(out, job)
            if frame is not None and not (done / DICOM).is_file():
                tiles = read_table(done / "tiles.parquet", own=True).frame
                answer = from_dict(about["prediction"])
                _write_dicom(done, _heatmap(slide, tiles, answer, settings.grid), frame, answer, predictor)
            return about, True
        with stage("plan"):
            plan = plan_tiles(slide, settings.grid, job.read_regions(slide))
        folder = unfinished(out, job, key)
        tiles = _predicted(predictor, slide, plan, px, folder, settings, progress)
        tiles.insert(0, "slide_id", job.slide_id)
        tiles.insert(1, "patient_id", job.patient_id)
        with stage("aggregate"):
            found = predict_unit(
                tiles,
                predictor.classes,
                unit="slide",
                name=job.slide_id,
                rule=rule,
                model=predictor.model_id,
                run=predictor.run,
            )
        found = replace(found, notes=(*found.notes, *slide.notes, *plan.notes))
        with stage("write"):
            _export(folder, slide, plan, tiles, found, settings.grid)
            if frame is not None:
                _write_dicom(folder, _heatmap(slide, tiles, found, settings.grid), frame, found, predictor)
            for part in folder.glob("part-*.parquet"):  # the table is there
                part.unlink()
        about = {
            "key": key,
            "slide_id": job.slide_id,
            "patient_id": job.patient_id,
            **about_slide(slide),
            "tile_px": px,
            "tile_mpp": round(settings.grid.tile_um / px, 6),
            "settings": asdict(settings.grid),
            "tiles": len(tiles),
            "audit": plan.audit.to_dict("records"),
            "states": {str(k): int(v) for k, v in tiles["state"].value_counts().items()},
            "engine": predictor.engine,
            "prediction": found.as_dict(),
            "notes": list(found.notes),
            "notice": RESEARCH,
        }
        finish(out, job, folder, about)
        return about, False


def patient_predictions(
    predictor: Predictor, folders: Sequence[Path], *, rule: str | None = None
) -> list[UnitPrediction]:
    """Answers for patients from the tiles of all their slides.

    Parameters
    ----------
    predictor : Predictor
    folders : sequence of Path
        Of finished slides.
    rule : str, optional
        Of aggregation; that of the run's evaluation by patient when left out.

    Returns
    -------
    list of UnitPrediction
        By patient; none for slides of unknown patients.
    """
    of_patient: dict[str, list[Path]] = {}
    for folder in folders:
        about = read_about(folder)
        if about.get("tiles") and about.get("patient_id", UNKNOWN) != UNKNOWN:
            of_patient.setdefault(str(about["patient_id"]), []).append(folder)
    by = run_rule(predictor.run, "patient", rule)
    model, run = predictor.model_id, predictor.run
    found = []
    for patient, own in sorted(of_patient.items()):  # one patient's tiles in memory at a time
        tiles = pd.concat([read_table(f / "tiles.parquet", own=True).frame for f in own], ignore_index=True)
        found.append(
            predict_unit(tiles, predictor.classes, unit="patient", name=patient, rule=by, model=model, run=run)
        )
    return found


def tile_px(slide: Slide, grid: TileGrid, predictor: Predictor) -> int:
    """Side in pixels at which tiles are read: the network's input, or less where the slide is coarser.

    Parameters
    ----------
    slide : Slide
    grid : TileGrid
    predictor : Predictor

    Returns
    -------
    int

    Raises
    ------
    ImageError
        The slide is too coarse.
    """
    px = exact_tile(slide, grid.tile, predictor.px)
    if px < max(8, _MIN_TILE * predictor.px):
        raise ImageError(
            f"a slide of at most {grid.tile_um / max(8, _MIN_TILE * predictor.px):.2g} microns per pixel",
            got=f"{slide.scale.mpp:g}, at which one field of view of {grid.tile_um:g} microns is {px} px",
            where=slide.name,
            fix="Scan or export it at a higher magnification, or check its microns per pixel.",
        )
    return px


def _predicted(
    predictor: Predictor,
    slide: Slide,
    plan: TilePlan,
    px: int,
    folder: Path,
    settings: SlideSettings,
    progress: Callable[[int, int], Any] | None,
) -> pd.DataFrame:
    """The table of tiles; parts that are there are not predicted again."""
    tiles = plan.kept.drop(columns="stage").rename(columns={"tissue": "tissue_share"})
    groups = tile_groups(slide, tiles, px)
    parts = list(_parts(groups))
    tables: list[pd.DataFrame] = []
    done = 0
    for number, part in enumerate(parts):
        file = folder / f"part-{number:05d}.parquet"
        if not file.exists():
            mpp = settings.grid.tile_um / px
            rows: list[dict[str, Any]] = []
            for group in waiting("read", stream_tiles(slide, tiles, part, px, threads=settings.threads)):
                rows += group_rows(predictor, group, mpp, settings.batch)
                if progress:
                    progress(done + len(rows), len(tiles))
            write_parquet(file, pd.DataFrame(rows))
        tables.append(read_table(file, own=True).frame)
        done += len(tables[-1])
        if progress:
            progress(done, len(tiles))
    return tile_table(tiles, tables, predictor.classes)


def tile_table(tiles: pd.DataFrame, found: Sequence[pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """The table of a slide's tiles with what was predicted for each.

    Parameters
    ----------
    tiles : DataFrame
        Kept tiles of the plan.
    found : sequence of DataFrame
        Rows of ``group_rows``, in parts.
    classes : sequence of str

    Returns
    -------
    DataFrame
        ``state`` says what became of a tile (keys of ``heatmap.STATES``).
    """
    columns = [f"probability_{c}" for c in classes]
    empty = pd.DataFrame(columns=["tile", *columns, "flags", "tissue", "counts", "ood_score"])
    whole = pd.concat(found, ignore_index=True) if len(found) else empty
    joined = tiles.join(whole.set_index("tile")).reset_index(drop=True)
    joined["flags"] = joined["flags"].fillna("").astype(str)
    joined["state"] = tile_state(joined)
    return joined


def _parts(groups: Sequence[Indices]) -> Iterator[list[Indices]]:
    part: list[Indices] = []
    for group in groups:
        part.append(group)
        if sum(map(len, part)) >= PART_TILES:
            yield part
            part = []
    if part:
        yield part


def group_rows(predictor: Predictor, group: TileGroup, mpp: float, batch: int) -> list[dict[str, Any]]:
    """Predict the tiles of a group.

    Parameters
    ----------
    predictor : Predictor
    group : TileGroup
    mpp : float
        Of the tiles.
    batch : int
        Tiles a forward pass.

    Returns
    -------
    list of dict
        ``tile`` (its position) and the columns of ``inference.tiles.tile_row``.
    """
    rows = []
    for start in range(0, len(group.rows), batch):
        chunk: list[RGBImage] = group.images[start : start + batch]
        images = [DecodedImage(image, group.flags) for image in chunk]
        for number, found in enumerate(predictor.predict(images, names=["tile"] * len(images), mpp=mpp, batch=batch)):
            rows.append({"tile": int(group.rows[start + number]), **tile_row(found), "ood_score": found.ood_score})
            for name, spent in found.milliseconds.items():
                add_seconds(name, spent / 1000)
    return rows


def _export(
    folder: Path, slide: Slide, plan: TilePlan, tiles: pd.DataFrame, found: UnitPrediction, grid: TileGrid
) -> None:
    """All files of a slide but slide.json and the DICOM map."""
    write_parquet(folder / "tiles.parquet", tiles, {"notice": RESEARCH})
    write_geojson(folder / "tiles.geojson", tiles, found.classes, name=f"{found.name}/{found.model}")
    heatmap = _heatmap(slide, tiles, found, grid)
    write_ome_tiff(folder / "heatmap.ome.tif", heatmap)
    target = found.most_probable or found.classes[0]
    said = f"{found.answer} for this slide. Probability of {target} by tile. {RESEARCH}"
    picture = with_caption(with_colour_scale(heatmap_picture(heatmap, plan.overview, target)), said)
    write_via_temporary(folder / "heatmap.png", lambda t: t.write_bytes(encode_png(picture)))


def _heatmap(slide: Slide, tiles: pd.DataFrame, found: UnitPrediction, grid: TileGrid) -> Heatmap:
    size = {"width": slide.scale.microns(slide.width), "height": slide.scale.microns(slide.height)}
    return make_heatmap(tiles, found.classes, tile=grid.tile, **size)


def _write_dicom(
    folder: Path, heatmap: Heatmap, frame: SlideFrame, found: UnitPrediction, predictor: Predictor
) -> None:
    said = map_comments(predictor.run, found)
    write_parametric_map(folder / DICOM, heatmap, frame, model=found.model, comments=said)
