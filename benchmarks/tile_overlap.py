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
PEAKS = 5
#: Powers of the spectra by which they are divided: 1 is phase correlation; less for blurred tiles, without fine
#: structure to match.
WHITENING = (1.0, 0.5)


def overlapping_pairs(tiles: list[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of tiles, uint8 RGB of one size, that show one place shifted, as positions in ``tiles``."""
    side = min(min(tile.shape[:2]) for tile in tiles) // 2
    grey = [cv2.cvtColor(np.ascontiguousarray(t[: 2 * side, : 2 * side]), cv2.COLOR_RGB2GRAY) for t in tiles]
    small = [cv2.resize(g, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) for g in grey]
    window = np.outer(*[np.hanning(side).astype(np.float32)] * 2) ** 0.25
    plain = np.array([np.fft.rfft2((g - g.mean()) * window, (2 * side, 2 * side)).astype(np.complex64) for g in small])
    strength = np.abs(plain) + 1e-6
    found = []
    for i in range(len(small)):
        for j in range(i + 1, len(small)):
            product = plain[i] * plain[j].conj()
            for power in WHITENING:
                surface = np.fft.irfft2(product / (strength[i] * strength[j]) ** power)
                if _any_peak_agrees(surface, small[i], small[j]):
                    found.append((i, j))
                    break
    return found


def _any_peak_agrees(surface: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether one of the highest peaks is a shift at which the two agree."""
    side = len(surface)
    for _ in range(PEAKS):
        y, x = np.unravel_index(int(surface.argmax()), surface.shape)
        if _correlation(one, other, *(int(p) - side * (p >= side // 2) for p in (y, x))):
            return True
        surface[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = -np.inf
    return False


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
