"""What would this patch look like under the reference stain? uint8 RGB in, uint8 RGB and a flag out.

Macenko et al. 2009 (doi 10.1109/ISBI.2009.5193250): optical density by Beer-Lambert, the plane of the two strongest
directions, the extreme angles in it as haematoxylin and eosin, concentrations rescaled to a reference.

Deliberate differences from the paper's code and from torchstain: eigenvectors are turned towards positive optical
density before angles are taken (their sign is arbitrary), and a patch from which two stains cannot be told comes back
unchanged with a flag, where torchstain raises or returns a dark image, and no stain is strengthened more than
MAX_STRENGTHENING times, where faint tissue (fat, mucus) would come back far darker than it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from her2core.errors import ImageError

#: Why a patch was not normalised, in the words shown to people.
FLAGS = {
    "blank": "almost no tissue: the patch is white or nearly so",
    "black": "the patch is black or nearly so: no light came through",
    "one_colour": "the patch has one colour: two stains cannot be told apart",
    "nearly_empty": "too few tissue pixels to estimate the stain",
    "unstable_stain": "the two stain directions found are implausible for H&E",
}


#: How much stronger a stain may be made (our choice); tumour and stroma tiles of TCGA need 1.43 at most.
MAX_STRENGTHENING = 2.0


@dataclass(frozen=True)
class StainReference:
    """The stain that patches are brought to. ``vectors`` are rows H, E in optical density (R, G, B), unit length;
    ``max_concentration`` the 99th percentiles; ``white`` the level taken for no absorption (0-255).

    The default numbers are those in common use with Macenko's published code (and in torchstain).
    """

    vectors: tuple[tuple[float, float, float], tuple[float, float, float]] = (
        (0.5626, 0.7201, 0.4062),
        (0.2159, 0.8012, 0.5581),
    )
    max_concentration: tuple[float, float] = (1.9705, 1.0308)
    white: float = 240.0

    def as_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict) -> StainReference:
        """What ``as_dict`` gave, perhaps through JSON."""
        return cls(tuple(tuple(row) for row in plain["vectors"]), tuple(plain["max_concentration"]), plain["white"])


@dataclass(frozen=True)
class StainEstimate:
    """The stain found in one patch; the same shapes and units as StainReference, plus the tissue share (0-1)."""

    vectors: np.ndarray
    max_concentration: np.ndarray
    tissue_fraction: float


@dataclass(frozen=True)
class StainResult:
    """``image`` uint8 (H, W, 3) RGB; ``flag`` a key of FLAGS when the patch came back unchanged, else None."""

    image: np.ndarray
    flag: str | None
    estimate: StainEstimate | None


class StainNormalizer:
    """Bring patches to one stain. Holds no state beside its settings, so threads may share it.

    Parameters
    ----------
    reference : the stain to bring patches to.
    beta : optical density under which a pixel counts as background (Macenko: 0.15).
    alpha : percentile of the angles taken as extreme (Macenko: 1).
    min_tissue : share of pixels above ``beta`` under which the stain is not estimated (our choice: 0.05).
    """

    def __init__(
        self,
        reference: StainReference | None = None,
        *,
        beta: float = 0.15,
        alpha: float = 1.0,
        min_tissue: float = 0.05,
    ) -> None:
        self.reference = reference or StainReference()
        self.beta, self.alpha, self.min_tissue = beta, alpha, min_tissue
        self._density = density_table(self.reference.white)

    @classmethod
    def from_image(cls, image: np.ndarray, *, white: float = 240.0) -> StainNormalizer:
        """A normaliser whose reference is the stain of ``image`` (uint8 (H, W, 3) RGB).

        Raises ImageError when two stains cannot be told apart in it.
        """
        estimate = cls(StainReference(white=white)).estimate(image)
        if isinstance(estimate, str):
            raise ImageError(
                "a reference image in which haematoxylin and eosin can be told apart",
                got=FLAGS[estimate],
                where="stain reference",
                fix="Choose a patch full of H&E tissue.",
            )
        vectors = tuple(tuple(float(v) for v in row) for row in estimate.vectors)
        return cls(StainReference(vectors, tuple(float(v) for v in estimate.max_concentration), white))

    def estimate(self, image: np.ndarray) -> StainEstimate | str:
        """The stain of ``image`` (uint8 (H, W, 3) RGB), or the flag that says why there is none."""
        _check_image(image)
        pixels = np.ascontiguousarray(image.reshape(-1, 3).T)
        return self._estimate(self._density[pixels], pixels, _coarse_spread(image))

    def apply(self, image: np.ndarray) -> StainResult:
        """Normalise one patch, uint8 (H, W, 3) RGB; flagged patches come back as the same array, unchanged."""
        _check_image(image)
        # Channels first: sums, maxima and products over three long rows are several times faster than over many short.
        pixels = np.ascontiguousarray(image.reshape(-1, 3).T)
        density = self._density[pixels]
        found = self._estimate(density, pixels, _coarse_spread(image))
        if isinstance(found, str):
            return StainResult(image, found, None)
        scale = np.minimum(np.asarray(self.reference.max_concentration) / found.max_concentration, MAX_STRENGTHENING)
        recolour = np.asarray(self.reference.vectors).T @ np.diag(scale) @ np.linalg.pinv(found.vectors.T)
        light = np.float32(self.reference.white) * np.exp(-(recolour.astype(np.float32) @ density))
        recoloured = np.clip(light, 0, 255).astype(np.uint8)
        return StainResult(np.ascontiguousarray(recoloured.T).reshape(image.shape), None, found)

    def batch(self, images) -> list[StainResult]:
        """``apply`` over a sequence of patches, each by its own stain."""
        return [self.apply(image) for image in images]

    def _estimate(self, density: np.ndarray, pixels: np.ndarray, spread: float) -> StainEstimate | str:
        """``density`` float32 (3, N), ``pixels`` uint8 (3, N), ``spread`` in grey levels."""
        grey = pixels.mean(axis=1)
        if spread < 2.0:
            return "black" if grey.max() < 20 else "blank" if grey.min() > 215 else "one_colour"
        if float((pixels.max(axis=0) < 20).mean()) > 0.9:
            return "black"
        tissue = density.min(axis=0) > self.beta
        share = float(tissue.mean())
        if share < self.min_tissue or np.count_nonzero(tissue) < 3:
            return "blank" if share < 0.005 else "nearly_empty"
        dense = density[:, tissue]
        values, vectors = np.linalg.eigh(np.cov(dense))
        if values[1] < 1e-5:  # all tissue pixels lie on one line of optical density: a single dye
            return "one_colour"
        plane = vectors[:, [2, 1]]
        plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
        projected = plane.T.astype(np.float32) @ dense
        angles = np.arctan2(projected[1], projected[0])
        low, high = np.percentile(angles, [self.alpha, 100 - self.alpha])
        ends = np.array([plane @ (np.cos(a), np.sin(a)) for a in (low, high)])
        stains = ends[np.argsort(-ends[:, 0])]  # haematoxylin absorbs more red than eosin does
        if stains.min() < -0.25 or float(stains[0] @ stains[1]) > 0.9995:
            return "unstable_stain"
        concentration = np.linalg.pinv(stains.T).astype(np.float32) @ density
        maxima = np.percentile(concentration, 99, axis=1)
        if maxima.min() < 0.01:
            return "unstable_stain"
        return StainEstimate(stains, maxima, share)


def density_table(white: float) -> np.ndarray:
    """Optical density of each of the 256 grey levels, float32 (256,); +1 keeps the logarithm finite, as torchstain."""
    return -np.log((np.arange(256, dtype=np.float32) + 1) / np.float32(white))


def _coarse_spread(image: np.ndarray) -> float:
    """Standard deviation (grey levels) of the means of 4 x 4 px blocks, over the channel where it is largest.

    Camera noise averages out in a block and structure does not: under 2 levels there is none. The smallest value seen
    on real tiles at 96 px is 5.
    """
    coarse = np.asarray(Image.fromarray(image).reduce(4))
    return float(coarse.reshape(-1, 3).std(axis=0, dtype=np.float32).max())


def _check_image(image: np.ndarray) -> None:
    array = isinstance(image, np.ndarray)
    if not array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        got = f"{image.dtype} {image.shape}" if array else type(image).__name__
        raise ImageError(
            "a uint8 (H, W, 3) RGB array with pixels", got=got, where="stain", fix="Pass what read_image returns."
        )
