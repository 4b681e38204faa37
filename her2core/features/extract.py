"""Embeddings of a frozen network, computed once for each patch and stored."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from her2core.data.tensors import to_tensor
from her2core.errors import NetworkError
from her2core.features.store import FeatureStore, patch_keys
from her2core.networks.heads import fitted_last_layer
from her2core.networks.protocol import PatchNetwork

#: Seconds after which new embeddings are written, so that an interrupted extraction resumes.
_WRITE_EVERY = 60.0


@torch.inference_mode()
def frozen_features(
    network: PatchNetwork,
    images: np.ndarray,
    *,
    built: str,
    mean: Sequence[float],
    std: Sequence[float],
    cache: Path,
    device: str | torch.device = "cpu",
    batch: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Embeddings of patches, ``network.embed(network.features(patch))``.

    Parameters
    ----------
    network : PatchNetwork
        Is put into evaluation mode and moved to ``device``; its last layer plays no part.
    images : ndarray
        uint8 (N, px, px, 3) RGB, prepared.
    built : str
        Name and options that the network was built from: weights alone do not distinguish two ways of pooling.
    mean, std : sequence of float
        Scaling of pixels in 0..1, each (3,).
    cache : Path
        Folder of embeddings computed before, found by the content of pixels, weights and scaling.
    device : str or torch.device, default "cpu"
    batch : int, default 32
        Patches a forward pass.
    progress : callable, optional
        Called with (done, total) while embeddings are computed.

    Returns
    -------
    ndarray
        float32 (N, D).

    Raises
    ------
    NetworkError
        For a network that changes its embedding before the last layer.

    Examples
    --------
    >>> import tempfile
    >>> from her2core.networks.registry import build_network
    >>> images = np.zeros((2, 32, 32, 3), np.uint8)
    >>> scaling = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "cache": Path(tempfile.mkdtemp())}
    >>> frozen_features(build_network("resnet50", 3), images, built="resnet50", **scaling).shape
    (2, 2048)
    """
    network.eval().to(device)
    keys = [key.tobytes() for key in patch_keys(images)]
    store = FeatureStore(cache, network_fingerprint(network, built, mean, std))
    known = store.read()
    missing = list({key: i for i, key in enumerate(keys) if key not in known}.values())
    fresh: dict[bytes, np.ndarray] = {}
    written = time.monotonic()
    if missing:
        refuse_changed_embedding(network, to_tensor(images[missing[:2]], mean, std).to(device))
        if progress:
            progress(0, len(missing))
    for start in range(0, len(missing), batch):
        rows = missing[start : start + batch]
        vectors = embed_batch(network, images[rows], mean=mean, std=std, device=device)
        fresh |= {keys[i]: vector for i, vector in zip(rows, vectors, strict=True)}
        last = start + batch >= len(missing)
        if last or time.monotonic() - written >= _WRITE_EVERY:
            known |= fresh
            store.write(known)
            fresh, written = {}, time.monotonic()
        if progress:
            progress(min(start + batch, len(missing)), len(missing))
    return np.stack([known[key] for key in keys])


@torch.inference_mode()
def embed_batch(
    network: PatchNetwork,
    images: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """Embeddings of one batch in one forward pass.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode, on ``device``.
    images : ndarray
        uint8 (N, px, px, 3) RGB, prepared.
    mean, std : sequence of float
        Scaling of pixels in 0..1, each (3,).
    device : str or torch.device, default "cpu"

    Returns
    -------
    ndarray
        float32 (N, D).

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("timm:test_resnet", 3).eval()
    >>> half = (0.5, 0.5, 0.5)
    >>> embed_batch(network, np.zeros((2, 32, 32, 3), np.uint8), mean=half, std=half).shape
    (2, 96)
    """
    tensor = to_tensor(images, mean, std).to(device, memory_format=torch.channels_last)
    vectors: np.ndarray = network.embed(network.features(tensor)).float().cpu().numpy()
    return vectors


@torch.inference_mode()
def refuse_changed_embedding(network: PatchNetwork, few: torch.Tensor) -> None:
    """Refuse a network that changes its embedding before the last layer.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode.
    few : Tensor
        float32 (N, 3, px, px): network inputs.

    Raises
    ------
    NetworkError
        For such a network.
    """
    features = network.features(few)
    given, expected = fitted_last_layer(network)(network.embed(features)), network.head(features)
    if not torch.allclose(given, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max() + 1)):
        raise NetworkError(
            "a network whose last layer takes its embedding as it is",
            got="one that changes it in between",
            where="frozen features",
            fix="Train all layers of this network, or choose another one.",
        )


def network_fingerprint(network: PatchNetwork, built: str, mean: Sequence[float], std: Sequence[float]) -> str:
    """Hash what decides an embedding besides the pixels.

    Parameters
    ----------
    network : PatchNetwork
        Weights, buffers and layers count, but for the last layer; and the version of timm.
    built : str
        Name and options that the network was built from.
    mean, std : sequence of float
        Scaling of pixels in 0..1, each (3,).

    Returns
    -------
    str
        SHA-256, hexadecimal.

    Examples
    --------
    >>> import torch
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("timm:test_resnet", 3)
    >>> before = network_fingerprint(network, "test_resnet", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    >>> before == network_fingerprint(network, "test_resnet", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    True
    """
    last = f"{network.last_layer}."
    described = json.dumps([built, metadata.version("timm"), list(mean), list(std)])
    digest = hashlib.sha256(described.encode())
    for name, module in network.named_modules():
        if name != network.last_layer and not name.startswith(last) and not list(module.children()):
            digest.update(f"{name}: {module}\n".encode())
    for name, tensor in sorted({**network.state_dict(), **dict(network.named_buffers())}.items()):
        if not name.startswith(last):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
