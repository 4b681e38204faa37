"""Random fields of which synthetic tissue is composed: smooth noise and fibres."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft, ndimage


def smooth_noise(
    rng: np.random.Generator, n: int, sigma: float, stretch: float = 1.0, angle: float = 0.0
) -> np.ndarray:
    """Stationary Gaussian noise with a Gaussian correlation function.

    The field is periodic, which does not show because the patch is cut from a wider canvas.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Side in pixels.
    sigma : float
        Correlation length in pixels.
    stretch : float
        Factor by which the correlation is longer along ``angle`` and shorter across.
    angle : float
        Radians; 0 is along a row.

    Returns
    -------
    ndarray, float32 (n, n)
        Mean 0, standard deviation 1.

    Examples
    --------
    >>> field = smooth_noise(np.random.default_rng(0), 64, 3.0)
    >>> field.shape, round(float(field.std()), 3)
    ((64, 64), 1.0)
    """
    white = rng.standard_normal((n, n), dtype=np.float32)
    fy, fx = _frequencies(n)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = (fx * c + fy * s) * np.float32(stretch), (fy * c - fx * s) / np.float32(stretch)
    gain = np.exp(np.float32(-2.0 * np.pi**2 * sigma**2) * (along * along + across * across))
    gain[0, 0] = 0.0
    field = fft.irfft2(fft.rfft2(white) * gain, s=(n, n))
    return field / max(float(field.std()), 1e-6)


def fibres(rng: np.random.Generator, height: np.ndarray, along: np.ndarray, width: float) -> np.ndarray:
    """Strands that follow the level lines of a height field.

    Parameters
    ----------
    rng : numpy.random.Generator
    height, along : ndarray, float32 (n, n)
        Coordinates across and along the strands, in pixels.
    width : float
        Width of a strand in pixels.

    Returns
    -------
    ndarray, float32 (n, n)
        Mean about 0, standard deviation about 1.
    """
    side = 256
    sheet = smooth_noise(rng, side, 2.0)
    # Scaling the coordinates, not the sheet, stretches the noise along the strand: one sheet cell is `width` across.
    rows, columns = height * (2.2 / width), along * (0.34 / width)
    return ndimage.map_coordinates(sheet, [rows, columns], order=1, mode="grid-wrap")


def quantile_level(field: np.ndarray, share: float) -> float:
    """The level above which the given share of the field lies.

    Examples
    --------
    >>> quantile_level(np.arange(11.0), 0.3)
    7.0
    """
    return float(np.quantile(field, 1.0 - min(max(share, 0.0), 1.0)))


@lru_cache(maxsize=8)
def _frequencies(n: int) -> tuple[np.ndarray, np.ndarray]:
    fy = fft.fftfreq(n).astype(np.float32)[:, None]
    fx = fft.rfftfreq(n).astype(np.float32)[None, :]
    return fy, fx
