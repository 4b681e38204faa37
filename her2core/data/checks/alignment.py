"""Registration of two thumbnails by scale and shift, and how well they correlate afterwards.

Cropping a patch and resizing it back stretches and shifts it along its axes, so four numbers map one thumbnail onto the
other. They are found by Gauss-Newton iterations from a first guess (Baker and Matthews 2004, Int J Comput Vis 56:221,
doi 10.1023/B:VISI.0000011205.11775.fd; additive, axes only), for many pairs at once. Candidate pairs are chosen by
their coarse similarity, which says nothing about fine structure: the correlation of fine structure is independent
evidence that two thumbnails show the same tissue.
"""

from __future__ import annotations

import numpy as np

from her2core.data.checks.fingerprint import fine_structure

#: Iterations at half resolution, then at full resolution.
ITERATIONS = (6, 4)
#: Correlation at half resolution below which a pair is rejected.
MIN_COARSE = 0.6
#: Largest change of scale, and smallest part of a thumbnail that the other must cover.
MAX_STRETCH, MIN_OVERLAP = 0.25, 0.65
_CHUNK = 1024


def aligned_correlation(first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Correlate pairs of thumbnails over their common part after registration.

    Parameters
    ----------
    first, second : ndarray, float (P, n, n)
        Thumbnails in the same orientation; n even.
    start : ndarray, float (P, 4), optional
        Scale and shift of the rows, then of the columns: the coordinate u of ``first``, -1 to 1 from edge to edge,
        corresponds to ``scale * u + shift`` of ``second``. Identity where left out.

    Returns
    -------
    ndarray, float32 (P, 2)
        Correlation of the thumbnails and of their fine structure; 0 where registration failed.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((1, 48, 48))
    >>> aligned_correlation(image, 2 * image).round(2).tolist()
    [[1.0, 1.0]]
    """
    count = len(first)
    result = np.zeros((count, 2), np.float32)
    for begin in range(0, count, _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        a, b = first[rows].astype(np.float32), second[rows].astype(np.float32)
        warp = (
            np.tile(np.array([1, 0, 1, 0], np.float32), (len(a), 1))
            if start is None
            else start[rows].astype(np.float32)
        )
        warp, coarse, _ = _register(_halved(a), _halved(b), warp, ITERATIONS[0])
        near = np.flatnonzero(coarse >= MIN_COARSE)
        if near.size:
            _, whole, fine = _register(a[near], b[near], warp[near], ITERATIONS[1])
            result[begin + near] = np.stack([whole, fine], axis=1)
    return result


def _halved(images: np.ndarray) -> np.ndarray:
    return (images[:, ::2, ::2] + images[:, 1::2, ::2] + images[:, ::2, 1::2] + images[:, 1::2, 1::2]) / 4


def _register(
    a: np.ndarray, b: np.ndarray, warp: np.ndarray, iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Improved ``warp`` (P, 4), and the correlations (P,) of the thumbnails and of their fine structure."""
    n = a.shape[1]
    u = ((np.arange(n) + 0.5) / n * 2 - 1).astype(np.float32)
    for step in range(iterations + 1):
        rows, rows_inside = _interpolation(warp[:, 0], warp[:, 1], u)
        columns, columns_inside = _interpolation(warp[:, 2], warp[:, 3], u)
        warped = rows @ b @ columns.swapaxes(1, 2)
        inside = rows_inside[:, :, None] * columns_inside[:, None, :]
        if step == iterations:
            break
        left, right = _standardised(a, inside), _standardised(warped, inside)
        # Derivatives of the warped thumbnail with respect to the warp; its scale is close to 1.
        down, across = (np.gradient(right, 2 / n, axis=axis) * inside for axis in (1, 2))
        jacobian = np.stack([down * u[:, None], down, across * u, across], axis=1).reshape(len(a), 4, -1)
        residual = ((left - right) * inside).reshape(len(a), -1, 1)
        normal = jacobian @ jacobian.swapaxes(1, 2) + 1e-3 * n * n * np.eye(4, dtype=np.float32)
        move = np.linalg.solve(normal, jacobian @ residual)[..., 0]
        warp = warp + np.clip(move, -0.1, 0.1)
        warp[:, ::2] = np.clip(warp[:, ::2], 1 - MAX_STRETCH, 1 + MAX_STRETCH)
    whole = _correlation(a, warped, inside)
    whole[inside.mean(axis=(1, 2)) < MIN_OVERLAP] = 0
    return warp, whole, _correlation(fine_structure(a), fine_structure(warped), inside)


def _interpolation(scale: np.ndarray, shift: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation weights along one axis, float32 (P, n, n); which of the n places are inside, (P, n)."""
    n = len(u)
    places = ((scale[:, None] * u + shift[:, None]) + 1) * (n / 2) - 0.5
    inside = ((places >= -0.5) & (places <= n - 0.5)).astype(np.float32)
    clipped = np.clip(places, 0, n - 1)
    return np.maximum(0, 1 - np.abs(clipped[:, :, None] - np.arange(n, dtype=np.float32))), inside


def _standardised(images: np.ndarray, inside: np.ndarray) -> np.ndarray:
    count = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    images = images - (images * inside).sum(axis=(1, 2), keepdims=True) / count
    return images / np.sqrt((images**2 * inside).sum(axis=(1, 2), keepdims=True) / count + 1e-12)


def _correlation(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> np.ndarray:
    count = np.maximum(inside.sum(axis=(1, 2)), 1)
    return (_standardised(a, inside) * _standardised(b, inside) * inside).sum(axis=(1, 2)) / count
