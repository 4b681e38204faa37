"""What does one patch look like? A spec and a patch index in; RGB image, coded mask and plan row out.

The two stain maps of the tissue become colours by the Beer-Lambert law, one absorption vector a stain (Ruifrok and
Johnston 2001, Anal Quant Cytol Histol 23:291), then pass the synthetic scanner: blur, uneven light, noise, 8 bits.
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

# Tissue is drawn this much wider than the patch, so that cells are cut by its edge as in a real patch.
_MARGIN_UM = 8.0


@dataclass(frozen=True)
class SyntheticPatch:
    """One synthetic patch.

    ``image`` uint8 (px, px, 3) RGB; ``mask`` uint8 (px, px), codes of `MASK_CODES`: 0 nothing, 1 tumour nuclei,
    2 mitosis, 3 necrosis, 4 lymphocytes; ``row`` the read-only row of the plan.
    """

    image: np.ndarray
    mask: np.ndarray
    row: Mapping[str, object]


def render_patch(spec: CohortSpec, index: int) -> SyntheticPatch:
    """Draw patch ``index`` (0 to ``spec.patches - 1``); it depends on the spec and the index alone.

    Raises ConfigError where the cohort has no such patch.
    """
    record, slide, _ = place_of(spec, index)
    rng = generator(spec.seed, PATCH, int(index))
    traits = at_patch(draw_traits(spec, record), PATCH_GRADE_SPREAD * float(rng.standard_normal()))
    margin = int(np.ceil(_MARGIN_UM / spec.mpp))
    side = next_fast_len(spec.px + 2 * margin, real=True)
    canvas = lay_out(rng, side, float(spec.mpp), traits)
    populate(rng, canvas, traits)
    image = _photograph(rng, canvas, draw_look(spec, record, slide))
    inner = slice(margin, margin + spec.px)
    return SyntheticPatch(
        image=np.ascontiguousarray(image[inner, inner]),
        mask=np.ascontiguousarray(canvas.mask[inner, inner]),
        row=plan_row(spec, index),
    )


def _photograph(rng: np.random.Generator, canvas: Canvas, look: Look) -> np.ndarray:
    """Stain maps to uint8 RGB of the same side."""
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
