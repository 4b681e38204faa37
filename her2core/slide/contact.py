"""Contact sheet of a slide: its overview with the tiles in colour by stage, and a sample of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from her2core.io.images import RGBImage
from her2core.slide.plan import STAGES, TilePlan

#: Colours of tiles by stage, after Okabe and Ito; those outside of regions and on glass are not drawn.
COLOURS = {"": (0, 158, 115), "ink": (0, 114, 178), "fold": (213, 94, 0)}
#: Longest side of the overview, side of a sample and samples in a row, in pixels.
_LONGEST, _SAMPLE, _ACROSS = 900, 110, 8


def contact_sheet(plan: TilePlan, samples: Sequence[RGBImage], *, title: str) -> RGBImage:
    """Draw the contact sheet.

    Parameters
    ----------
    plan : TilePlan
    samples : sequence of uint8 arrays (px, px, 3)
        Tiles to show.
    title : str
        The line on top.

    Returns
    -------
    uint8 array (H, W, 3)

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.slide.tissue import tissue_mask
    >>> overview = np.full((100, 200, 3), 240, np.uint8)
    >>> tiles = pd.DataFrame({"x_um": [0.0], "y_um": [0.0], "side_um": [80.0], "stage": [""]})
    >>> plan = TilePlan(tiles, overview, tissue_mask(overview, 4.0))
    >>> contact_sheet(plan, [np.zeros((64, 64, 3), np.uint8)], title="S1").shape[1]
    900
    """
    picture = Image.fromarray(plan.overview)
    micron = picture.width / (plan.overview.shape[1] * plan.mask.mpp / 2)
    factor = min(1.0, _LONGEST / max(picture.size))
    picture = picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))
    draw = ImageDraw.Draw(picture)
    for tile in plan.tiles.itertuples():
        if (colour := COLOURS.get(str(tile.stage))) is not None:
            left, top = (float(v) * micron * factor for v in (tile.x_um, tile.y_um))
            side = float(tile.side_um) * micron * factor
            draw.rectangle((left, top, left + side, top + side), outline=colour)
    rows = -(-len(samples) // _ACROSS)
    sheet = Image.new("RGB", (_LONGEST, 44 + picture.height + 8 + rows * (_SAMPLE + 2)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((4, 4), title, fill="black", font_size=14)
    x = 4.0
    for stage, colour in COLOURS.items():
        word = f"left out: {STAGES[stage]}" if stage else "tile"
        pen.rectangle((x, 27, x + 10, 37), outline=colour, width=2)
        pen.text((x + 14, 24), word, fill="black", font_size=12)
        x += 26 + pen.textlength(word, font_size=12)
    sheet.paste(picture, (0, 44))
    for number, sample in enumerate(samples):
        small = Image.fromarray(sample).resize((_SAMPLE, _SAMPLE))
        place = (number % _ACROSS) * (_SAMPLE + 2), 52 + picture.height + (number // _ACROSS) * (_SAMPLE + 2)
        sheet.paste(small, place)
    return np.asarray(sheet)
