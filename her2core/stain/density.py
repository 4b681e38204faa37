"""Optical density, and the share of a patch that is tissue.

By Beer-Lambert's law the optical density ``-ln(I / I0)`` of a pixel grows in proportion to the amount of dye. What is
tissue is decided relative to the patch's own background: empty glass is rarely (255, 255, 255), but tinted by the
scanner's white balance, by mounting medium and by traces of dye.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from her2core.io.images import RGBImage
from her2core.stain.scratch import scratch

# Every threshold is our choice, made on TCGA, her2st, BreCaHAD and BreastHistoNet windows and on the same brightened.
#: Optical density above the background from which a pixel is tissue: the mean of the channels, and the range between
#: them. Dye has a colour and shadows have none.
TISSUE_DENSITY, TISSUE_RANGE = 0.08, 0.06
#: Share of the brightest blocks taken as background.
_BACKGROUND_SHARE = 0.05
#: Optical density (mean, and range of the channels) above which the brightest blocks are tissue too: the glass of a
#: patch without background is taken as _WHITE. The most tinted glass seen has 0.14 and 0.16.
_GLASS_DENSITY = 0.2
_WHITE = 240
#: Added before OpenCV rounds, so that halves are rounded up, as Pillow does.
_HALF_UP = 1e-3


def density_table(white: float) -> npt.NDArray[np.float32]:
    """Optical density of each of the 256 grey levels.

    Parameters
    ----------
    white : float
        Grey level of no absorption, 1 to 256.

    Returns
    -------
    float32 array (256,)
        ``-ln((level + 1) / white)``, negative above ``white``. Adding 1 keeps the logarithm finite, as in torchstain.

    References
    ----------
    Ruifrok and Johnston 2001, Quantification of histochemical staining by color deconvolution, Analytical and
    Quantitative Cytology and Histology 23(4), 291-299.

    Examples
    --------
    >>> [round(float(density), 2) for density in density_table(240.0)[[0, 23, 119]]]
    [5.48, 2.3, 0.69]
    """
    return -np.log((np.arange(256, dtype=np.float32) + 1) / np.float32(white))


_DENSITY = np.maximum(density_table(255.0), 0)


def tissue_share(image: RGBImage) -> float:
    """Share of the pixels that are tissue: denser than the background, and coloured.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB patch of transmitted light.

    Returns
    -------
    float
        0 to 1. Glass, uneven light, dust and noise stay under 0.02, pale but full tissue lies above 0.1.

    Examples
    --------
    >>> glass = np.full((64, 64, 3), (229, 213, 228), np.uint8)
    >>> tissue_share(glass)
    0.0
    >>> patch = glass.copy()
    >>> patch[:32] = (232, 170, 205)
    >>> tissue_share(patch)
    0.5
    """
    return float(tissue_pixels(image).mean())


def tissue_pixels(image: RGBImage) -> npt.NDArray[np.bool_]:
    """Which pixels are tissue: denser than the background, and coloured.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB patch or overview of transmitted light.

    Returns
    -------
    bool array (ceil(H / 2), ceil(W / 2))
        By squares of two by two pixels, so that noise is no colour.

    Examples
    --------
    >>> patch = np.full((64, 64, 3), (229, 213, 228), np.uint8)
    >>> patch[:32] = (232, 170, 205)
    >>> tissue_pixels(patch).sum(axis=1).tolist() == [32] * 16 + [0] * 16
    True
    """
    blocks = _DENSITY[block_means(image, 4).reshape(-1, 3)]
    mean = blocks.mean(axis=1)
    count = max(1, int(len(mean) * _BACKGROUND_SHARE))
    background = blocks[np.argpartition(mean, count - 1)[:count]].mean(axis=0)
    if background.mean() > _GLASS_DENSITY or np.ptp(background) > _GLASS_DENSITY:
        background = np.repeat(_DENSITY[_WHITE], 3)
    density = _DENSITY[block_means(image, 2)] - background
    tissue: npt.NDArray[np.bool_] = (density.mean(axis=-1) > TISSUE_DENSITY) & (np.ptp(density, axis=-1) > TISSUE_RANGE)
    return tissue


def block_means(image: RGBImage, side: int) -> RGBImage:
    """Means of square blocks of pixels: camera noise averages out in them, and structure does not.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB pixels.
    side : int
        Side of a block in pixels; blocks at the right and lower edge may be smaller.

    Returns
    -------
    uint8 array (ceil(H / side), ceil(W / side), 3)
        Rounded means.

    Examples
    --------
    >>> image = np.zeros((4, 6, 3), np.uint8)
    >>> image[:2] = 100
    >>> block_means(image, 4)[..., 0].tolist()
    [[50, 50]]
    """
    return nested_block_means(image, side, side)[0]


def nested_block_means(image: RGBImage, side: int, larger: int) -> tuple[RGBImage, RGBImage]:
    """Means of smaller and of larger blocks, in one pass over the pixels where whole blocks of 2, 4, 8, ... px fill it.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB pixels.
    side, larger : int
        Sides of the blocks in pixels.

    Returns
    -------
    smaller, larger : uint8 arrays
        As `block_means` gives them.

    Examples
    --------
    >>> image = np.zeros((8, 16, 3), np.uint8)
    >>> [means.shape for means in nested_block_means(image, 2, 4)]
    [(4, 8, 3), (2, 4, 3)]
    """
    height, width = image.shape[:2]
    whole = larger % side == height % larger == width % larger == 0
    if not whole or side & (side - 1) or larger & (larger - 1):  # Pillow divides by powers of two alone exactly
        small, large = (_reduced(image, s) for s in (side, larger))
        return small, large
    wide = scratch("wide", *image.shape)
    wide[:] = image
    means = cv2.resize(wide, (width // side, height // side), interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.convertScaleAbs(means, beta=_HALF_UP), np.uint8)
    if larger == side:
        return small, small
    means = cv2.resize(means, (width // larger, height // larger), interpolation=cv2.INTER_AREA)
    return small, np.asarray(cv2.convertScaleAbs(means, beta=_HALF_UP), np.uint8)


def _reduced(image: RGBImage, side: int) -> RGBImage:
    return np.asarray(Image.fromarray(image).reduce(side))
