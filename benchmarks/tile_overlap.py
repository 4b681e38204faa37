"""Overlap of two tiles cut from one slide at one scale, by phase correlation, for cohorts without true copies.

Independent of the checks that are measured: no key points and no fingerprints. The shift of highest phase correlation
(Kuglin and Hines 1975, Proc IEEE Conf Cybernetics and Society 163) is accepted where the grey values of the overlap
then correlate.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Correlation of the overlap, and its share of a tile, from which two tiles overlap.
MIN_CORRELATION, MIN_SHARE = 0.9, 0.04
#: Highest shifts of each pair that are tried.
PEAKS = 3


def overlapping_pairs(tiles: list[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of tiles, uint8 RGB of one size, that show one place shifted, as positions in ``tiles``."""
    side = min(min(tile.shape[:2]) for tile in tiles)
    grey = [cv2.cvtColor(np.ascontiguousarray(t[:side, :side]), cv2.COLOR_RGB2GRAY).astype(np.float32) for t in tiles]
    window = np.outer(*[np.hanning(side).astype(np.float32)] * 2) ** 0.25
    spectra = np.array([np.fft.rfft2((g - g.mean()) * window, (2 * side, 2 * side)).astype(np.complex64) for g in grey])
    spectra /= np.abs(spectra) + 1e-6
    found = []
    for i in range(len(grey)):
        for j in range(i + 1, len(grey)):
            surface = np.fft.irfft2(spectra[i] * spectra[j].conj())
            for _ in range(PEAKS):
                y, x = np.unravel_index(int(surface.argmax()), surface.shape)
                if _correlation(grey[i], grey[j], *(int(p) - 2 * side * (p >= side) for p in (y, x))):
                    found.append((i, j))
                    break
                surface[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = -1
    return found


def _correlation(one: np.ndarray, other: np.ndarray, down: int, right: int) -> bool:
    """Whether ``other`` moved by so many pixels agrees with ``one`` where they overlap."""
    side = len(one)
    if (side - abs(down)) * (side - abs(right)) < MIN_SHARE * side**2:
        return False
    a = one[max(0, down) : side + min(0, down), max(0, right) : side + min(0, right)]
    b = other[max(0, -down) : side + min(0, -down), max(0, -right) : side + min(0, -right)]
    if min(a.std(), b.std()) < 5:  # glass
        return False
    return bool(np.corrcoef(a.ravel(), b.ravel())[0, 1] >= MIN_CORRELATION)
