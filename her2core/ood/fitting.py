"""How do the patches of a run become its OODDetector? Network and manifests in; the fitted score out."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from her2core.data.dataset import to_tensor
from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.data.prepare import UNUSABLE, Prepare, Prepared
from her2core.ood.descriptor import describe, first_filters
from her2core.ood.score import OODDetector, learn

_BATCH = 32


def fit_ood(
    network: nn.Module,
    *,
    train: Manifest,
    val: Manifest,
    prepare: Prepare,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    device: str | torch.device = "cpu",
    limit: int = 4000,
    seed: int = 0,
) -> OODDetector:
    """Learn how the training patches look; the threshold comes from validation patches, which training never saw.

    Patches are read and prepared again, at most ``limit`` of either part, chosen by ``seed``; those that hold nothing
    to judge (data.prepare.UNUSABLE) are left out, as no finding is shown on them either. The network is moved to
    ``device`` and its mode is kept. Most of the time goes
    into reading and stain normalisation.

    Raises SplitError where too few patches are left, ManifestError or ImageError for one that cannot be read.
    """
    network = network.to(device)
    training = network.training
    network.eval()
    try:
        parts = [
            _descriptors(network, part, prepare, mean, std, device, _chosen(part, limit, seed)) for part in (train, val)
        ]
    finally:
        network.train(training)
    return learn(*parts)


def _chosen(part: Manifest, limit: int, seed: int) -> list[str]:
    """At most ``limit`` patch ids, windows of one image together so that it is decoded once."""
    frame = part.frame
    if len(frame) > limit:
        rows = np.random.default_rng(np.random.SeedSequence([seed, len(frame)])).permutation(len(frame))[:limit]
        frame = frame.iloc[np.sort(rows)]
    return list(frame.sort_values("path", kind="stable")["patch_id"])


@torch.no_grad()
def _descriptors(network, part: Manifest, prepare: Prepare, mean, std, device, ids: list[str]) -> np.ndarray:
    reader, found = PatchReader(part), []
    for start in range(0, len(ids), _BATCH):
        prepared: list[Prepared] = [prepare(reader(i)) for i in ids[start : start + _BATCH]]
        prepared = [p for p in prepared if not set(p.flags) & set(UNUSABLE)]
        if not prepared:
            continue
        batch = to_tensor(np.stack([p.image for p in prepared]), mean, std).to(device)
        features = None if first_filters(network) is not None else network.features(batch)
        found.append(describe(network, features, prepared, batch))
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)
