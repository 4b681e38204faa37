"""Embeddings of patches by a trained network, for the check of its embedding against the site."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.data.prepare import Prepare
from her2core.data.tensors import to_tensor
from her2core.networks.protocol import PatchNetwork

_BATCH = 32


@torch.no_grad()
def patch_embeddings(
    network: PatchNetwork,
    manifest: Manifest,
    rows: np.ndarray,
    *,
    prepare: Prepare,
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """Embeddings of some rows of a manifest.

    Parameters
    ----------
    network : PatchNetwork
        With its trained weights; its mode is restored.
    manifest : Manifest
    rows : ndarray of bool, shape (N,)
        Which rows.
    prepare : Prepare
        Crop, size and stain of the network's input.
    mean, std : sequence of float
        Scaling of pixels in 0..1, each (3,).
    device : str or torch.device, optional

    Returns
    -------
    ndarray, float32 (N, D)
        Row for row with the manifest; NaN for the other rows.

    Raises
    ------
    ImageError, ManifestError
        For a patch that cannot be read.
    """
    network = network.to(device)
    training = network.training
    network.eval()
    reader, ids = PatchReader(manifest), manifest.frame["patch_id"].to_numpy()
    wanted, found = np.flatnonzero(rows), []
    try:
        for start in range(0, len(wanted), _BATCH):
            images = np.stack([prepare(reader(ids[i])).image for i in wanted[start : start + _BATCH]])
            embedded = network.embed(network.features(to_tensor(images, mean, std).to(device)))
            found.append(embedded.float().cpu().numpy().reshape(len(images), -1))
    finally:
        network.train(training)
    result = np.full((len(ids), found[0].shape[1] if found else 1), np.nan, np.float32)
    if found:
        result[wanted] = np.concatenate(found)
    return result
