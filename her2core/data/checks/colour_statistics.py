"""Colour statistics of a patch in optical density, as the colour check uses them."""

from __future__ import annotations

import numpy as np

from her2core.stain.density import density_table

#: Pixels sampled from each patch.
_PIXELS = 2048
#: Mean optical density above which a pixel counts as tissue.
_TISSUE = 0.15
_DENSITY = density_table(255.0)

#: Names of the statistics, all in optical density.
COLOUR_STATISTICS = (
    *(f"{name} {channel}" for name in ("mean", "deviation", "lightest", "darkest") for channel in "RGB"),
    "red to green",
    "blue to green",
)


def colour_statistics(image: np.ndarray) -> np.ndarray:
    """Summarise the colours of a patch, ignoring its structure.

    Parameters
    ----------
    image : ndarray, uint8 (H, W, 3)
        RGB.

    Returns
    -------
    ndarray, float32 (14,)
        The COLOUR_STATISTICS of about 2,000 pixels on a grid. Lightest and darkest are the 1st and 99th percentile of
        optical density (natural logarithm); the two ratios are those of the mean densities of tissue, or of all pixels
        where less than 1 % are tissue.

    Examples
    --------
    >>> grey = np.full((8, 8, 3), 93, np.uint8)
    >>> round(float(colour_statistics(grey)[COLOUR_STATISTICS.index("mean R")]), 3)
    0.998
    """
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / _PIXELS)))
    pixels = image[::step, ::step].reshape(-1, 3)
    density = _DENSITY[pixels]
    tissue = density[density.mean(axis=1) > _TISSUE]
    red, green, blue = (tissue if len(tissue) > 0.01 * len(density) else density).mean(axis=0)
    ends = (len(pixels) // 100, len(pixels) - 1 - len(pixels) // 100)
    high, low = _DENSITY[np.partition(pixels, ends, axis=0)[list(ends)]]
    ratios = (red / max(green, 0.02), blue / max(green, 0.02))
    return np.concatenate([density.mean(axis=0), density.std(axis=0), low, high, ratios]).astype(np.float32)
