"""Placement of cells in the regions of a canvas."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from her2core.data.synthetic.fields import smooth_noise
from her2core.data.synthetic.nuclei import Nucleus, draw_mitosis, draw_nucleus
from her2core.data.synthetic.patient import Traits
from her2core.data.synthetic.tissue import LYMPHOCYTE, TUMOUR_NUCLEUS, Canvas


def populate(rng: np.random.Generator, canvas: Canvas, traits: Traits) -> None:
    """Render stroma cells, tumour cells with mitoses, debris and lymphocytes, in this order (later ones on top).

    Parameters
    ----------
    rng : numpy.random.Generator
    canvas : Canvas
        Changed in place.
    traits : Traits
        Of the patch.
    """
    softness = rng.uniform(0.7, 1.3)
    _stroma_cells(rng, canvas, traits, softness)
    _tumour_cells(rng, canvas, traits, softness)
    _debris(rng, canvas)
    _lymphocytes(rng, canvas, traits, softness)


def _tumour_cells(rng: np.random.Generator, canvas: Canvas, traits: Traits, softness: float) -> None:
    mpp = canvas.mpp
    region = canvas.nest & (canvas.depth > 0.30 * traits.diameter_um)
    if canvas.lumen.any() or canvas.necrosis.any():
        away = ndimage.distance_transform_edt(~(canvas.lumen | canvas.necrosis)) * mpp
        region &= away > 0.30 * traits.diameter_um
    area = float(region.sum()) * mpp * mpp
    radius_um = traits.diameter_um / 2
    attempts = int(14 * area / (4 * radius_um**2)) + 8
    radii = radius_um * np.exp(traits.size_spread * np.clip(rng.standard_normal(attempts), -2.0, 2.3)) / mpp
    ys, xs, radii = _place(rng, region, radii, traits.gap)
    if len(ys) == 0:
        return
    _cell_borders(canvas, ys, xs, radii, traits)
    dividing = rng.random(len(ys)) < traits.mitoses * area / 1e4 / len(ys)
    # Neighbours in a nest are roughly parallel.
    direction = smooth_noise(rng, canvas.side, 10.0 / mpp)
    for y, x, r, mitotic in zip(ys, xs, radii, dividing, strict=True):
        if mitotic:
            continue
        stretch = np.sqrt(max(1.0, traits.elongation * np.exp(0.10 * rng.standard_normal())))
        clear = rng.random() < traits.vesicular
        has_nucleolus = rng.random() < traits.nucleolus
        nucleus = Nucleus(
            y=y,
            x=x,
            long=r * stretch,
            short=r / stretch,
            angle=1.6 * float(direction[int(y), int(x)]) + 0.35 * rng.standard_normal(),
            stain=traits.nuclear_stain * np.exp(0.13 * rng.standard_normal()) * (0.92 if clear else 1.0),
            chromatin=traits.chromatin,
            irregularity=traits.irregularity,
            rim=0.34 if clear else 0.16,
            vesicular=1.0 if clear else 0.25,
            nucleoli=(int(rng.integers(1, 3)) if has_nucleolus else 0),
            softness=softness,
            code=TUMOUR_NUCLEUS,
        )
        draw_nucleus(rng, canvas, nucleus)
    for y, x, r in zip(ys[dividing], xs[dividing], radii[dividing], strict=True):
        draw_mitosis(rng, canvas, y, x, max(2.2 * r, 8.0 / mpp))


def _cell_borders(canvas: Canvas, ys: np.ndarray, xs: np.ndarray, radii: np.ndarray, traits: Traits) -> None:
    """Thin cell borders halfway between neighbours, with paler cytoplasm."""
    if len(ys) < 3:
        return
    rows, columns = np.nonzero(canvas.nest)
    tree = cKDTree(np.column_stack([ys, xs]))
    distance, _ = tree.query(np.column_stack([rows, columns]), k=2)
    between = (distance[:, 1] - distance[:, 0]) * canvas.mpp
    border = np.exp(-0.5 * (between / 0.9) ** 2)
    canvas.e[rows, columns] *= 1.0 - 0.10 * np.clip(distance[:, 0] / radii.mean() - 1.0, 0, 2) + 0.28 * border


def _stroma_cells(rng: np.random.Generator, canvas: Canvas, traits: Traits, softness: float) -> None:
    """Fibroblasts: slim dark nuclei along the fibres, independent of the class and without a mask code."""
    mpp = canvas.mpp
    region = (canvas.depth < -2.0) & ~canvas.fat
    count = rng.poisson(traits.fibroblasts * region.sum() * mpp * mpp / 1e4)
    slim = rng.lognormal(0.0, 0.2, count)
    ys, xs, slim = _place(rng, region, slim * 3.0 / mpp, 1.0)
    for y, x, r in zip(ys, xs, slim, strict=True):
        nucleus = Nucleus(
            y=y,
            x=x,
            long=r * rng.uniform(1.3, 2.1),
            short=r * rng.uniform(0.36, 0.6),
            angle=float(canvas.flow[int(y), int(x)]) + 0.15 * rng.standard_normal(),
            stain=1.25 * np.exp(0.15 * rng.standard_normal()),
            chromatin=0.15,
            irregularity=0.05,
            rim=0.1,
            vesicular=0.2,
            nucleoli=0,
            softness=softness,
            code=None,
        )
        draw_nucleus(rng, canvas, nucleus)


def _lymphocytes(rng: np.random.Generator, canvas: Canvas, traits: Traits, softness: float) -> None:
    """Lymphocytes: small, round and dark; in clusters in the stroma, a few among the tumour cells."""
    mpp = canvas.mpp
    cluster = smooth_noise(rng, canvas.side, 12.0 / mpp) > 0.35 + 0.5 * rng.standard_normal()
    stroma = (canvas.depth < -1.0) & ~canvas.fat
    plan = ((stroma & cluster, 2.6), (stroma & ~cluster, 0.25), (canvas.nest, 0.12))
    for region, weight in plan:
        mean = min(weight * traits.lymphocytes, 75.0) * region.sum() * mpp * mpp / 1e4
        count = rng.poisson(mean * np.exp(0.35 * rng.standard_normal()))
        ys, xs, radii = _place(rng, region, rng.uniform(2.9, 3.8, count) / mpp, 1.0)
        for y, x, r in zip(ys, xs, radii, strict=True):
            nucleus = Nucleus(
                y=y,
                x=x,
                long=r * 1.06,
                short=r * 0.96,
                angle=rng.uniform(0, np.pi),
                stain=1.95 * np.exp(0.08 * rng.standard_normal()),
                chromatin=0.20,
                irregularity=0.03,
                rim=0.05,
                vesicular=0.0,
                nucleoli=0,
                softness=softness,
                code=LYMPHOCYTE,
            )
            draw_nucleus(rng, canvas, nucleus)


def _debris(rng: np.random.Generator, canvas: Canvas) -> None:
    """Pyknotic debris in the necrosis; the mask keeps the code of the necrosis."""
    mpp = canvas.mpp
    count = rng.poisson(0.016 * canvas.necrosis.sum() * mpp * mpp)
    ys, xs, radii = _place(rng, canvas.necrosis, rng.lognormal(0.15, 0.45, count) / mpp, 1.0)
    for y, x, r in zip(ys, xs, radii, strict=True):
        nucleus = Nucleus(
            y=y,
            x=x,
            long=r * rng.uniform(1.0, 1.4),
            short=r,
            angle=rng.uniform(0, np.pi),
            stain=rng.uniform(0.9, 2.0),
            chromatin=0.1,
            irregularity=0.12,
            rim=0.0,
            vesicular=0.0,
            nucleoli=0,
            softness=1.0,
            code=None,
        )
        draw_nucleus(rng, canvas, nucleus)


def _place(
    rng: np.random.Generator, region: np.ndarray, radii: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random sequential adsorption: place discs of the given radii (pixels) in ``region``, in order.

    A candidate is accepted when its distance to every accepted one is at least ``gap`` times the sum of the radii.
    Returns rows, columns and radii, each float64 (k,).
    """
    rows, columns = np.nonzero(region)
    if len(rows) == 0 or len(radii) == 0:
        empty = np.empty(0)
        return empty, empty, empty
    pick = rng.integers(0, len(rows), len(radii))
    jitter = rng.uniform(-0.5, 0.5, (2, len(radii)))
    y, x = rows[pick] + jitter[0], columns[pick] + jitter[1]
    # Bins as wide as the longest possible reach: a conflict can only be in the same bin or one of its neighbours,
    # so the time grows with the number of candidates and not with its square.
    reach = 2.0 * gap * float(radii.max())
    bins: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    accepted: list[tuple[float, float, float]] = []
    for cy, cx, r in zip(y.tolist(), x.tolist(), radii.tolist(), strict=True):
        i, j = int(cy // reach), int(cx // reach)
        near = (cell for a in (i - 1, i, i + 1) for b in (j - 1, j, j + 1) for cell in bins.get((a, b), ()))
        if all((ky - cy) ** 2 + (kx - cx) ** 2 >= (gap * (kr + r)) ** 2 for ky, kx, kr in near):
            bins.setdefault((i, j), []).append((cy, cx, r))
            accepted.append((cy, cx, r))
    placed = np.array(accepted)
    return placed[:, 0], placed[:, 1], placed[:, 2]
