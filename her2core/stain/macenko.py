"""Macenko stain normalisation.

Macenko et al. 2009 (doi 10.1109/ISBI.2009.5193250): optical density by Beer-Lambert, the plane of the two strongest
directions, the extreme angles in it as haematoxylin and eosin, concentrations rescaled to a reference.

Deliberate differences from the published code and from torchstain:

- Eigenvectors are turned towards positive optical density before angles are taken; their sign is arbitrary.
- A patch in which two stains cannot be told apart is returned unchanged with a flag, where torchstain raises or returns
  a dark image. Two tests decide it beside the plausibility of the vectors. Concentrations of dye cannot be negative:
  where many tissue pixels have negative ones, a stain was left out of the estimate (Macenko's threshold of 0.15 in all
  three channels leaves out magenta eosin, which hardly absorbs blue) and would come back white. And the stains must
  differ between places, not only between the noise of neighbouring pixels.
- No stain is strengthened more than MAX_STRENGTHENING times, where faint tissue (fat, mucus) would come back far darker
  than it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from her2core.errors import ImageError
from her2core.io.images import RGBImage, check_rgb
from her2core.stain.density import block_means, density_table, tissue_share
from her2core.stain.reference import FLAGS, Flag, StainEstimate, StainReference, StainResult

# Every threshold is our choice. "Ordinary": 5,700 windows of TCGA, her2st, BreCaHAD and BreastHistoNet and synthetic
# patches at 112 px; tests/test_stain_hues.py draws what lies beyond.
#: How much stronger a stain may be made; tumour and stroma tiles of TCGA need 1.43 at most.
MAX_STRENGTHENING = 2.0
#: Standard deviation of block means in grey levels under which a patch has no structure; real tiles have 5 and more.
MIN_STRUCTURE = 2.0
#: Tissue pixels with less than NEGATIVE times the maximum concentration of a stain, and the share of them above which
#: the estimate does not describe the tissue: under 0.07 in ordinary tissue, above 0.4 where eosin turns white.
NEGATIVE, MAX_NEGATIVE_SHARE = -0.25, 0.1
#: Degrees between the 1st and 99th percentile of the angles of block means; one dye with noise has up to 2, ordinary
#: tissue 3.4 and more. Not asked of fewer than MIN_BLOCKS tissue blocks.
MIN_ANGLE, MIN_BLOCKS = 3.0, 20
#: Tissue for the first test: mean optical density of the three channels.
_TISSUE = 0.1
#: Blocks along a side for the second test: 4 px each at 112 px.
_BLOCKS = 28

_Floats = npt.NDArray[np.floating[Any]]


class StainNormalizer:
    """Macenko normalisation of patches to one reference stain.

    Parameters
    ----------
    reference : StainReference, optional
        The stain that patches are normalised to; the numbers in common use when left out.
    beta : float, default 0.15
        Optical density that a pixel must have in all three channels to enter the estimate (Macenko et al.: 0.15).
    alpha : float, default 1.0
        Percentile of the angles taken as the extreme directions, 0 to 50 (Macenko et al.: 1).
    min_tissue : float, default 0.05
        Share of such pixels, 0 to 1, under which the stain is not estimated (our choice).

    Notes
    -----
    An instance keeps no state besides its settings, so threads may share it. The stain is estimated for each patch on
    its own. With optical density ``D`` (3, N), estimated stains ``V`` (2, 3) and reference stains ``R`` (2, 3), the
    normalised patch is ``white * exp(-R.T @ diag(s) @ pinv(V.T) @ D)``, where ``s`` is the ratio of the maximum
    concentrations, at most MAX_STRENGTHENING.

    References
    ----------
    Macenko et al. 2009, A method for normalizing histology slides for quantitative analysis, ISBI 2009, 1107-1110,
    doi 10.1109/ISBI.2009.5193250.

    Examples
    --------
    Blue-violet nuclei on a pink ground, stained more weakly than the reference:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> nuclei = np.kron(rng.random((16, 16)) < 0.3, np.ones((8, 8)))[..., None]
    >>> density = nuclei * (0.56, 0.58, 0.25) + (1 - 0.7 * nuclei) * (0.17, 0.5, 0.35)
    >>> patch = np.clip(240 * np.exp(-density) + rng.normal(0, 2, density.shape), 0, 255).astype(np.uint8)
    >>> result = StainNormalizer().apply(patch)
    >>> result.flag is None, result.image.shape
    (True, (128, 128, 3))
    >>> patch.mean(axis=(0, 1)).round().tolist(), result.image.mean(axis=(0, 1)).round().tolist()
    ([183.0, 137.0, 168.0], [161.0, 96.0, 131.0])

    A patch that cannot be normalised is returned as it is, with the reason:

    >>> StainNormalizer().apply(np.full((64, 64, 3), 245, np.uint8)).flag
    'blank'
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
    def from_image(cls, image: RGBImage, *, white: float = 240.0) -> StainNormalizer:
        """A normaliser whose reference is the stain of one image.

        Parameters
        ----------
        image : uint8 array (H, W, 3)
            RGB patch full of H&E tissue.
        white : float, default 240.0
            Grey level of no absorption in it, 0-255.

        Returns
        -------
        StainNormalizer
            With the default thresholds.

        Raises
        ------
        ImageError
            It is no such array, or haematoxylin and eosin cannot be told apart in it.

        Examples
        --------
        >>> StainNormalizer.from_image(np.full((32, 32, 3), 150, np.uint8))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        her2core.errors.ImageError: Expected a reference image with haematoxylin and eosin, but got one flagged ...
        """
        estimate = cls(StainReference(white=white)).estimate(image)
        if isinstance(estimate, str):
            raise ImageError(
                "a reference image with haematoxylin and eosin",
                got=f"one flagged '{estimate}' ({FLAGS[estimate]})",
                where="stain reference",
                fix="Choose a patch full of H&E tissue.",
            )
        plain = {"vectors": estimate.vectors, "max_concentration": estimate.max_concentration, "white": white}
        return cls(StainReference.from_dict(plain))

    def estimate(self, image: RGBImage) -> StainEstimate | Flag:
        """The stain of one patch.

        Parameters
        ----------
        image : uint8 array (H, W, 3)
            RGB patch.

        Returns
        -------
        StainEstimate or str
            The stain, or the key of ``her2core.stain.reference.FLAGS`` that tells why there is none.

        Raises
        ------
        ImageError
            It is no such array.

        Examples
        --------
        >>> StainNormalizer().estimate(np.zeros((32, 32, 3), np.uint8))
        'black'
        """
        check_rgb(image, where="stain")
        pixels = np.ascontiguousarray(image.reshape(-1, 3).T)
        return self._estimate(self._density[pixels], pixels, image)

    def apply(self, image: RGBImage) -> StainResult:
        """Normalise one patch.

        Parameters
        ----------
        image : uint8 array (H, W, 3)
            RGB patch; it is not changed.

        Returns
        -------
        StainResult
            The normalised patch; where it is flagged, the very array that was given.

        Raises
        ------
        ImageError
            It is no such array.

        Examples
        --------
        >>> glass = np.full((32, 32, 3), 250, np.uint8)
        >>> StainNormalizer().apply(glass).image is glass
        True
        """
        check_rgb(image, where="stain")
        # Channels first: sums, maxima and products over three long rows are several times faster than over many short.
        pixels = np.ascontiguousarray(image.reshape(-1, 3).T)
        density = self._density[pixels]
        found = self._estimate(density, pixels, image)
        if isinstance(found, str):
            return StainResult(image, found, None)
        return StainResult(self._recoloured(density, found, image.shape), None, found)

    def recolour(self, image: RGBImage, found: StainEstimate) -> RGBImage:
        """Normalise a patch by a stain that was estimated elsewhere, for example on its whole slide.

        Parameters
        ----------
        image : uint8 array (H, W, 3)
            RGB patch; it is not changed.
        found : StainEstimate
            From ``estimate``.

        Returns
        -------
        uint8 array (H, W, 3)

        Raises
        ------
        ImageError
            It is no such array.

        Examples
        --------
        >>> stain = StainReference()
        >>> own = StainEstimate(np.array(stain.vectors), np.array(stain.max_concentration), 1.0)
        >>> patch = np.full((2, 2, 3), (136, 89, 130), np.uint8)
        >>> np.abs(StainNormalizer().recolour(patch, own).astype(int) - patch).max() <= 1
        np.True_
        """
        check_rgb(image, where="stain")
        pixels = np.ascontiguousarray(image.reshape(-1, 3).T)
        return self._recoloured(self._density[pixels], found, image.shape)

    def _recoloured(self, density: _Floats, found: StainEstimate, shape: tuple[int, ...]) -> RGBImage:
        """Pixels of this shape from densities float32 (3, N)."""
        scale = np.minimum(np.asarray(self.reference.max_concentration) / found.max_concentration, MAX_STRENGTHENING)
        recolour = np.asarray(self.reference.vectors).T @ np.diag(scale) @ np.linalg.pinv(found.vectors.T)
        light = np.float32(self.reference.white) * np.exp(-(recolour.astype(np.float32) @ density))
        recoloured = np.clip(light, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(recoloured.T).reshape(shape)

    def batch(self, images: Iterable[RGBImage]) -> list[StainResult]:
        """Normalise several patches, each by its own stain.

        Parameters
        ----------
        images : iterable of uint8 arrays (H, W, 3)
            RGB patches; sizes may differ.

        Returns
        -------
        list of StainResult
            In the order of ``images``.

        Examples
        --------
        >>> [r.flag for r in StainNormalizer().batch([np.full((9, 9, 3), v, np.uint8) for v in (0, 120, 250)])]
        ['black', 'one_colour', 'blank']
        """
        return [self.apply(image) for image in images]

    def _estimate(self, density: _Floats, pixels: npt.NDArray[np.uint8], image: RGBImage) -> StainEstimate | Flag:
        """``density`` float32 (3, N) and ``pixels`` uint8 (3, N) of ``image``."""
        grey = pixels.mean(axis=1)
        if block_means(image, 4).reshape(-1, 3).std(axis=0, dtype=np.float32).max() < MIN_STRUCTURE:
            return "black" if grey.max() < 20 else "blank" if grey.min() > 215 else "one_colour"
        if float((pixels.max(axis=0) < 20).mean()) > 0.9:
            return "black"
        dense = density.min(axis=0) > self.beta
        share = float(dense.mean())
        if share < self.min_tissue or np.count_nonzero(dense) < 3:
            tissue = tissue_share(image)  # pale tissue is tissue
            return "blank" if tissue < 0.005 else "nearly_empty" if tissue < self.min_tissue else "weak_stain"
        stains = self._directions(density[:, dense])
        if stains is None:
            return "unstable_stain"
        concentration = np.linalg.pinv(stains.T).astype(np.float32) @ density
        maxima = np.percentile(concentration, 99, axis=1)
        if maxima.min() < 0.01 or _leaves_out_tissue(concentration / maxima[:, None], density):
            return "unstable_stain"
        if self._is_noise(stains, image):
            return "unstable_stain"
        return StainEstimate(stains, maxima, share)

    def _directions(self, dense: _Floats) -> npt.NDArray[np.float64] | None:
        """Stain vectors (2, 3), haematoxylin first, of the densities (3, N); None where they are implausible."""
        values, vectors = np.linalg.eigh(np.cov(dense))
        if values[1] < 1e-5:  # all pixels lie on one line of optical density: a single dye
            return None
        plane = vectors[:, [2, 1]]
        plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
        projected = plane.T.astype(np.float32) @ dense
        angles = np.arctan2(projected[1], projected[0])
        low, high = np.percentile(angles, [self.alpha, 100 - self.alpha])
        ends = np.array([plane @ (np.cos(a), np.sin(a)) for a in (low, high)])
        stains: npt.NDArray[np.float64] = ends[np.argsort(-ends[:, 0])]  # haematoxylin absorbs more red than eosin
        return None if stains.min() < -0.25 or float(stains[0] @ stains[1]) > 0.9995 else stains

    def _is_noise(self, stains: npt.NDArray[np.float64], image: RGBImage) -> bool:
        """Whether the two stains differ between neighbouring pixels only: angles of block means hardly spread."""
        means = block_means(image, max(4, min(image.shape[:2]) // _BLOCKS)).reshape(-1, 3)
        density = self._density[means]
        density = density[density.min(axis=1) > self.beta]
        if len(density) < MIN_BLOCKS:
            return False
        across = stains[1] - (stains[1] @ stains[0]) * stains[0]
        angles = np.arctan2(density @ (across / np.linalg.norm(across)), density @ stains[0])
        low, high = np.percentile(np.degrees(angles), [1, 99])
        return bool(high - low < MIN_ANGLE)


def _leaves_out_tissue(relative: _Floats, density: _Floats) -> bool:
    """Whether many tissue pixels have negative concentrations, (2, N) relative to the maxima; ``density`` (3, N)."""
    tissue = density.mean(axis=0) > _TISSUE
    negative = (relative.min(axis=0) < NEGATIVE) & tissue
    return bool(np.count_nonzero(negative) > MAX_NEGATIVE_SHARE * np.count_nonzero(tissue))


def normalize_macenko(image: RGBImage, reference: StainReference) -> StainResult:
    """Macenko normalisation of one patch with the default thresholds, as the registry of stain methods lists it.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB patch.
    reference : StainReference
        The stain to normalise to.

    Returns
    -------
    StainResult
        As ``StainNormalizer.apply``.

    Examples
    --------
    >>> normalize_macenko(np.full((9, 9, 3), 250, np.uint8), StainReference()).flag
    'blank'
    """
    return StainNormalizer(reference).apply(image)
