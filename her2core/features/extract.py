"""What does a frozen network make of these patches? Prepared patches in; one vector each, computed once, out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import nn

from her2core.data.dataset import to_tensor
from her2core.errors import NetworkError
from her2core.features.store import FeatureStore, patch_keys
from her2core.networks.heads import last_layer

#: Seconds after which new vectors are kept, so that a killed extraction goes on and does not begin again.
_KEEP_EVERY = 60.0


@torch.inference_mode()
def frozen_features(
    network: nn.Module,
    images: np.ndarray,
    *,
    built: str,
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
    built : name and options that the network was built from: the weights alone do not tell a pooling, say.
    mean, std : of pixels in 0..1, each (3,).
    cache : folder of vectors computed before; they are found by the content of pixels, weights and scaling.
    progress : called as (done, of) while vectors are computed.

    Raises NetworkError for a network whose last layer is given something else than ``embed`` gives.
    """
    network.eval().to(device)
    keys = [key.tobytes() for key in patch_keys(images)]
    store = FeatureStore(cache, _fingerprint(network, built, mean, std))
    known = store.read()
    missing = list({key: i for i, key in enumerate(keys) if key not in known}.values())
    fresh: dict[bytes, np.ndarray] = {}
    kept = time.monotonic()
    if missing:
        _refuse_other_seam(network, to_tensor(images[missing[:2]], mean, std).to(device))
        if progress:
            progress(0, len(missing))
    for start in range(0, len(missing), batch):
        rows = missing[start : start + batch]
        tensor = to_tensor(images[rows], mean, std).to(device, memory_format=torch.channels_last)
        vectors = network.embed(network.features(tensor)).float().cpu().numpy()
        fresh |= {keys[i]: vector for i, vector in zip(rows, vectors, strict=True)}
        last = start + batch >= len(missing)
        if last or time.monotonic() - kept >= _KEEP_EVERY:
            known |= fresh
            store.write(known)
            fresh, kept = {}, time.monotonic()
        if progress:
            progress(min(start + batch, len(missing)), len(missing))
    return np.stack([known[key] for key in keys])


def _refuse_other_seam(network: nn.Module, few: torch.Tensor) -> None:
    features = network.features(few)
    given, expected = last_layer(network)(network.embed(features)), network.head(features)
    if not torch.allclose(given, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max() + 1)):
        raise NetworkError(
            "a network whose last layer takes its embedding as it is",
            got="one that changes it in between",
            where="frozen features",
            fix="Train this network whole, or take another.",
        )


def _fingerprint(network: nn.Module, built: str, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """SHA-256 (hex) of what decides a vector beside the pixels: how the network is built and by which timm, its
    weights and buffers, the scaling. The last layer is left out.
    """
    last = f"{network.last_layer}."
    told = json.dumps([built, metadata.version("timm"), list(mean), list(std)])
    digest = hashlib.sha256(told.encode())
    for name, module in network.named_modules():
        if name != network.last_layer and not name.startswith(last) and not list(module.children()):
            digest.update(f"{name}: {module}\n".encode())
    for name, tensor in sorted({**network.state_dict(), **dict(network.named_buffers())}.items()):
        if not name.startswith(last):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
