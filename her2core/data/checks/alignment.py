"""Are these two thumbnails the same piece of tissue? Pairs of them in; how well they agree, laid over each
other, out.

Cropping a patch and bringing it back to size stretches and shifts it along its axes, so four numbers lay one thumbnail
over the other. They are found by Gauss-Newton steps from a first guess (Baker and Matthews 2004, Int J Comput Vis
56:221, doi 10.1023/B:VISI.0000011205.11775.fd; additive, axes only), for many pairs at once. Pairs are chosen because
they look alike from afar, which says nothing of their details: these are the second, independent witness.
"""

from __future__ import annotations

import numpy as np

from her2core.data.checks.fingerprint import details

#: Steps on thumbnails of half the side, then of the full side.
STEPS = (6, 4)
#: A pair that agrees less than this at half the side is not looked at closer.
WORTH_A_LOOK = 0.6
#: How far a thumbnail may be stretched, and the least share of it that must be covered by the other.
STRETCH, COVER = 0.25, 0.65
_CHUNK = 1024


def agreement(first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """How well each pair agrees over their common part: as a whole, and in their details.

    Parameters
    ----------
    first, second : float (P, n, n), n even; thumbnails in the same pose.
    start : float (P, 4), the first guess: stretch and shift of the rows, then of the columns. The point u of ``first``,
        -1 to 1 from edge to edge, lies at ``stretch * u + shift`` of ``second``. No stretch and no shift if left out.

    Returns
    -------
    float32 (P, 2): the correlation, and that of the details alone; 0 where laying over failed.
    """
    count = len(first)
    found = np.zeros((count, 2), np.float32)
    for begin in range(0, count, _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        a, b = first[rows].astype(np.float32), second[rows].astype(np.float32)
        laid = np.tile(np.float32([1, 0, 1, 0]), (len(a), 1)) if start is None else start[rows].astype(np.float32)
        laid, fit, _ = _lay_over(_halved(a), _halved(b), laid, STEPS[0])
        near = np.flatnonzero(fit >= WORTH_A_LOOK)
        if near.size:
            _, fit, detail = _lay_over(a[near], b[near], laid[near], STEPS[1])
            found[begin + near] = np.stack([fit, detail], axis=1)
    return found


def _halved(images: np.ndarray) -> np.ndarray:
    return (images[:, ::2, ::2] + images[:, 1::2, ::2] + images[:, ::2, 1::2] + images[:, 1::2, 1::2]) / 4


def _lay_over(a: np.ndarray, b: np.ndarray, laid: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Improve ``laid`` (P, 4); also the correlation (P,) and that of the details (P,) at its end."""
    n = a.shape[1]
    u = ((np.arange(n) + 0.5) / n * 2 - 1).astype(np.float32)
    for step in range(steps + 1):
        rows, row_seen = _weights(laid[:, 0], laid[:, 1], u)
        columns, column_seen = _weights(laid[:, 2], laid[:, 3], u)
        warped = rows @ b @ columns.swapaxes(1, 2)
        seen = row_seen[:, :, None] * column_seen[:, None, :]
        if step == steps:
            break
        left, right = _standard(a, seen), _standard(warped, seen)
        # What moving the pixels by 1 (in u) does to the laid-over thumbnail; its stretch is close to 1.
        down, across = (np.gradient(right, 2 / n, axis=axis) * seen for axis in (1, 2))
        slopes = np.stack([down * u[:, None], down, across * u, across], axis=1).reshape(len(a), 4, -1)
        missing = ((left - right) * seen).reshape(len(a), -1, 1)
        normal = slopes @ slopes.swapaxes(1, 2) + 1e-3 * n * n * np.eye(4, dtype=np.float32)
        move = np.linalg.solve(normal, slopes @ missing)[..., 0]
        laid = laid + np.clip(move, -0.1, 0.1)
        laid[:, ::2] = np.clip(laid[:, ::2], 1 - STRETCH, 1 + STRETCH)
    fit = _correlation(a, warped, seen)
    fit[seen.mean(axis=(1, 2)) < COVER] = 0
    return laid, fit, _correlation(details(a), details(warped), seen)


def _weights(stretch: np.ndarray, shift: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation along one axis: float32 (P, n, n), and which of the n places lie inside, float32 (P, n)."""
    n = len(u)
    places = ((stretch[:, None] * u + shift[:, None]) + 1) * (n / 2) - 0.5
    inside = ((places >= -0.5) & (places <= n - 0.5)).astype(np.float32)
    held = np.clip(places, 0, n - 1)
    return np.maximum(0, 1 - np.abs(held[:, :, None] - np.arange(n, dtype=np.float32))), inside


def _standard(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    count = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 1)
    images = images - (images * seen).sum(axis=(1, 2), keepdims=True) / count
    return images / np.sqrt((images**2 * seen).sum(axis=(1, 2), keepdims=True) / count + 1e-12)


def _correlation(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> np.ndarray:
    count = np.maximum(seen.sum(axis=(1, 2)), 1)
    return (_standard(a, seen) * _standard(b, seen) * seen).sum(axis=(1, 2)) / count
