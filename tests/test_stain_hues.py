"""Stain normalisation of drawn H&E in many hues: pink stays pink and blue stays blue, or the patch is flagged.

The truth is known by construction: which pixels are nuclei, and the optical density of both dyes. The hue of a region
is the ratio of its optical densities in red and green: 0.27 for the reference eosin, 0.78 for the reference
haematoxylin, so 0.5 lies between the two.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from her2core.data.prepare import UNUSABLE
from her2core.data.quality import quality_flags
from her2core.io.images import read_image
from her2core.stain.density import tissue_share
from her2core.stain.macenko import StainNormalizer

#: Optical density in R, G, B; brought to unit length. Eosin from orange to magenta, haematoxylin from navy to violet.
EOSIN = {
    "salmon": (0.2, 0.8, 0.55),
    "red": (0.07, 0.67, 0.58),
    "orange": (0.05, 0.6, 0.75),
    "pink": (0.1, 0.9, 0.35),
    "magenta": (0.09, 0.95, 0.1),
    "pure magenta": (0.03, 0.95, 0.06),
}
HAEMATOXYLIN = {
    "reference": (0.56, 0.72, 0.41),
    "navy": (0.7, 0.65, 0.3),
    "blue": (0.8, 0.55, 0.15),
    "purple": (0.55, 0.75, 0.35),
    "violet": (0.6, 0.78, 0.12),
}
SHARES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)  # of the patch covered by nuclei
STRENGTHS = (0.3, 0.6, 1.0)  # of eosin
PX = 112


def density(image: np.ndarray) -> np.ndarray:
    return np.maximum(-np.log((image.astype(float) + 1) / 240), 0)


def texture(rng: np.random.Generator, sigma: float) -> np.ndarray:
    grain = gaussian_filter(rng.normal(size=(PX, PX)), sigma)
    return (grain - grain.mean()) / grain.std()


def draw(
    rng: np.random.Generator, eosin: str, haematoxylin: str, share: float, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """A patch, uint8 (PX, PX, 3), and its nuclei, bool (PX, PX): blobs over ``share`` of it, camera noise over all."""
    blobs = texture(rng, 3)
    nuclei = blobs > np.quantile(blobs, 1 - share) if 0 < share < 1 else np.full((PX, PX), share == 1)
    amounts = np.stack(
        [
            1.3 * np.clip(1 + 0.2 * texture(rng, 4), 0.3, 2) * np.where(nuclei, 1, 0.03),
            strength * np.clip(1 + 0.25 * texture(rng, 5), 0.2, 2) * np.where(nuclei, 0.3, 1),
        ],
        axis=-1,
    )
    dyes = np.array([HAEMATOXYLIN[haematoxylin], EOSIN[eosin]])
    dyes /= np.linalg.norm(dyes, axis=1, keepdims=True)
    light = 240 * np.exp(-amounts @ dyes) - 1 + rng.normal(0, rng.uniform(0.5, 2.5), (PX, PX, 3))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8), nuclei


def faults(image: np.ndarray, nuclei: np.ndarray, normalised: np.ndarray) -> list[str]:
    found = []
    for region, name in ((~nuclei, "eosin"), (nuclei, "haematoxylin")):
        if region.mean() < 0.005:
            continue
        before, after = density(image)[region].mean(axis=0), density(normalised)[region].mean(axis=0)
        if after.mean() < 0.4 * before.mean():
            found.append(f"{name} washed out")
        if (after[0] > 0.5 * after[1]) != (name == "haematoxylin"):
            found.append(f"{name} changed its hue")
    return found


def drawn(eosin: str, haematoxylin: str):
    rng = np.random.default_rng([list(EOSIN).index(eosin), list(HAEMATOXYLIN).index(haematoxylin)])
    for share in SHARES:
        for strength in STRENGTHS:
            yield share, strength, *draw(rng, eosin, haematoxylin, share, strength)


@pytest.mark.parametrize("haematoxylin", HAEMATOXYLIN)
@pytest.mark.parametrize("eosin", EOSIN)
def test_hues_are_kept_or_the_patch_is_flagged_and_unchanged(eosin, haematoxylin):
    for share, strength, image, nuclei in drawn(eosin, haematoxylin):
        result = StainNormalizer().apply(image)
        where = f"{share:.0%} nuclei, eosin {strength}, {result.flag}"
        assert result.flag not in UNUSABLE, where  # it is tissue, whatever its stain
        if result.flag:
            assert result.image is image, where
        else:
            assert faults(image, nuclei, result.image) == [], where


@pytest.mark.parametrize("haematoxylin", HAEMATOXYLIN)
def test_ordinary_stains_of_ordinary_strength_are_normalised(haematoxylin):
    """So that flags do not replace normalisation."""
    for share, strength, image, _ in drawn("salmon", haematoxylin):
        if strength >= 0.6 and 0.05 <= share <= 0.5:
            assert StainNormalizer().apply(image).flag is None, (share, strength)


def test_the_hue_test_itself_sees_a_washed_out_and_a_recoloured_patch():
    image, nuclei = draw(np.random.default_rng(0), "pink", "navy", 0.25, 0.6)
    assert faults(image, nuclei, image) == []
    white = np.where(nuclei[..., None], image, 250).astype(np.uint8)
    assert "eosin washed out" in faults(image, nuclei, white)
    assert "haematoxylin changed its hue" in faults(image, nuclei, image[..., ::-1])
    blue, _ = draw(np.random.default_rng(0), "pink", "navy", 1.0, 0.6)
    assert "eosin changed its hue" in faults(image, nuclei, np.where(nuclei[..., None], image, blue))


@pytest.mark.parametrize("strength", STRENGTHS)
def test_one_dye_alone_is_not_split_into_two_by_camera_noise(strength):
    """Eosin alone: its two "stains" would be noise, and half of the pink would turn blue."""
    rng = np.random.default_rng(4)
    for eosin in EOSIN:
        image, _ = draw(rng, eosin, "reference", 0.0, strength)
        assert StainNormalizer().apply(image).flag in ("weak_stain", "unstable_stain"), eosin


# Pale tissue and glass


def pale(image: np.ndarray, gamma: float) -> np.ndarray:
    return np.rint(255 * (image / 255.0) ** gamma).astype(np.uint8)


@pytest.mark.parametrize("gamma", [0.6, 0.45, 0.35])
def test_pale_tissue_is_tissue(real_data, gamma):
    """Adipose tiles are left out here: some hold no more than a membrane."""
    paths = [p for p in sorted((real_data / "tissue_tiles").glob("*/*.jpg")) if p.parent.name != "adipose tissue"]
    for path in paths[::45]:
        result = StainNormalizer().apply(pale(read_image(path), gamma))
        assert result.flag in (None, "weak_stain", "unstable_stain"), (path.name, result.flag)


def test_most_pale_fat_is_tissue(real_data):
    paths = sorted((real_data / "tissue_tiles" / "adipose tissue").glob("*.jpg"))[::25]
    found = [StainNormalizer().apply(pale(read_image(path), 0.45)).flag for path in paths]
    assert np.mean([flag in UNUSABLE for flag in found]) < 0.15


def test_drawn_pale_tissue_is_tissue():
    rng = np.random.default_rng(2)
    for eosin in EOSIN:
        for share in (0.0, 0.1, 0.4):
            image, _ = draw(rng, eosin, "purple", share, 0.6)
            assert StainNormalizer().apply(pale(image, 0.45)).flag not in UNUSABLE, (eosin, share)


@pytest.mark.parametrize(("gamma", "strengths", "lower"), [(1.0, STRENGTHS, 0.48), (0.45, STRENGTHS[1:], 0.25)])
@pytest.mark.parametrize("eosin", EOSIN)
def test_the_share_of_tissue_is_that_drawn_whatever_the_hue(eosin, gamma, strengths, lower):
    """The left half is stained and the right half is glass; a scanner that brightens loses the faintest eosin."""
    left = np.arange(PX)[None, :, None] < PX // 2
    for haematoxylin in HAEMATOXYLIN:
        rng = np.random.default_rng(7)
        for share in (0.0, 0.1, 0.4):
            for strength in strengths:
                image, _ = draw(rng, eosin, haematoxylin, share, strength)
                glass = np.clip(243 + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)
                found = tissue_share(np.where(left, pale(image, gamma), glass))
                assert lower < found < 0.52, (haematoxylin, share, strength)


@pytest.mark.parametrize("eosin", ["salmon", "pink", "magenta", "pure magenta"])
def test_magenta_eosin_is_no_ink_and_no_other_stain(eosin):
    """Orange eosin alone has the hue of blood, and haematoxylin that hardly absorbs blue that of a pen."""
    for haematoxylin in ("reference", "purple", "violet"):
        for share, strength, image, _ in drawn(eosin, haematoxylin):
            assert not {"ink", "not_he"} & set(quality_flags(image, image)), (haematoxylin, share, strength)


@pytest.mark.parametrize("tint", [(244, 243, 245), (229, 213, 228), (222, 211, 209), (244, 220, 232), (232, 198, 222)])
def test_tinted_smeared_and_dusty_glass_is_not_tissue(tint):
    """Tints of real glass in TCGA and her2st, under uneven light, with a smear, noise and specks of dust."""
    rng = np.random.default_rng(3)
    light = np.linspace(0.96, 1, PX)[:, None, None] * np.ones((1, PX, 1))
    smear = 1 - 0.02 * (texture(rng, 12) > 0.5)[..., None] * (1.0, 1.5, 0.8)
    dust = 1 - 0.5 * (gaussian_filter(rng.normal(size=(PX, PX)), 1.2) > 0.75)[..., None]
    glass = tint * light * smear * dust + rng.normal(0, 2, (PX, PX, 3))
    result = StainNormalizer().apply(np.clip(glass, 0, 255).astype(np.uint8))
    assert result.flag in UNUSABLE


@pytest.mark.parametrize("low", [0, 120, 180, 200, 225])
def test_noise_alone_is_never_called_weakly_stained_tissue(low):
    noise = np.random.default_rng(5).integers(low, 256, (PX, PX, 3), dtype=np.uint8)
    assert StainNormalizer().apply(noise).flag != "weak_stain"
