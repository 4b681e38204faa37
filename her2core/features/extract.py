"""What does a frozen network make of these patches? Prepared patches in; one vector each, computed once, out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from her2core.data.dataset import to_tensor
from her2core.features.store import FeatureStore, patch_keys

#: Vectors are kept each time so many are new, so that a killed extraction goes on and does not begin again.
_KEEP_EVERY = 512


@torch.inference_mode()
def frozen_features(
    network: nn.Module,
    images: np.ndarray,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    cache: Path,
    device: str | torch.device = "cpu",
    batch: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """``network.embed(network.features(patch))`` of every patch, float32 (N, C).

    Parameters
    ----------
    network : any of networks.registry; it is put into evaluation mode, and its last layer plays no part.
    images : uint8 (N, px, px, 3) RGB, prepared.
    mean, std : of pixels in 0..1, each (3,).
    cache : folder of vectors computed before; they are found by the content of pixels, weights and scaling.
    progress : called as (done, of) while vectors are computed.
    """
    network.eval().to(device)
    keys = [key.tobytes() for key in patch_keys(images)]
    store = FeatureStore(cache, _fingerprint(network, mean, std))
    known = store.read()
    missing = list({key: i for i, key in enumerate(keys) if key not in known}.values())
    fresh: dict[bytes, np.ndarray] = {}
    for start in range(0, len(missing), batch):
        rows = missing[start : start + batch]
        tensor = to_tensor(images[rows], mean, std).to(device, memory_format=torch.channels_last)
        vectors = network.embed(network.features(tensor)).float().cpu().numpy()
        fresh |= {keys[i]: vector for i, vector in zip(rows, vectors, strict=True)}
        last = start + batch >= len(missing)
        if last or len(fresh) >= _KEEP_EVERY:
            store.add(fresh)
            known |= fresh
            fresh = {}
        if progress:
            progress(min(start + batch, len(missing)), len(missing))
    return np.stack([known[key] for key in keys])


def _fingerprint(network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """SHA-256 (hex) of what decides a vector beside the pixels: how the network is built, its weights, the scaling.

    The last layer is left out. The printed form of the modules tells what the weights alone do not, such as a stride.
    """
    last = f"{network.last_layer}."
    digest = hashlib.sha256(json.dumps([list(mean), list(std), getattr(network, "pool", "")]).encode())
    for name, module in network.named_modules():
        if name != network.last_layer and not name.startswith(last) and not list(module.children()):
            digest.update(f"{name}: {module}\n".encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(last):
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
                          if tensor.ndim else str(tensor.item()).encode())  # fmt: skip
    return digest.hexdigest()
