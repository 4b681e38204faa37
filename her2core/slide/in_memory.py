"""One slide for a page: what of it is tissue and tiles, then its prediction tile by tile, all in memory.

The command line (``slide.predict``) writes a folder for each slide and resumes; a page shows one slide and stores
nothing. Both read the same tiles and aggregate them by the same rule. File names may hold a patient's name or barcode,
so that a slide is called by its number here; label and macro images are never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from her2core.errors import ImageError
from her2core.extras import has_modules
from her2core.inference.background import Step
from her2core.inference.predictor import Predictor
from her2core.io.images import RGBImage
from her2core.slide.dicom_map import map_comments
from her2core.slide.dicom_series import SlideFrame, slide_frame
from her2core.slide.handles import HANDLES
from her2core.slide.heatmap import Heatmap, make_heatmap
from her2core.slide.overlay import Outline, tissue_outline
from her2core.slide.plan import TileGrid, TilePlan, plan_tiles
from her2core.slide.predict import group_rows, tile_px, tile_table
from her2core.slide.reader import Slide
from her2core.slide.result import UnitPrediction, predict_unit, run_rule
from her2core.slide.stream import stream_tiles, tile_groups

#: Longest side of a picture in pixels, and examples of each end of a class.
LONGEST, EXAMPLES = 1200, 4
_BATCH = 16


@dataclass(frozen=True, eq=False)
class SlidePreview:
    """What is known of a slide before it is predicted.

    Attributes
    ----------
    grid : DataFrame
        As ``TilePlan.tiles``, without the tiles that are mostly glass.
    outline : tuple of int32 arrays (N, 2)
        As ``overlay.tissue_outline``.
    tiles : int
        That would be predicted.
    audit : DataFrame
        As ``TilePlan.audit``.
    mpp : float
        Microns per pixel of level 0.
    scale_source, kind : str
        Where the scale comes from, and the format.
    size_mm : tuple of float
        Width and height.
    """

    grid: pd.DataFrame
    outline: Outline
    tiles: int
    audit: pd.DataFrame
    mpp: float
    scale_source: str
    kind: str
    size_mm: tuple[float, float]


@dataclass(frozen=True, eq=False)
class SlideAnswer:
    """A predicted slide.

    Attributes
    ----------
    found : UnitPrediction
    tiles : DataFrame
        As ``predict.tile_table``, with slide_id and patient_id.
    heatmap : Heatmap
    overview : uint8 array (H, W, 3)
        At low power.
    examples : dict of int to uint8 array (px, px, 3)
        Pixels of some tiles by their position in ``tiles``: those of highest and lowest probability of each class.
    tile_mpp : float
        Microns per pixel of the examples.
    frame : SlideFrame or None
        Where the heatmap is for DICOM; None without the extra ``dicom``, and for a DICOM slide without a position.
    comments : str
        What stands in a DICOM map beside its values.
    """

    found: UnitPrediction
    tiles: pd.DataFrame
    heatmap: Heatmap
    overview: RGBImage
    examples: dict[int, RGBImage]
    tile_mpp: float
    frame: SlideFrame | None = None
    comments: str = ""

    def ends(self, target: str) -> tuple[list[int], list[int]]:
        """Positions of the counted tiles with the highest and the lowest probability of a class, at most EXAMPLES."""
        return _ends(self.tiles, target)


def preview_slide(path: Path, grid: TileGrid, *, mpp: float | None = None) -> SlidePreview:
    """Look at a slide at low power.

    Parameters
    ----------
    path : Path
    grid : TileGrid
        From ``predict.slide_grid``.
    mpp : float, optional
        Microns per pixel that a person stated.

    Returns
    -------
    SlidePreview

    Raises
    ------
    ImageError
        The slide cannot be read, or its scale is missing or doubtful and none was stated.
    ConfigError
        The extra ``slide`` is not installed.
    """
    with HANDLES.slide(path, mpp=mpp) as slide:
        plan = plan_tiles(slide, grid)
        size = tuple(slide.scale.microns(side).value / 1000 for side in (slide.width, slide.height))
        return SlidePreview(
            plan.tiles[plan.tiles["stage"] != "glass"].reset_index(drop=True),
            tissue_outline(plan.mask, slide.scale.mpp),
            len(plan.kept),
            plan.audit,
            slide.scale.mpp,
            slide.scale_source,
            slide.kind,
            (size[0], size[1]),
        )


def slide_steps(
    predictor: Predictor, path: Path, grid: TileGrid, *, name: str, mpp: float | None = None
) -> Callable[[Callable[[], bool]], Iterator[Step[SlideAnswer]]]:
    """Steps of a background job that predicts a slide.

    Parameters
    ----------
    predictor : Predictor
    path : Path
    grid : TileGrid
        From ``predict.slide_grid``.
    name : str
        What to call the slide: not its file's name.
    mpp : float, optional
        Microns per pixel that a person stated.

    Returns
    -------
    callable
        For ``inference.background.Job``; the last step holds the ``SlideAnswer``. A cancelled one has none.
    """

    def steps(cancelled: Callable[[], bool]) -> Iterator[Step[SlideAnswer]]:
        with HANDLES.slide(path, mpp=mpp) as slide:
            px = tile_px(slide, grid, predictor)
            plan = plan_tiles(slide, grid)
            kept = plan.kept.drop(columns="stage").rename(columns={"tissue": "tissue_share"})
            yield [], 0, len(kept)
            rows: list[dict[str, object]] = []
            for group in stream_tiles(slide, kept, tile_groups(slide, kept, px), px, threads=1):
                # A few tiles a step, so that other visitors' patches wait for those alone.
                for start in range(0, len(group.rows), _BATCH):
                    part = slice(start, start + _BATCH)
                    few = type(group)(group.rows[part], group.images[part], group.flags)
                    rows += group_rows(predictor, few, grid.tile_um / px, _BATCH)
                    yield [], len(rows), len(kept)
            tiles = tile_table(kept, [pd.DataFrame(rows)] if rows else [], predictor.classes)
            tiles.insert(0, "slide_id", name)
            tiles.insert(1, "patient_id", "unknown")
            yield [_answer(predictor, slide, plan, tiles, grid, px, name)], len(kept), len(kept)

    return steps


def read_tile(
    predictor: Predictor, path: Path, grid: TileGrid, place: tuple[float, float, float], *, mpp: float | None = None
) -> tuple[RGBImage, float]:
    """Pixels of one tile of a slide, as they are predicted.

    Parameters
    ----------
    predictor : Predictor
    path : Path
    grid : TileGrid
        From ``predict.slide_grid``.
    place : tuple of float
        x, y and side in level-0 pixels.
    mpp : float, optional
        Microns per pixel of level 0 that a person stated.

    Returns
    -------
    pixels : uint8 array (px, px, 3)
    mpp : float
        Microns per pixel of these.

    Raises
    ------
    ImageError
        The slide cannot be read there, or is too coarse.
    ConfigError
        The extra ``slide`` is not installed.
    """
    with HANDLES.slide(path, mpp=mpp) as slide:
        px = tile_px(slide, grid, predictor)
        return slide.read_tiles([place], px)[0][0], grid.tile_um / px


def _answer(
    predictor: Predictor, slide: Slide, plan: TilePlan, tiles: pd.DataFrame, grid: TileGrid, px: int, name: str
) -> SlideAnswer:
    rule = run_rule(predictor.run, "slide")
    model, run = predictor.model_id, predictor.run
    found = predict_unit(tiles, predictor.classes, unit="slide", name=name, rule=rule, model=model, run=run)
    found = replace(found, notes=(*found.notes, *slide.notes))
    size = {"width": slide.scale.microns(slide.width), "height": slide.scale.microns(slide.height)}
    heatmap = make_heatmap(tiles, predictor.classes, tile=grid.tile, **size)
    wanted = sorted({row for target in predictor.classes for end in _ends(tiles, target) for row in end})
    examples = {}
    for row in wanted:
        x, y, side = (float(tiles[column].iloc[row]) for column in ("x", "y", "side"))
        examples[row] = slide.read_tiles([(x, y, side)], px)[0][0]
    frame, said = _frame(slide), map_comments(predictor.run, found)
    return SlideAnswer(found, tiles, heatmap, _small(plan.overview), examples, grid.tile_um / px, frame, said)


def _frame(slide: Slide) -> SlideFrame | None:
    if not has_modules("highdicom", "pydicom"):
        return None
    try:
        return slide_frame(slide)
    except ImageError:  # the heatmap has its other formats
        return None


def _ends(tiles: pd.DataFrame, target: str) -> tuple[list[int], list[int]]:
    counted = tiles[tiles["counts"].astype(bool)] if len(tiles) else tiles
    order = [int(row) for row in counted[f"probability_{target}"].astype(float).sort_values(kind="stable").index]
    few = min(EXAMPLES, len(order) // 2)
    return order[::-1][:few], order[:few]


def _small(overview: RGBImage) -> RGBImage:
    picture = Image.fromarray(overview)
    picture.thumbnail((LONGEST, LONGEST))
    return np.asarray(picture)
