"""One stain estimate for a whole slide.

A slide is stained once, so its tiles share one stain: estimated on a sample of tiles spread over the tissue, it keeps
the difference between a pale and a dark tile, which an estimate for each tile removes. Networks trained on tiles that
were normalised one by one need tiles normalised one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from her2core.io.images import RGBImage
from her2core.slide.reader import Slide
from her2core.stain.macenko import StainNormalizer
from her2core.stain.reference import FLAGS, StainEstimate, StainReference

#: Tiles of the sample, and the side in pixels at which each enters it (our choice).
SAMPLE, SAMPLE_PX = 48, 96


@dataclass(frozen=True, eq=False)
class SlideStain:
    """The stain of a slide, or why there is none.

    Attributes
    ----------
    estimate : StainEstimate or None
    reason : str
        Why there is no estimate; empty where there is one.
    tiles : int
        Size of the sample.
    """

    estimate: StainEstimate | None
    reason: str
    tiles: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready.

        Returns
        -------
        dict
        """
        found = self.estimate
        if found is None:
            return {"tiles": self.tiles, "reason": self.reason}
        return {
            "tiles": self.tiles,
            "vectors": np.round(found.vectors, 6).tolist(),
            "max_concentration": np.round(found.max_concentration, 6).tolist(),
        }


def slide_stain(slide: Slide, tiles: pd.DataFrame) -> SlideStain:
    """Estimate the stain of a slide.

    Parameters
    ----------
    slide : Slide
    tiles : DataFrame
        ``x, y, side`` in level-0 pixels of the tiles with tissue.

    Returns
    -------
    SlideStain

    Raises
    ------
    ImageError
        The slide is damaged, or its file vanished.
    """
    if tiles.empty:
        return SlideStain(None, "no tile with tissue", 0)
    chosen = tiles.iloc[np.unique(np.linspace(0, len(tiles) - 1, SAMPLE).round().astype(int))]
    places = chosen[["x", "y", "side"]].to_numpy(float)
    pictures = [slide.read_tiles([(x, y, side)], SAMPLE_PX)[0][0] for x, y, side in places]
    found = StainNormalizer().estimate(np.concatenate(pictures))
    if isinstance(found, str):
        return SlideStain(None, FLAGS[found], len(pictures))
    return SlideStain(found, "", len(pictures))


def normalise_tile(image: RGBImage, stain: SlideStain, reference: StainReference) -> RGBImage:
    """A tile in the reference stain by the estimate of its slide; as it is where there is none.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB tile.
    stain : SlideStain
    reference : StainReference

    Returns
    -------
    uint8 array (H, W, 3)

    Examples
    --------
    >>> tile = np.full((8, 8, 3), 200, np.uint8)
    >>> normalise_tile(tile, SlideStain(None, "no tile with tissue", 0), StainReference()) is tile
    True
    """
    if stain.estimate is None:
        return image
    return StainNormalizer(reference).recolour(image, stain.estimate)
