"""Plan of a slide's tiles: the grid, what is left out of it at low power and why, counted stage by stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, ImageError
from her2core.io.images import RGBImage
from her2core.slide.grid import grid_starts
from her2core.slide.reader import Slide
from her2core.slide.regions import Regions
from her2core.slide.tissue import OVERVIEW_MPP, TissueMask, tissue_mask
from her2core.slide.units import Microns

#: Stage -> why tiles are left out there, for people; in order.
STAGES = {
    "region": "outside the annotated regions",
    "glass": "too little tissue",
    "ink": "pen or ink",
    "fold": "folded tissue",
}
#: Difference between the colours of a pixel up to which it is grey.
_COLOURLESS = 2
#: Most tiles of one slide: beyond it the grid is a mistake.
MAX_TILES = 5_000_000


@dataclass(frozen=True)
class TileGrid:
    """Settings of a plan. Shares are our choice; 0 to 1.

    Parameters
    ----------
    tile_um : float
        Side of a tile in microns.
    stride_um : float, optional
        Distance between tiles in microns; tiles do not overlap when left out.
    edge : {'shift', 'drop', 'keep'}
        A key of ``grid.POLICIES``.
    min_tissue : float
        Least share of a tile that is tissue.
    max_ink, max_fold : float
        Largest share of a tile that is ink, or folded.
    min_region : float
        Least share of a tile inside the annotated regions, where there are some.

    Examples
    --------
    >>> TileGrid(112.0).stride
    Microns(value=112.0)
    """

    tile_um: float
    stride_um: float | None = None
    edge: str = "shift"
    min_tissue: float = 0.25
    max_ink: float = 0.05
    max_fold: float = 0.5
    min_region: float = 0.5

    @property
    def tile(self) -> Microns:
        """Side of a tile."""
        return Microns(self.tile_um)

    @property
    def stride(self) -> Microns:
        """Distance between tiles."""
        return Microns(self.stride_um or self.tile_um)


@dataclass(frozen=True, eq=False)
class TilePlan:
    """The tiles of one slide.

    Attributes
    ----------
    tiles : DataFrame
        One row a tile of the whole grid: ``column, row`` (numbers in the grid), ``x, y, side`` (level-0 pixels, may be
        fractions), ``x_um, y_um, side_um``, shares ``tissue, ink, fold`` and, with regions, ``region``; ``stage`` is
        empty for a tile that is kept, otherwise the key of STAGES at which it is left out.
    overview : uint8 array (H, W, 3)
        The slide at low power.
    mask : TissueMask
    notes : tuple of str
        What must be known about the regions and the slide's colours.
    """

    tiles: pd.DataFrame
    overview: RGBImage
    mask: TissueMask
    notes: tuple[str, ...] = field(default=())

    @property
    def kept(self) -> pd.DataFrame:
        """The tiles to read, row by row."""
        return self.tiles[self.tiles["stage"] == ""].reset_index(drop=True)

    @property
    def audit(self) -> pd.DataFrame:
        """How many tiles each stage leaves out: ``stage, reason, left_out, remaining``."""
        return audit(self.tiles["stage"], STAGES)


def audit(stages: Sequence[str] | pd.Series, reasons: dict[str, str]) -> pd.DataFrame:
    """Count what each stage leaves out.

    Parameters
    ----------
    stages : sequence of str
        Of each tile the stage at which it is left out; empty where it is kept.
    reasons : dict of str
        Stage -> reason, in order.

    Returns
    -------
    DataFrame
        ``stage, reason, left_out, remaining``; the first row is the grid.

    Examples
    --------
    >>> audit(["", "glass", "glass"], {"glass": "too little tissue"}).values.tolist()
    [['grid', 'all tiles', 0, 3], ['glass', 'too little tissue', 2, 1]]
    """
    counts = pd.Series(list(stages), dtype="str").value_counts()
    rows: list[dict[str, Any]] = [{"stage": "grid", "reason": "all tiles", "left_out": 0, "remaining": len(stages)}]
    for stage, reason in reasons.items():
        left = int(counts.get(stage, 0))
        rows.append({"stage": stage, "reason": reason, "left_out": left, "remaining": rows[-1]["remaining"] - left})
    return pd.DataFrame(rows)


def plan_tiles(slide: Slide, grid: TileGrid, regions: Regions | None = None) -> TilePlan:
    """Plan the tiles of a slide.

    Parameters
    ----------
    slide : Slide
    grid : TileGrid
    regions : Regions, optional
        Annotated regions that tiles must lie in.

    Returns
    -------
    TilePlan

    Raises
    ------
    ConfigError
        For settings out of range.
    ImageError
        The slide is smaller than one tile, holds more than MAX_TILES, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from her2core.io.images import encode_png
    >>> from her2core.slide.reader import open_slide
    >>> picture = np.full((400, 600, 3), 245, np.uint8)
    >>> picture[100:300, 100:500] = (215, 150, 200)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "field.png")
    ...     _ = file.write_bytes(encode_png(picture))
    ...     with open_slide(file, mpp=2.0) as slide:
    ...         plan = plan_tiles(slide, TileGrid(200.0))
    >>> len(plan.tiles), len(plan.kept), dict(zip(plan.audit["stage"], plan.audit["left_out"]))
    (24, 8, {'grid': 0, 'region': 0, 'glass': 16, 'ink': 0, 'fold': 0})
    """
    _check(grid)
    width, height = slide.scale.microns(slide.width), slide.scale.microns(slide.height)
    if (width / grid.stride + 1) * (height / grid.stride + 1) > MAX_TILES:
        raise ImageError(
            f"a grid of at most {MAX_TILES:,} tiles",
            got=f"{width.value:,.0f} x {height.value:,.0f} microns in steps of {grid.stride.value:g}",
            where=slide.name,
            fix="Check the slide's microns per pixel, or choose larger tiles.",
        )
    across = grid_starts(width, grid.tile, grid.stride, policy=grid.edge)
    down = grid_starts(height, grid.tile, grid.stride, policy=grid.edge)
    if not len(across) or not len(down):
        raise ImageError(
            f"a slide of at least one tile ({grid.tile_um:g} x {grid.tile_um:g} microns)",
            got=f"{width.value:,.1f} x {height.value:,.1f} microns",
            where=slide.name,
            fix="Check its microns per pixel, or use the edge policy keep.",
        )
    mpp = max(OVERVIEW_MPP, slide.scale.mpp)
    overview = slide.overview(mpp)
    mask = tissue_mask(overview, width.value / overview.shape[1])
    column, row = (a.ravel() for a in np.meshgrid(np.arange(len(across)), np.arange(len(down))))
    x_um, y_um = across[column], down[row]
    side = slide.scale.level0(grid.tile).value
    tiles = pd.DataFrame({"column": column, "row": row, "x_um": x_um, "y_um": y_um, "side_um": grid.tile_um})
    tiles["x"], tiles["y"], tiles["side"] = x_um / slide.scale.mpp, y_um / slide.scale.mpp, side
    for name, area in (("tissue", mask.tissue), ("ink", mask.ink), ("fold", mask.fold)):
        tiles[name] = mask.shares(area, x_um, y_um, grid.tile_um)
    if regions is not None:
        tiles["region"] = regions.shares(tiles["x"].to_numpy(), tiles["y"].to_numpy(), side)
    tiles["stage"] = _stages(tiles, grid)
    notes = regions.notes if regions is not None else ()
    if int(np.ptp(overview, axis=-1).max()) <= _COLOURLESS:
        notes = (*notes, "the slide has no colours (greyscale, black or white): H&E tissue is found by its colours")
    return TilePlan(tiles, overview, mask, notes)


def _stages(tiles: pd.DataFrame, grid: TileGrid) -> np.ndarray:
    inside = tiles["region"] >= grid.min_region if "region" in tiles else np.ones(len(tiles), bool)
    conditions = [~inside, tiles["tissue"] < grid.min_tissue, tiles["ink"] > grid.max_ink]
    return np.select([*conditions, tiles["fold"] > grid.max_fold], list(STAGES), default="")


def _check(grid: TileGrid) -> None:
    for name in ("min_tissue", "max_ink", "max_fold", "min_region"):
        if not 0 <= getattr(grid, name) <= 1:
            raise ConfigError("a share from 0 to 1", got=f"{getattr(grid, name)!r}", where=name, fix="Correct it.")


@lru_cache
def code_hash() -> str:
    """SHA-256 of the code of this package: what it wrote is not taken for the work of another version.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> len(code_hash())
    64
    """
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def work_key(slide: Slide, grid: TileGrid, **settings: Any) -> str:
    """Name of one piece of work: the slide's file, its scale, the settings and the code.

    Parameters
    ----------
    slide : Slide
    grid : TileGrid
    **settings
        Whatever else decides the result; JSON-ready.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    about = slide.path.stat()
    described = {
        "file": [slide.path.name, about.st_size, about.st_mtime_ns],
        "mpp": slide.scale.mpp,
        "grid": asdict(grid),
        "settings": settings,
        "code": code_hash(),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
