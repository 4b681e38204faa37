"""Rendering of one synthetic patch: tissue, staining by the Beer-Lambert law, and a synthetic scanner.

The two stain maps of the tissue become colours by the Beer-Lambert law, with one absorption vector per stain (Ruifrok
and Johnston 2001, Anal Quant Cytol Histol 23:291); the scanner adds blur, noise and quantisation to 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.fft import next_fast_len

from her2core.data.synthetic.cells import populate
from her2core.data.synthetic.cohort import CohortSpec, place_of, plan_row
from her2core.data.synthetic.fields import smooth_noise
from her2core.data.synthetic.patient import PATCH_GRADE_SPREAD, Look, at_patch, draw_look, draw_traits
from her2core.data.synthetic.seeds import PATCH, generator
from her2core.data.synthetic.tissue import Canvas, lay_out

# Tissue is rendered this much wider than the patch, so that cells are cut by its edge as in a real patch.
_MARGIN_UM = 8.0


@dataclass(frozen=True)
class SyntheticPatch:
    """One synthetic patch with its ground truth.

    Parameters
    ----------
    image : ndarray, uint8 (px, px, 3)
        RGB.
    mask : ndarray, uint8 (px, px)
        Codes of `MASK_CODES`: 0 nothing, 1 tumour nucleus, 2 mitosis, 3 necrosis, 4 lymphocyte.
    row : mapping
        The read-only row of the plan.
    """

    image: np.ndarray
    mask: np.ndarray
    row: Mapping[str, object]


def render_patch(spec: CohortSpec, index: int) -> SyntheticPatch:
    """Render one patch; it depends on the spec and its index alone.

    Parameters
    ----------
    spec : CohortSpec
    index : int
        Row of the plan, 0 to ``spec.patches - 1``.

    Returns
    -------
    SyntheticPatch

    Raises
    ------
    ConfigError
        Where the cohort has no such patch.

    Examples
    --------
    >>> from her2core.data.synthetic import CohortSpec
    >>> patch = render_patch(CohortSpec(patients=6, patches_per_patient=1, px=64), 3)
    >>> patch.image.shape, patch.row["label"]
    ((64, 64, 3), 'negative')
    """
    record, slide, _ = place_of(spec, index)
    rng = generator(spec.seed, PATCH, int(index))
    traits = at_patch(draw_traits(spec, record), PATCH_GRADE_SPREAD * float(rng.standard_normal()))
    margin = int(np.ceil(_MARGIN_UM / spec.mpp))
    side = next_fast_len(spec.px + 2 * margin, real=True)
    canvas = lay_out(rng, side, float(spec.mpp), traits)
    populate(rng, canvas, traits)
    image = _scan(rng, canvas, draw_look(spec, record, slide))
    inner = slice(margin, margin + spec.px)
    return SyntheticPatch(
        image=np.ascontiguousarray(image[inner, inner]),
        mask=np.ascontiguousarray(canvas.mask[inner, inner]),
        row=plan_row(spec, index),
    )


def _scan(rng: np.random.Generator, canvas: Canvas, look: Look) -> np.ndarray:
    """Stain maps to RGB of the same side, uint8 (side, side, 3)."""
    thickness = 1.0 + 0.05 * smooth_noise(rng, canvas.side, 25.0 / canvas.mpp)
    stains = np.asarray(look.stains, np.float32)
    amounts = np.stack(
        [canvas.h * thickness * np.float32(look.haematoxylin), canvas.e * thickness * np.float32(look.eosin)], axis=-1
    )
    light = np.exp(-(np.clip(amounts, 0, None) @ stains)) * np.asarray(look.white, np.float32)
    # The lens blurs light, not density, so the blur comes after Beer-Lambert.
    light = ndimage.gaussian_filter(light, (look.blur_um / canvas.mpp, look.blur_um / canvas.mpp, 0))
    light += look.noise * rng.standard_normal(light.shape, dtype=np.float32)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)
