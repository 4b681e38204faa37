"""Tissue compartments of a synthetic patch: tumour nests, stroma, fat, lumens and necrosis, as two stain maps.

The canvas holds amounts of haematoxylin and eosin, not colours: layers of tissue then add up as they do in a slide, by
optical density, and one Beer-Lambert step at the end (render.py) gives the colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from her2core.data.synthetic.fields import fibres, quantile_level, smooth_noise
from her2core.data.synthetic.patient import Traits

NOTHING, TUMOUR_NUCLEUS, MITOSIS, NECROSIS, LYMPHOCYTE = 0, 1, 2, 3, 4
MASK_CODES = {
    NOTHING: "nothing",
    TUMOUR_NUCLEUS: "tumour nucleus",
    MITOSIS: "mitosis",
    NECROSIS: "necrosis",
    LYMPHOCYTE: "lymphocyte",
}


@dataclass
class Canvas:
    """The tissue while it is being rendered; arrays (n, n), n = px + twice the margin.

    Parameters
    ----------
    mpp : float
        Microns per pixel.
    h, e : ndarray, float32
        Amounts of haematoxylin and eosin, about 0 to 2.
    mask : ndarray, uint8
        Codes of MASK_CODES.
    nest, lumen, fat, necrosis : ndarray, bool
        Regions.
    depth : ndarray, float32
        Signed distance from the nest's edge in microns, positive inside.
    flow : ndarray, float32
        Direction of the stroma's fibres, in radians.
    chromatin : ndarray, float32
        Noise of mean 0 and standard deviation 1.
    """

    mpp: float
    h: np.ndarray
    e: np.ndarray
    mask: np.ndarray
    nest: np.ndarray
    lumen: np.ndarray
    fat: np.ndarray
    necrosis: np.ndarray
    depth: np.ndarray
    flow: np.ndarray
    chromatin: np.ndarray

    @property
    def side(self) -> int:
        """Side of the canvas in pixels."""
        return self.h.shape[0]


def lay_out(rng: np.random.Generator, n: int, mpp: float, traits: Traits) -> Canvas:
    """Render everything but the nuclei.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Side of the canvas in pixels.
    mpp : float
        Microns per pixel.
    traits : Traits
        Of the patch.

    Returns
    -------
    Canvas
    """
    share = float(np.clip(traits.tumour + 0.16 * rng.standard_normal(), 0.22, 0.88))
    necrotic = rng.random() < traits.necrosis
    if necrotic:
        # Comedo necrosis is in the middle of a large nest; a patch that shows it shows much of that nest.
        share = max(share, 0.66)
    nest_sigma = (1.5 if necrotic else 1.0) * traits.nest_um / mpp
    field = smooth_noise(rng, n, nest_sigma, traits.nest_stretch, rng.uniform(0, np.pi))
    field += 0.16 * smooth_noise(rng, n, 3.0 / mpp)
    nest = field > quantile_level(field, share)

    fat = _fat(rng, n, mpp, traits, ~nest)
    nest &= ~fat
    depth = _signed_depth(nest, mpp)
    lumen = np.zeros_like(nest)
    necrosis = np.zeros_like(nest)
    if necrotic:
        necrosis = _necrosis_region(rng, depth, mpp)
    elif rng.random() < 0.15 + 0.85 * traits.lumen:
        lumen = _lumens(rng, depth, traits, mpp)

    canvas = Canvas(
        mpp=mpp,
        h=np.zeros((n, n), np.float32),
        e=np.zeros((n, n), np.float32),
        mask=np.zeros((n, n), np.uint8),
        nest=nest & ~lumen & ~necrosis,
        lumen=lumen,
        fat=fat,
        necrosis=necrosis,
        depth=depth,
        flow=np.zeros((n, n), np.float32),
        chromatin=smooth_noise(rng, n, max(traits.chromatin_um / mpp, 0.5)),
    )
    _draw_stroma(rng, canvas, traits)
    _draw_cytoplasm(rng, canvas, traits)
    _draw_openings(rng, canvas, traits)
    if necrotic:
        _draw_necrosis(rng, canvas)
    return canvas


def _signed_depth(region: np.ndarray, mpp: float) -> np.ndarray:
    if region.all() or not region.any():
        return np.full(region.shape, 1e3 if region.any() else -1e3, np.float32)
    inside = ndimage.distance_transform_edt(region)
    outside = ndimage.distance_transform_edt(~region)
    # The blur takes the pixel staircase out of everything that follows the edge.
    return ndimage.gaussian_filter(((inside - outside) * mpp).astype(np.float32), 0.9 / mpp)


def _fat(rng: np.random.Generator, n: int, mpp: float, traits: Traits, allowed: np.ndarray) -> np.ndarray:
    """Adipocytes: large round cells that touch without merging."""
    fat = np.zeros((n, n), bool)
    if rng.random() > 0.08 + 0.9 * traits.fat:
        return fat
    yy, xx = np.mgrid[0:n, 0:n].astype(np.float32)
    centres: list[tuple[float, float, float]] = []
    attempts = int(np.clip(18 * (n * mpp / 110) ** 2, 12, 400))
    core = allowed & (ndimage.uniform_filter(allowed.astype(np.float32), max(3, int(12 / mpp))) > 0.7)
    ys, xs = np.nonzero(core)
    if len(ys) == 0:
        return fat
    for pick, radius in zip(rng.integers(0, len(ys), attempts), rng.uniform(11, 24, attempts) / mpp, strict=True):
        y, x = float(ys[pick]), float(xs[pick])
        free = min([np.hypot(y - cy, x - cx) - cr for cy, cx, cr in centres], default=radius) - 1.6 / mpp
        radius = min(radius, free)
        if radius < 6 / mpp:
            continue
        centres.append((y, x, radius))
        fat |= (yy - y) ** 2 + (xx - x) ** 2 < radius**2
    return fat


def _lumens(rng: np.random.Generator, depth: np.ndarray, traits: Traits, mpp: float) -> np.ndarray:
    """Gland lumens: the middle of nests that are wide enough, with a rough edge."""
    rough = depth + 1.6 * smooth_noise(rng, depth.shape[0], 3.5 / mpp)
    selected = smooth_noise(rng, depth.shape[0], 16.0 / mpp) > 0.6 - 1.2 * traits.lumen
    return (rough > traits.diameter_um * 1.75) & selected


def _necrosis_region(rng: np.random.Generator, depth: np.ndarray, mpp: float) -> np.ndarray:
    n = depth.shape[0]
    margin = n // 6
    inner = depth[margin : n - margin, margin : n - margin]
    y, x = np.unravel_index(int(np.argmax(inner)), inner.shape)
    yy, xx = np.mgrid[0:n, 0:n].astype(np.float32)
    away = np.hypot(yy - y - margin, xx - x - margin) * mpp
    edge = rng.uniform(14, 27) + 3.0 * smooth_noise(rng, n, 5.0 / mpp)
    return (away < edge) & (depth > 9.0 + 2.0 * smooth_noise(rng, n, 3.0 / mpp))


def _draw_stroma(rng: np.random.Generator, canvas: Canvas, traits: Traits) -> None:
    """Collagen: strands of eosin that wave, run around the nests, and part in pale clefts."""
    n, mpp = canvas.side, canvas.mpp
    yy, xx = np.mgrid[0:n, 0:n].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    across = -xx * np.sin(angle) + yy * np.cos(angle)
    along = xx * np.cos(angle) + yy * np.sin(angle)
    wave = smooth_noise(rng, n, 11.0 / mpp) * np.float32(traits.wave / mpp)
    # Pulling the level lines towards those of the distance to the nest lets the strands wrap around it; blurred,
    # because the ridges of a distance map would show as chevrons.
    around = ndimage.gaussian_filter(np.clip(-canvas.depth, -4, 30), 4.5 / mpp) / np.float32(mpp)
    height = (across + wave + 0.6 * around).astype(np.float32)
    gy, gx = np.gradient(height)
    canvas.flow = np.arctan2(gx, -gy).astype(np.float32)

    width = traits.fibre_um / mpp
    # Every strand is displaced independently: without this the level lines run parallel like the bands of an agate.
    displacement = smooth_noise(rng, n, 3.2 / mpp) * np.float32(1.1 / mpp)
    strands = fibres(rng, height + displacement, along, width)
    fine = fibres(rng, height - 0.7 * displacement, along, 0.45 * width)
    bundles = fibres(rng, height + 2.0 * displacement, along, 3.2 * width)
    cloud = smooth_noise(rng, n, 7.0 / mpp)
    grain = smooth_noise(rng, n, max(0.5 / mpp, 0.6))
    body = 1.0 + traits.fibre_contrast * (0.65 * strands + 0.50 * fine + 0.45 * bundles + 0.25 * cloud) + 0.06 * grain
    clefts = np.clip((-1.5 - 0.75 * strands - 0.75 * bundles - 0.5 * cloud) * 1.1, 0, 1)
    body = np.clip(body, 0.2, 2.2) * (1.0 - 0.85 * clefts)
    canvas.e = (traits.stroma * body).astype(np.float32)
    canvas.h = (0.07 + 0.05 * np.clip(strands + fine, 0, 2)).astype(np.float32) * (1 - clefts)


def _draw_cytoplasm(rng: np.random.Generator, canvas: Canvas, traits: Traits) -> None:
    n, mpp = canvas.side, canvas.mpp
    cover = np.clip(canvas.depth / (1.2 * mpp) + 0.5, 0, 1)
    cloud = smooth_noise(rng, n, 4.0 / mpp)
    grain = smooth_noise(rng, n, max(0.55 / mpp, 0.6))
    eosin = traits.cytoplasm * (1.0 + 0.16 * cloud + 0.13 * grain)
    blue = traits.basophilia * (1.0 + 0.25 * cloud + 0.20 * grain)
    canvas.e += (np.clip(eosin, 0.05, None) - canvas.e) * cover
    canvas.h += (np.clip(blue, 0.0, None) - canvas.h) * cover


def _draw_openings(rng: np.random.Generator, canvas: Canvas, traits: Traits) -> None:
    """Unstained openings: retraction clefts around nests, gland lumens, fat."""
    n, mpp = canvas.side, canvas.mpp
    split = np.clip(1.4 * smooth_noise(rng, n, 9.0 / mpp) + 3.2 * (traits.retraction - 0.75), 0, 1)
    gap_um = 0.8 + 2.6 * traits.retraction
    cleft = np.clip(1.0 - np.abs(canvas.depth + gap_um / 2) / (gap_um / 2 + 0.5 * mpp), 0, 1) * split
    open_field = ndimage.gaussian_filter((canvas.lumen | canvas.fat).astype(np.float32), max(0.5 / mpp, 0.5))
    keep = (1.0 - 0.9 * np.clip(1.6 * cleft, 0, 1)) * (1.0 - 0.97 * open_field)
    canvas.h *= keep
    canvas.e *= keep
    if canvas.lumen.any():
        # A film of secretion at the border of the lumen.
        rim = ndimage.gaussian_filter(canvas.lumen.astype(np.float32), 1.2 / mpp)
        canvas.e += 0.9 * rim * (1 - rim) * canvas.lumen
    if canvas.fat.any():
        rim = ndimage.gaussian_filter(canvas.fat.astype(np.float32), 0.8 / mpp)
        canvas.e += 1.1 * rim * (1 - rim)


def _draw_necrosis(rng: np.random.Generator, canvas: Canvas) -> None:
    """Comedo necrosis: granular, strongly eosinophilic debris without structure, with basophilic dust."""
    n, mpp = canvas.side, canvas.mpp
    cover = ndimage.gaussian_filter(canvas.necrosis.astype(np.float32), 1.0 / mpp)
    grain = smooth_noise(rng, n, max(0.8 / mpp, 0.7))
    clump = smooth_noise(rng, n, 3.2 / mpp)
    holes = np.clip(1.5 * smooth_noise(rng, n, 2.0 / mpp) - 1.9, 0, 1)
    eosin = np.clip(0.98 + 0.26 * grain + 0.20 * clump, 0.2, None) * (1 - 0.85 * holes)
    dust = np.clip(0.16 + 0.16 * grain - 0.10 * clump, 0, None) * (1 - holes)
    canvas.e += (eosin - canvas.e) * cover
    canvas.h += (dust - canvas.h) * cover
    canvas.mask[canvas.necrosis] = NECROSIS
