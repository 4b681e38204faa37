"""What stays of a patch when it is encoded anew, cropped a little, flipped or stained otherwise? Patches in; small
thumbnails and vectors out that can be compared by the million.

A patch becomes its optical density, 48 x 48 pixels. Density is a weighted sum of the stains, and correlation forgets
level and strength, so a stain shift changes little. The 35 lowest cosine coefficients of such a thumbnail are its
vector (the idea of the DCT hash: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions;
kept as numbers rather than as signs, because H&E patches look too much alike for 64 bits). Five vectors a patch, the
whole and four corners, meet the same patch cropped; eight turns and flips of them are made by exchanging rows and
columns and changing signs.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from her2core.stain.macenko import density_table

#: Side of a thumbnail, in pixels.
SIDE = 48
#: Cosine coefficients kept on each axis.
WAVES = 8
#: Side of the corner windows, as a share of the thumbnail: between the whole (1) and a crop of a tenth (0.9).
CORNER = 0.94
#: Deviation of the thumbnail's optical density under which there is nothing to compare.
MIN_STRUCTURE = 0.01
#: Strength, in optical density, under which details are taken for noise.
FAINT = 0.02
#: Largest optical density that a thumbnail tells apart; darker is as dark.
_DARKEST = 2.5

#: The coefficients kept, lowest waves first in both directions; not the mean.
_KEPT = tuple(i[1:] for i in np.nonzero(np.add.outer(np.arange(WAVES), np.arange(WAVES)) < WAVES))
_DENSITY = np.minimum(density_table(255.0), _DARKEST).astype(np.float32)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) RGB -> float32 (SIDE, SIDE): mean optical density (natural logarithm) of the area's colour."""
    small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    return _DENSITY[np.asarray(small)].mean(axis=2)


def details(thumbnails: np.ndarray) -> np.ndarray:
    """float32 (N, SIDE, SIDE) -> the same shape: what is finer than 5 pixels, at equal strength wherever there is some.

    Without levelling, one dark strand on an empty field outweighs all else, and any two strands agree.
    """
    fine = thumbnails - _mean(thumbnails)
    return fine / np.sqrt(np.maximum(_mean(fine * fine), 0) + FAINT**2)


def detailed_share(thumbnails: np.ndarray) -> np.ndarray:
    """float32 (N, SIDE, SIDE) -> float32 (N,): the share of the patch that has details stronger than FAINT."""
    fine = thumbnails - _mean(thumbnails)
    return (_mean(fine * fine) > FAINT**2).mean(axis=(1, 2), dtype=np.float32)


def has_structure(thumbnails: np.ndarray) -> np.ndarray:
    """float (N, SIDE, SIDE) -> bool (N,): whether there is anything in the patch by which to know it again."""
    return thumbnails.std(axis=(1, 2)) >= MIN_STRUCTURE


def windows() -> list[tuple[slice, slice]]:
    """The five windows of a thumbnail whose vectors are compared: the whole, then the corners."""
    side = round(SIDE * CORNER)
    ends = (slice(0, side), slice(SIDE - side, SIDE))
    return [(slice(None), slice(None)), *((y, x) for y in ends for x in ends)]


def vectors(thumbnails: np.ndarray) -> np.ndarray:
    """float (N, SIDE, SIDE) -> float32 (5, N, D), of length 1: one vector for each of ``windows()``."""
    found = []
    for window in windows():
        part = thumbnails[(slice(None), *window)].astype(np.float32)
        waves = _cosines(part.shape[1])
        flat = (waves @ part @ waves.T)[:, *_KEPT]
        found.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))
    return np.stack(found)


def turned(image: np.ndarray, pose: int) -> np.ndarray:
    """(..., n, n) in one of the eight poses: bit 0 transposes, bit 1 then flips the rows, bit 2 the columns."""
    image = image.swapaxes(-1, -2) if pose & 1 else image
    image = image[..., ::-1, :] if pose & 2 else image
    return image[..., ::-1] if pose & 4 else image


def turned_vectors(flat: np.ndarray, pose: int) -> np.ndarray:
    """Vectors (..., D) as they would be of the turned thumbnails: a flip changes the signs of the odd waves."""
    rows, columns = _KEPT
    if pose & 1:
        place = {wave: i for i, wave in enumerate(zip(rows, columns, strict=True))}
        flat = flat[..., [place[wave] for wave in zip(columns, rows, strict=True)]]
    sign = (-1.0) ** ((rows if pose & 2 else 0 * rows) + (columns if pose & 4 else 0 * columns))
    return np.ascontiguousarray(flat * sign.astype(np.float32))


def _mean(images: np.ndarray) -> np.ndarray:
    return uniform_filter(images, (0, 5, 5), mode="nearest")


def _cosines(count: int) -> np.ndarray:
    """float32 (WAVES, count): rows of the orthonormal cosine transform (type II)."""
    places = (np.arange(count) + 0.5) / count
    waves = np.cos(np.pi * np.arange(WAVES)[:, None] * places) * np.sqrt(2 / count)
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)
