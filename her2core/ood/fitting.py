"""Out-of-distribution detectors fitted to the patches of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.data.prepare import Prepare, Prepared
from her2core.data.tensors import to_tensor
from her2core.networks.protocol import PatchNetwork
from her2core.ood.descriptor import first_filters, patch_descriptors
from her2core.ood.score import OODDetector, fit_detector

_BATCH = 32


def fit_ood(
    network: PatchNetwork,
    *,
    train: Manifest,
    val: Manifest,
    prepare: Prepare,
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device = "cpu",
    limit: int = 4000,
    seed: int = 0,
) -> OODDetector:
    """Fit a detector to training patches; its threshold comes from validation patches, which training never used.

    Patches are read and prepared again, which takes most of the time. Those without assessable tissue
    (data.prepare.UNUSABLE) are left out, because no prediction is shown for them either.

    Parameters
    ----------
    network : PatchNetwork
        Is moved to ``device``; its mode is kept.
    train, val : Manifest
        The two parts of the split.
    prepare : Prepare
        As for serving.
    mean, std : sequence of float
        Scaling of pixels in 0..1, each (3,).
    device : str or torch.device, default "cpu"
    limit : int, default 4000
        Largest number of patches of either part.
    seed : int, default 0
        Decides which patches, where there are more.

    Returns
    -------
    OODDetector

    Raises
    ------
    SplitError
        If too few patches are left.
    ManifestError, ImageError
        For a patch that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from her2core import import_dataset
    >>> from her2core.data.tensors import IMAGENET_MEAN, IMAGENET_STD
    >>> from her2core.networks.registry import build_network
    >>> cohort = import_dataset("demo", tempfile.mkdtemp(), patients=6, patches_per_patient=1, px=64, workers=1)
    >>> ids = list(cohort.frame["patch_id"])
    >>> detector = fit_ood(
    ...     build_network("resnet50", 3),
    ...     train=cohort.subset(ids[:4]),
    ...     val=cohort.subset(ids[4:]),
    ...     prepare=Prepare(64),
    ...     mean=IMAGENET_MEAN,
    ...     std=IMAGENET_STD,
    ... )
    >>> detector.patches, detector.validation_patches
    (4, 2)
    """
    network = network.to(device)
    training = network.training
    network.eval()
    try:
        parts = [
            _descriptors(network, part, prepare, mean, std, device, _sample(part, limit, seed)) for part in (train, val)
        ]
    finally:
        network.train(training)
    return fit_detector(*parts)


def _sample(part: Manifest, limit: int, seed: int) -> list[str]:
    """At most ``limit`` patch ids, windows of one image together so that it is decoded once."""
    frame = part.frame
    if len(frame) > limit:
        rows = np.random.default_rng(np.random.SeedSequence([seed, len(frame)])).permutation(len(frame))[:limit]
        frame = frame.iloc[np.sort(rows)]
    return list(frame.sort_values("path", kind="stable")["patch_id"])


@torch.no_grad()
def _descriptors(
    network: PatchNetwork,
    part: Manifest,
    prepare: Prepare,
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device,
    ids: list[str],
) -> np.ndarray:
    reader, found = PatchReader(part), []
    for start in range(0, len(ids), _BATCH):
        prepared: list[Prepared] = [prepare(reader(i)) for i in ids[start : start + _BATCH]]
        prepared = [p for p in prepared if p.usable]
        if not prepared:
            continue
        batch = to_tensor(np.stack([p.image for p in prepared]), mean, std).to(device)
        features = None if first_filters(network) is not None else network.features(batch)
        found.append(patch_descriptors(network, features, prepared, batch))
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)
