"""Traits of a synthetic patient: what all of the patient's patches have in common.

There are two kinds of traits. The class shows through one latent *grade*, whose distributions overlap between classes:
nuclear size, pleomorphism, nucleoli, mitoses, comedo necrosis and lymphocytes follow it, as the features of the
Nottingham grade do (Elston and Ellis 1991, Histopathology 19:403) and as HER2-positive tumours are on average of higher
grade (Slamon et al. 1987, Science 235:177). The patient shows through everything else: stain, chromatin, stroma and
architecture, which are independent of the class but shared by all patches of one patient. That is what a random patch
split leaks.

The numbers are our choice, made so that a field of 90 microns shows the traits: mitoses and necrosis are more frequent
than in real tissue. No value was fitted to real patients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from her2core.data.synthetic.cohort import CohortSpec, PatientRecord
from her2core.data.synthetic.seeds import PATIENT, SITE, SLIDE, generator

# Standard deviation of the latent grade between patients of one class; the class means are one apart. With 0.36 an
# observer who knew the grade exactly would classify about 89 % of the patients correctly.
GRADE_SPREAD = 0.36
# Standard deviation of the grade between the patches of one patient (tumours are heterogeneous).
PATCH_GRADE_SPREAD = 0.25

# Natural-log optical density per unit stain, rows haematoxylin and eosin, columns R, G, B; unit length after
# normalisation. Both are between the vectors of Ruifrok and Johnston 2001 (Anal Quant Cytol Histol 23:291) and the
# reference that Macenko et al. 2009 (ISBI, p. 1107) made customary.
# Of the first two sites; any further one is random around their mean.
_SITE_STAINS = (((0.61, 0.71, 0.35), (0.17, 0.88, 0.44)), ((0.67, 0.68, 0.28), (0.10, 0.93, 0.33)))
_SITE_STRENGTH = ((1.00, 1.00), (0.88, 1.12))
_SITE_WHITE = ((246.0, 245.0, 247.0), (241.0, 238.0, 242.0))
_SITE_BLUR_UM = (0.38, 0.60)
_SITE_NOISE = (1.6, 2.4)


@dataclass(frozen=True)
class Look:
    """Staining and scanner of one slide.

    Parameters
    ----------
    stains : tuple of tuple of float
        Absorption vectors, rows haematoxylin and eosin, columns R, G, B.
    haematoxylin, eosin : float
        Strength of each stain.
    white : tuple of float
        Grey levels of an empty slide, R, G, B.
    blur_um : float
        Standard deviation of the Gaussian blur in microns.
    noise : float
        Standard deviation in grey levels.
    """

    stains: tuple[tuple[float, ...], ...]
    haematoxylin: float
    eosin: float
    white: tuple[float, ...]
    blur_um: float
    noise: float


@dataclass(frozen=True)
class Traits:
    """Morphology of one patient or patch.

    Parameters
    ----------
    grade : float
        Latent grade, about -2 to 2.
    diameter_um : float
        Of tumour nuclei, in microns.
    size_spread, irregularity, elongation : float
        Pleomorphism of tumour nuclei.
    nucleolus, vesicular : float
        Propensity of nucleoli and of cleared chromatin: unbounded for a patient, a probability for a patch.
    mitoses, lymphocytes, fibroblasts : float
        Densities per 10,000 square microns.
    necrosis, lumen, fat, tumour, retraction : float
        Probability or area fraction.
    chromatin_um, fibre_um, nest_um, wave : float
        Lengths in microns.
    chromatin, nuclear_stain, cytoplasm, basophilia, stroma, fibre_contrast : float
        Amounts of stain and their contrast.
    gap : float
        Smallest distance of tumour nuclei, in sums of their radii.
    nest_stretch : float
        Elongation of tumour nests.
    """

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
    """Draw the traits of one patient.

    Parameters
    ----------
    spec : CohortSpec
        ``class_effect`` shifts the grade by class; ``patient_effect`` scales everything individual.
    record : PatientRecord

    Returns
    -------
    Traits

    Examples
    --------
    >>> from her2core.data.synthetic.cohort import cohort_patients
    >>> spec = CohortSpec(patient_effect=0.0)
    >>> sorted({draw_traits(spec, record).grade for record in cohort_patients(spec)})
    [-1.0, 0.0, 1.0]
    """
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
    """The traits of one patch: those that depend on grade follow the patient's grade plus a shift.

    Parameters
    ----------
    traits : Traits
        Of the patient.
    grade_shift : float
        Added to the grade.

    Returns
    -------
    Traits
    """
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
    """Draw staining and scanner of one slide: the site's, varied by patient and a little by slide.

    Parameters
    ----------
    spec : CohortSpec
    record : PatientRecord
    slide : int
        Index within the patient, from 0.

    Returns
    -------
    Look
    """
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
    """Staining and scanner of a site before the variation by patient and slide."""
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
    """Logistic function."""
    return float(1.0 / (1.0 + np.exp(-x)))
