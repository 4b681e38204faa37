"""Out-of-distribution score of a descriptor: local outlier factor in whitened space.

Local outlier factor (Breunig et al. 2000, doi 10.1145/342009.335388): the mean distance of a patch to its ten nearest
training patches, over the mean of the same distance of those ten. Plain distances (Mahalanobis: Lee et al. 2018, arXiv
1807.03888; nearest neighbours: Sun et al. 2022, arXiv 2204.06507) do worse where training data are heterogeneous: next
to tiles of fat and haemorrhage, which are far from each other and from everything else, few distances seem large
(benchmarks/results/ood.json, tissue12).

Deliberate differences from the paper: the means of the distances themselves replace its reachability densities, and a
distance counts as at least a tenth of the median one, so that near-duplicates do not make everything else an outlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from her2core.errors import SplitError, WeightsError
from her2core.io.files import sha256_file, write_tensors
from her2core.networks.weight_files import read_weights
from her2core.runs.files import RUN_LIMITS

METHOD = "local outlier factor of first-layer and stain statistics (10 nearest training patches)"
#: Share of validation patches that may score higher than the threshold.
ALLOWED = 0.01
#: Neighbours; share of the variance kept, and largest number of directions kept. Our choice, see benchmarks/ood.py.
_NEIGHBOURS, _VARIANCE, _DIRECTIONS = 10, 0.998, 96
_ARRAYS = ("mean", "basis", "reference", "spacing")
_NUMBERS = ("threshold", "patches", "validation_patches")
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class OODDetector:
    """A fitted detector: D numbers a descriptor, K directions, n training patches; arrays are float32.

    Attributes
    ----------
    mean : ndarray
        (D,), of the training descriptors.
    basis : ndarray
        (D, K); a descriptor minus ``mean``, times ``basis``, is whitened.
    reference : ndarray
        (n, K), the whitened training patches.
    spacing : ndarray
        (n,), the mean distance of each to its nearest others.
    threshold : float
        The score that at most 1 % of the validation patches exceed.
    patches, validation_patches : int
        Their numbers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> detector = fit_detector(rng.normal(size=(200, 4)), rng.normal(size=(100, 4)))
    >>> detector.is_out_of_distribution(np.array([[0.1, 0, 0, 0], [9, 9, 9, 9]])).tolist()
    [False, True]
    """

    mean: np.ndarray
    basis: np.ndarray
    reference: np.ndarray
    spacing: np.ndarray
    threshold: float
    patches: int
    validation_patches: int

    def __repr__(self) -> str:
        return f"OODDetector(threshold={self.threshold:.3g}, patches={self.patches}, descriptors={len(self.mean)})"

    def score(self, descriptors: np.ndarray) -> np.ndarray:
        """Out-of-distribution scores.

        Parameters
        ----------
        descriptors : ndarray
            Float (N, D).

        Returns
        -------
        ndarray
            float64 (N,), larger for less similar patches; infinity for a row that is not finite.

        Raises
        ------
        WeightsError
            For descriptors of another width: they come from another network.
        """
        if descriptors.ndim != 2 or descriptors.shape[1] != len(self.mean):
            raise WeightsError(
                f"descriptors of {len(self.mean)} numbers",
                got=f"shape {descriptors.shape}",
                where="out-of-distribution detector",
                fix="Use the detector of the run whose network computed them.",
            )
        scores = np.full(len(descriptors), np.inf)
        good = np.flatnonzero(np.isfinite(descriptors).all(axis=1))
        for start in range(0, len(good), _CHUNK):
            rows = good[start : start + _CHUNK]
            whitened = (descriptors[rows].astype(np.float64) - self.mean) @ self.basis.astype(np.float64)
            near, nearest = _nearest(_distances(whitened, self.reference), min(_NEIGHBOURS, self.patches))
            scores[rows] = near.mean(axis=1) / self.spacing[nearest].mean(axis=1, dtype=np.float64)
        return scores

    def is_out_of_distribution(self, descriptors: np.ndarray) -> np.ndarray:
        """Whether each score exceeds the threshold: float (N, D) -> bool (N,)."""
        return self.score(descriptors) > self.threshold

    def facts(self) -> dict[str, Any]:
        """Entry of the model card, JSON-ready, without the file's SHA-256, which `save` returns."""
        return {
            "method": METHOD,
            "threshold": self.threshold,
            "training_patches": self.patches,
            "validation_patches": self.validation_patches,
        }

    def save(self, path: Path) -> str:
        """Write the detector as safetensors.

        Parameters
        ----------
        path : Path
            File to write.

        Returns
        -------
        str
            SHA-256 (hex) of the file.
        """
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(getattr(self, name), dtype=np.float32) for name in _ARRAYS}
        tensors |= {"threshold": np.array([self.threshold], np.float32)}
        tensors |= {name: np.array([getattr(self, name)], np.int64) for name in _NUMBERS[1:]}
        write_tensors(path, lambda temporary: save_file(tensors, temporary))
        return sha256_file(path)


def fit_detector(train: np.ndarray, val: np.ndarray) -> OODDetector:
    """Fit a detector to descriptors; identical training descriptors count once.

    Parameters
    ----------
    train, val : ndarray
        Descriptors of training and validation patches, float (n, D) and (m, D).

    Returns
    -------
    OODDetector

    Raises
    ------
    SplitError
        With fewer than three different training patches, or no validation patch.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> fit_detector(rng.normal(size=(50, 4)), rng.normal(size=(20, 4))).patches
    50
    """
    train = np.unique(train, axis=0).astype(np.float64)
    if len(train) < 3 or len(val) < 1:
        raise SplitError(
            "at least three different training patches and one validation patch with assessable tissue",
            got=f"{len(train)} and {len(val)}",
            where="out-of-distribution detector",
            fix="Add patches; blank ones and copies do not count.",
        )
    mean, spread = train.mean(axis=0), train.std(axis=0)
    # A filter without a response must not count as much as the others for its rounding errors.
    spread = np.maximum(spread, 1e-3 * np.median(spread[spread > 0]))
    variance, directions = np.linalg.eigh(np.cov(((train - mean) / spread).T))
    variance, directions = np.maximum(variance[::-1], 0), directions[:, ::-1]
    share = np.cumsum(variance) / variance.sum()
    # n patches span n - 1 directions, and the last few of these are noise.
    keep = min(int(np.searchsorted(share, _VARIANCE)) + 1, _DIRECTIONS, max(1, len(train) // 2))
    basis = (directions[:, :keep] / np.sqrt(variance[:keep]) / spread[:, None]).astype(np.float32)
    mean = mean.astype(np.float32)
    reference = ((train - mean) @ basis.astype(np.float64)).astype(np.float32)
    neighbours = min(_NEIGHBOURS, len(train) - 1)
    spacing = np.empty(len(train))
    for start in range(0, len(train), _CHUNK):
        distances = _distances(reference[start : start + _CHUNK].astype(np.float64), reference)
        distances[np.arange(len(distances)), start + np.arange(len(distances))] = np.inf
        spacing[start : start + _CHUNK] = _nearest(distances, neighbours)[0].mean(axis=1)
    spacing = np.maximum(spacing, 0.1 * np.median(spacing))
    fitted = OODDetector(mean, basis, reference, spacing.astype(np.float32), np.inf, len(train), len(val))
    threshold = np.quantile(fitted.score(val), 1 - ALLOWED, method="higher")
    # The next float32 above, so that the file holds exactly the number that is compared.
    threshold = float(np.nextafter(np.float32(threshold), np.float32(np.inf)))
    return OODDetector(mean, basis, reference, fitted.spacing, threshold, len(train), len(val))


def read_ood_detector(path: Path, *, sha256: str | None = None) -> OODDetector:
    """Read what `OODDetector.save` wrote.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str, optional
        Expected SHA-256 (hex) of the file.

    Returns
    -------
    OODDetector

    Raises
    ------
    WeightsError
        If the file is missing, pickled, no safetensors file, different from ``sha256``, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> rng = np.random.default_rng(0)
    >>> path = Path(tempfile.mkdtemp()) / "ood.safetensors"
    >>> sha256 = fit_detector(rng.normal(size=(50, 4)), rng.normal(size=(20, 4))).save(path)
    >>> read_ood_detector(path, sha256=sha256).patches
    50
    """
    stored = read_weights(Path(path), sha256=sha256, limit=RUN_LIMITS["ood.safetensors"])
    tensors = {name: tensor.numpy() for name, tensor in stored.items()}
    problem = _problem(tensors)
    if problem:
        raise WeightsError(
            "an out-of-distribution detector of a finished run",
            got=problem,
            where=path,
            fix="Copy the run again from its source.",
        )
    threshold, patches, validation_patches = (tensors[name].item() for name in _NUMBERS)
    arrays = {name: tensors[name] for name in _ARRAYS}
    return OODDetector(
        **arrays, threshold=float(threshold), patches=int(patches), validation_patches=int(validation_patches)
    )


def _problem(tensors: dict[str, np.ndarray]) -> str | None:
    if set(tensors) != {*_ARRAYS, *_NUMBERS}:
        return f"tensors named {', '.join(sorted(tensors)[:6])}"
    if any(tensors[name].shape != (1,) for name in _NUMBERS):
        return "a number of a wrong shape"
    width, directions, n = len(tensors["mean"]), tensors["basis"].shape[-1], int(tensors["patches"][0])
    shapes = {"mean": (width,), "basis": (width, directions), "reference": (n, directions), "spacing": (n,)}
    wrong = [name for name, shape in shapes.items() if tensors[name].shape != shape]
    if wrong:
        return f"{wrong[0]} of shape {tensors[wrong[0]].shape}"
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()) or tensors["spacing"].min() <= 0:
        return "numbers that are not finite, or spacings that are not positive"
    return None


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances, float64 (len(a), len(b))."""
    b = b.astype(np.float64)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _nearest(distances: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` smallest of each row, and their columns."""
    where = np.argpartition(distances, count - 1, axis=1)[:, :count]
    return np.take_along_axis(distances, where, axis=1), where
