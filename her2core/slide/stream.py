"""Tiles of a slide as a stream: neighbours are read together, some groups ahead, in an order that never changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from her2core.io.images import RGBImage
from her2core.slide.reader import Slide

#: Side in pixels of what is read at once from a level; with a row of OpenSlide's own tiles around it, about 17 MB.
READ_SIDE = 2048
#: Groups read ahead for each thread.
_AHEAD = 2

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TileGroup:
    """Tiles that were read together.

    Attributes
    ----------
    rows : int64 array (N,)
        Their positions in the table of tiles.
    images : list of uint8 arrays (px, px, 3)
        RGB, in the same order.
    flags : tuple of str
        Keys of ``io.colours.FLAGS``.
    """

    rows: Indices
    images: list[RGBImage]
    flags: tuple[str, ...]


def tile_groups(slide: Slide, tiles: pd.DataFrame, px: int) -> list[Indices]:
    """Positions of tiles that are read together: neighbours within READ_SIDE.

    Parameters
    ----------
    slide : Slide
    tiles : DataFrame
        ``x, y, side`` in level-0 pixels, as ``TilePlan.kept``.
    px : int
        Side in pixels at which the tiles are read.

    Returns
    -------
    list of int64 arrays
        In the order of reading; together every position once.
    """
    if tiles.empty:
        return []
    side = float(tiles["side"].iloc[0])
    level = slide.level_for(slide.scale.mpp * side / px)
    block = max(side, READ_SIDE * level.downsample - side)
    keys = [np.floor(tiles[axis].to_numpy() / block).astype(np.int64) for axis in ("y", "x")]
    order = np.lexsort((np.arange(len(tiles)), keys[1], keys[0]))
    changes = np.flatnonzero(np.diff(keys[0][order]) | np.diff(keys[1][order])) + 1
    return [group.astype(np.int64) for group in np.split(order, changes)]


def stream_tiles(
    slide: Slide, tiles: pd.DataFrame, groups: Sequence[Indices], px: int, *, threads: int = 2
) -> Iterator[TileGroup]:
    """Read groups of tiles, some ahead of the one that is asked for.

    Parameters
    ----------
    slide : Slide
    tiles : DataFrame
        ``x, y, side`` in level-0 pixels.
    groups : sequence of int64 arrays
        From ``tile_groups``, all or some.
    px : int
        Side of each tile in the result, in pixels.
    threads : int, default 2
        That read and resample.

    Yields
    ------
    TileGroup
        In the order of ``groups``. Memory holds ``3 * threads`` groups at most.

    Raises
    ------
    ImageError
        The slide is damaged, or its file vanished; groups before it were yielded.
    """
    places = tiles[["x", "y", "side"]].to_numpy(float)

    def read(rows: Indices) -> TileGroup:
        images, flags = slide.read_tiles([(x, y, side) for x, y, side in places[rows]], px)
        return TileGroup(rows, images, flags)

    waiting: deque[Future[TileGroup]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="tiles") as pool:
        try:
            for rows in groups:
                waiting.append(pool.submit(read, rows))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
