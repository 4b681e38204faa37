"""Thumbnails and vectors of patches that survive recompression, cropping, flips and stain shifts.

A thumbnail is the patch's optical density at 48 x 48 pixels. Density is a weighted sum of the stains, and correlation
ignores level and strength, so a stain shift changes little. A thumbnail's vector holds its 35 lowest cosine
coefficients, the idea of the DCT hash (Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash
Functions), as real numbers rather than signs because H&E patches look too much alike for 64 bits. Five vectors per
patch, of the whole and of its four corners, match a cropped patch; the eight flips and quarter turns are made from them
by exchanging rows and columns and changing signs.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from her2core.stain.density import density_table

#: Side of a thumbnail in pixels.
SIDE = 48
#: Cosine coefficients kept on each axis.
COEFFICIENTS = 8
#: Side of the corner windows as a fraction of the thumbnail: between the whole (1) and a crop of a tenth (0.9).
CORNER = 0.94
#: Standard deviation of a thumbnail's optical density below which there is nothing to compare.
MIN_STRUCTURE = 0.01
#: Optical density below which fine structure is taken for noise.
NOISE = 0.02
#: Largest optical density represented; darker pixels are clipped.
_MAX_DENSITY = 2.5

#: Row and column frequencies of the coefficients kept, lowest first; not the mean.
_KEPT = tuple(i[1:] for i in np.nonzero(np.add.outer(np.arange(COEFFICIENTS), np.arange(COEFFICIENTS)) < COEFFICIENTS))
_DENSITY = np.minimum(density_table(255.0), _MAX_DENSITY).astype(np.float32)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Reduce a patch to its optical density at low resolution.

    Parameters
    ----------
    image : ndarray, uint8 (H, W, 3)
        RGB.

    Returns
    -------
    ndarray, float32 (SIDE, SIDE)
        Optical density (natural logarithm) of each area's mean colour, averaged over channels.

    Examples
    --------
    >>> thumbnail(np.full((96, 96, 3), 93, np.uint8))[0, 0].round(2)
    np.float32(1.0)
    """
    small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    return _DENSITY[np.asarray(small)].mean(axis=2)


def fine_structure(thumbnails: np.ndarray) -> np.ndarray:
    """Structure finer than 5 pixels, locally normalised to equal strength.

    Without normalisation one dark strand on an empty field would dominate, and any two strands would correlate.

    Parameters
    ----------
    thumbnails : ndarray, float32 (N, SIDE, SIDE)

    Returns
    -------
    ndarray, float32 (N, SIDE, SIDE)

    Examples
    --------
    >>> image = np.random.default_rng(0).random((1, SIDE, SIDE)).astype(np.float32)
    >>> bool(np.allclose(fine_structure(image), fine_structure(image + 1), atol=1e-4))
    True
    """
    fine = thumbnails - _local_mean(thumbnails)
    return fine / np.sqrt(np.maximum(_local_mean(fine * fine), 0) + NOISE**2)


def structured_fraction(thumbnails: np.ndarray) -> np.ndarray:
    """Fraction of each patch whose fine structure exceeds NOISE, float32 (N,).

    Parameters
    ----------
    thumbnails : ndarray, float32 (N, SIDE, SIDE)

    Examples
    --------
    >>> structured_fraction(np.zeros((1, SIDE, SIDE), np.float32))
    array([0.], dtype=float32)
    """
    fine = thumbnails - _local_mean(thumbnails)
    return (_local_mean(fine * fine) > NOISE**2).mean(axis=(1, 2), dtype=np.float32)


def has_structure(thumbnails: np.ndarray) -> np.ndarray:
    """Whether each patch has any structure by which it could be recognised, bool (N,).

    Parameters
    ----------
    thumbnails : ndarray, float (N, SIDE, SIDE)

    Examples
    --------
    >>> has_structure(np.stack([np.eye(SIDE), np.zeros((SIDE, SIDE))]))
    array([ True, False])
    """
    return thumbnails.std(axis=(1, 2)) >= MIN_STRUCTURE


def windows() -> list[tuple[slice, slice]]:
    """The five windows of a thumbnail whose vectors are compared: the whole, then the corners.

    Examples
    --------
    >>> windows()[1]
    (slice(0, 45, None), slice(0, 45, None))
    """
    side = round(SIDE * CORNER)
    ends = (slice(0, side), slice(SIDE - side, SIDE))
    return [(slice(None), slice(None)), *((y, x) for y in ends for x in ends)]


def vectors(thumbnails: np.ndarray) -> np.ndarray:
    """Cosine coefficients of the windows of each thumbnail.

    Parameters
    ----------
    thumbnails : ndarray, float (N, SIDE, SIDE)

    Returns
    -------
    ndarray, float32 (5, N, D)
        Unit vectors, one for each of `windows`.

    Examples
    --------
    >>> vectors(np.random.default_rng(0).random((3, SIDE, SIDE))).shape
    (5, 3, 35)
    """
    result = []
    for window in windows():
        part = thumbnails[(slice(None), *window)].astype(np.float32)
        basis = _cosines(part.shape[1])
        flat = (basis @ part @ basis.T)[:, *_KEPT]
        result.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))
    return np.stack(result)


def oriented(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image in one of the eight orientations of the square (flips and quarter turns).

    Parameters
    ----------
    image : ndarray (..., n, n)
    orientation : int
        0 to 7: bit 0 transposes, bit 1 then flips the rows, bit 2 the columns.

    Returns
    -------
    ndarray (..., n, n)

    Examples
    --------
    >>> oriented(np.array([[1, 2], [3, 4]]), 3).tolist()
    [[2, 4], [1, 3]]
    """
    image = image.swapaxes(-1, -2) if orientation & 1 else image
    image = image[..., ::-1, :] if orientation & 2 else image
    return image[..., ::-1] if orientation & 4 else image


def oriented_vectors(flat: np.ndarray, orientation: int) -> np.ndarray:
    """The vectors of thumbnails in another orientation, without computing them anew.

    A flip changes the sign of the odd frequencies.

    Parameters
    ----------
    flat : ndarray, float32 (..., D)
        As `vectors` gives them.
    orientation : int
        0 to 7, as `oriented` takes it.

    Returns
    -------
    ndarray, float32 (..., D)

    Examples
    --------
    >>> image = np.random.default_rng(0).random((1, SIDE, SIDE))
    >>> bool(np.allclose(oriented_vectors(vectors(image)[0], 5), vectors(oriented(image, 5))[0], atol=1e-5))
    True
    """
    rows, columns = _KEPT
    if orientation & 1:
        place = {frequency: i for i, frequency in enumerate(zip(rows, columns, strict=True))}
        flat = flat[..., [place[frequency] for frequency in zip(columns, rows, strict=True)]]
    sign = (-1.0) ** ((rows if orientation & 2 else 0 * rows) + (columns if orientation & 4 else 0 * columns))
    return np.ascontiguousarray(flat * sign.astype(np.float32))


def _local_mean(images: np.ndarray) -> np.ndarray:
    return uniform_filter(images, (0, 5, 5), mode="nearest")


def _cosines(count: int) -> np.ndarray:
    """Rows of the orthonormal cosine transform (type II), float32 (COEFFICIENTS, count)."""
    places = (np.arange(count) + 0.5) / count
    basis = np.cos(np.pi * np.arange(COEFFICIENTS)[:, None] * places) * np.sqrt(2 / count)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)
