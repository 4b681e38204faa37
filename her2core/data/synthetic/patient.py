"""How does one synthetic patient's tissue look? A patient record in; the traits that all its patches share out.

Two kinds of traits. The class shows through one latent *grade*, whose classes overlap: nuclear size, pleomorphism,
nucleoli, mitoses, comedo necrosis and lymphocytes follow it, as the features of the Nottingham grade do (Elston and
Ellis 1991, Histopathology 19:403) and as HER2-positive tumours are on average of higher grade (Slamon et al. 1987,
Science 235:177). The patient shows through everything else: stain, chromatin, stroma, architecture, which say nothing
about the class but are the same in all patches of one patient. That is what a random patch split leaks.

The numbers are our choice, made so that a 90 micron field shows something: mitoses and necrosis are more frequent
here than in life. No value was fitted to real patients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from her2core.data.synthetic.cohort import CohortSpec, PatientRecord
from her2core.data.synthetic.seeds import PATIENT, SITE, SLIDE, generator

# Spread of the latent grade between patients of one class; the class means are one apart. With 0.36 an observer who
# knew the grade exactly would name the right class of three for about 89 % of the patients.
GRADE_SPREAD = 0.36
# Spread of the grade between the patches of one patient (tumours are not uniform).
PATCH_GRADE_SPREAD = 0.25

# Natural-log optical density per unit stain, rows haematoxylin and eosin, columns R, G, B; unit length after
# normalisation. Both lie between the vectors of Ruifrok and Johnston 2001 (Anal Quant Cytol Histol 23:291) and the
# reference that Macenko et al. 2009 (ISBI, p. 1107) made customary.
# Of the first two sites; any further one is drawn around their middle.
_SITE_STAINS = (((0.61, 0.71, 0.35), (0.17, 0.88, 0.44)), ((0.67, 0.68, 0.28), (0.10, 0.93, 0.33)))
_SITE_STRENGTH = ((1.00, 1.00), (0.88, 1.12))
_SITE_WHITE = ((246.0, 245.0, 247.0), (241.0, 238.0, 242.0))
_SITE_BLUR_UM = (0.38, 0.60)
_SITE_NOISE = (1.6, 2.4)


@dataclass(frozen=True)
class Look:
    """How stain and scanner turn the two stain maps into RGB.

    ``stains`` float64 (2, 3), ``white`` grey levels of an empty slide, ``blur_um`` Gaussian sigma in microns,
    ``noise`` sigma in grey levels.
    """

    stains: tuple[tuple[float, float, float], tuple[float, float, float]]
    haematoxylin: float
    eosin: float
    white: tuple[float, float, float]
    blur_um: float
    noise: float


@dataclass(frozen=True)
class Traits:
    """What all patches of one patient have in common. Lengths in microns, densities per 10,000 square microns."""

    grade: float
    diameter_um: float
    size_spread: float
    irregularity: float
    nucleolus: float
    vesicular: float
    mitoses: float
    necrosis: float
    lymphocytes: float
    elongation: float
    chromatin_um: float
    chromatin: float
    nuclear_stain: float
    gap: float
    cytoplasm: float
    basophilia: float
    nest_um: float
    nest_stretch: float
    lumen: float
    tumour: float
    retraction: float
    stroma: float
    fibre_um: float
    fibre_contrast: float
    wave: float
    fibroblasts: float
    fat: float


def draw_traits(spec: CohortSpec, record: PatientRecord) -> Traits:
    """The traits of one patient; ``class_effect`` moves the grade, ``patient_effect`` scales all that is his own."""
    rng = generator(spec.seed, PATIENT, record.number)
    own = spec.patient_effect

    def spread(scale: float) -> float:
        return own * scale * float(np.clip(rng.standard_normal(), -2.2, 2.2))

    grade = (record.class_rank - 1) * spec.class_effect + spread(GRADE_SPREAD)
    return Traits(
        diameter_um=9.3 + spread(0.30),
        size_spread=0.12 * np.exp(spread(0.12)),
        irregularity=0.05 * np.exp(spread(0.20)),
        nucleolus=spread(0.5),
        vesicular=spread(0.5),
        mitoses=0.55 * np.exp(spread(0.3)),
        necrosis=0.06 * np.exp(spread(0.5)),
        lymphocytes=9.0 * np.exp(spread(0.55)),
        elongation=1.28 * np.exp(spread(0.14)),
        chromatin_um=0.85 * np.exp(spread(0.28)),
        chromatin=0.22 * np.exp(spread(0.40)),
        nuclear_stain=1.45 * np.exp(spread(0.12)),
        gap=1.09 * np.exp(spread(0.07)),
        cytoplasm=0.62 * np.exp(spread(0.18)),
        basophilia=0.20 * np.exp(spread(0.45)),
        nest_um=15.0 * np.exp(spread(0.28)),
        nest_stretch=1.5 * np.exp(spread(0.35)),
        lumen=_share(-1.6 + spread(1.5)),
        tumour=_share(0.45 + spread(0.45)),
        retraction=_share(-0.6 + spread(1.4)),
        stroma=0.66 * np.exp(spread(0.22)),
        fibre_um=1.7 * np.exp(spread(0.30)),
        fibre_contrast=0.30 * np.exp(spread(0.35)),
        wave=5.0 * np.exp(spread(0.45)),
        fibroblasts=9.0 * np.exp(spread(0.45)),
        fat=_share(-2.9 + spread(1.3)),
        grade=grade,
    )


def at_patch(traits: Traits, grade_shift: float) -> Traits:
    """The traits as one patch shows them: what follows the grade is set from the patient's grade and the shift."""
    grade = float(np.clip(traits.grade + grade_shift, -2.5, 2.5))
    return replace(
        traits,
        grade=grade,
        diameter_um=max(5.5, traits.diameter_um + 1.15 * grade),
        size_spread=float(np.clip(traits.size_spread * np.exp(0.42 * grade), 0.04, 0.34)),
        irregularity=float(np.clip(traits.irregularity * np.exp(0.40 * grade), 0.01, 0.16)),
        nucleolus=_share(-0.9 + traits.nucleolus + 1.3 * grade),
        vesicular=_share(-0.4 + traits.vesicular + 1.0 * grade),
        mitoses=traits.mitoses * float(np.exp(1.05 * grade)),
        necrosis=min(0.6, traits.necrosis * float(np.exp(1.0 * grade))),
        lymphocytes=traits.lymphocytes * float(np.exp(0.45 * grade)),
        # The nucleus fills more of the cell as the grade rises.
        gap=max(0.98, traits.gap * float(np.exp(-0.06 * grade))),
    )


def draw_look(spec: CohortSpec, record: PatientRecord, slide: int) -> Look:
    """Stain and scanner of one slide: the site's, turned by the patient and a little by the slide."""
    # A second number keeps this stream apart from the traits of the same patient.
    rng = generator(spec.seed, PATIENT, record.number, 1)
    slide_rng = generator(spec.seed, SLIDE, record.number, slide)
    own, site = spec.patient_effect, _site_look(spec.seed, record.site_index)
    stains = np.array(site.stains)
    stains = stains + own * np.clip(
        0.055 * rng.standard_normal((2, 3)) + 0.012 * slide_rng.standard_normal((2, 3)), -0.12, 0.12
    )
    stains = np.clip(stains, 0.04, None)
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    strength = np.array([site.haematoxylin, site.eosin]) * np.exp(
        own * (0.14 * np.clip(rng.standard_normal(2), -2, 2) + 0.04 * slide_rng.standard_normal(2))
    )
    white = np.clip(np.array(site.white) + own * 1.5 * rng.standard_normal(3), 234.0, 252.0)
    return Look(
        stains=tuple(tuple(float(v) for v in row) for row in stains),
        haematoxylin=float(np.clip(strength[0], 0.5, 1.8)),
        eosin=float(np.clip(strength[1], 0.5, 1.8)),
        white=tuple(float(v) for v in white),
        blur_um=site.blur_um,
        noise=site.noise,
    )


def _site_look(seed: int, site: int) -> Look:
    """Stain and scanner of a site before patient and slide turn them."""
    if site < len(_SITE_STAINS):
        return Look(
            _SITE_STAINS[site], *_SITE_STRENGTH[site], _SITE_WHITE[site], _SITE_BLUR_UM[site], _SITE_NOISE[site]
        )
    rng = generator(seed, SITE, site)
    stains = np.mean(_SITE_STAINS, axis=0) + rng.uniform(-0.05, 0.05, (2, 3))
    haematoxylin, eosin = rng.uniform(0.85, 1.15, 2)
    return Look(
        tuple(map(tuple, stains.tolist())),
        float(haematoxylin),
        float(eosin),
        tuple(rng.uniform(240.0, 248.0, 3).tolist()),
        float(rng.uniform(0.35, 0.65)),
        float(rng.uniform(1.5, 2.5)),
    )


def _share(x: float) -> float:
    """Logistic: any number to a share between 0 and 1."""
    return float(1.0 / (1.0 + np.exp(-x)))
