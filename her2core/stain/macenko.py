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

import cv2
import numpy as np
import numpy.typing as npt

from her2core.errors import ImageError
from her2core.io.images import RGBImage, check_rgb
from her2core.stain.estimation import Floats, StainEstimator, unmixing
from her2core.stain.reference import FLAGS, Flag, StainEstimate, StainReference, StainResult
from her2core.stain.scratch import scratch

#: How much stronger a stain may be made (our choice); tumour and stroma tiles of TCGA need 1.43 at most.
MAX_STRENGTHENING = 2.0
#: Added before rounding, so that grey levels are cut to whole ones; whole ones stay as they are.
_CUT = -0.49999


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
        self._estimator = StainEstimator(white=self.reference.white, beta=beta, alpha=alpha, min_tissue=min_tissue)

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
        planes = _planes(image)
        return self._estimator(self._estimator.densities(planes), planes, image)

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
        planes = _planes(image)
        density = self._estimator.densities(planes)
        found = self._estimator(density, planes, image)
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
        density = self._estimator.densities(_planes(image))
        return self._recoloured(density, found, image.shape)

    def _recoloured(self, density: Floats, found: StainEstimate, shape: tuple[int, ...]) -> RGBImage:
        """Pixels of this shape from densities float32 (3, N)."""
        light, recoloured = scratch("light", *density.shape), scratch("recoloured", *density.shape, dtype=np.uint8)
        np.matmul(recolouring(self.reference, found), density, out=light)
        cv2.exp(light, dst=light)
        # OpenCV rounds; grey levels are cut to whole ones, as in torchstain.
        cv2.convertScaleAbs(light, dst=recoloured, alpha=self.reference.white, beta=_CUT)
        return np.asarray(cv2.merge([row.reshape(shape[:2]) for row in recoloured]), np.uint8)

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


def recolouring(reference: StainReference, found: StainEstimate) -> npt.NDArray[np.float32]:
    """The matrix from optical densities of a patch to the negative densities of the normalised one.

    Parameters
    ----------
    reference : StainReference
        The stain to normalise to.
    found : StainEstimate
        The stain of the patch, or of its slide.

    Returns
    -------
    float32 array (3, 3)
        ``-R.T @ diag(s) @ pinv(V.T)`` in the notation of `StainNormalizer`.

    Examples
    --------
    >>> stain = StainReference()
    >>> own = StainEstimate(np.array(stain.vectors), np.array(stain.max_concentration), 1.0)
    >>> np.allclose(recolouring(stain, own) @ stain.vectors[0], np.negative(stain.vectors[0]), atol=1e-6)
    True
    """
    scale = np.minimum(np.asarray(reference.max_concentration) / found.max_concentration, MAX_STRENGTHENING)
    matrix = (np.asarray(reference.vectors).T * -scale) @ unmixing(found.vectors)
    return matrix.astype(np.float32)


def _planes(image: RGBImage) -> npt.NDArray[np.uint8]:
    """Red, green and blue of an image, uint8 (3, H, W)."""
    planes = scratch("planes", 3, *image.shape[:2], dtype=np.uint8)
    cv2.split(np.ascontiguousarray(image), mv=list(planes))
    return planes


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
