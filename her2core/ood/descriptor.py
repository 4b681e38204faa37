"""Descriptors of patches for out-of-distribution detection: first-layer responses and stain statistics.

The last features separate what a network was trained to separate and hardly respond to anything else: with them, about
half of the real tiles pass as the synthetic training data of the demo run, whose network was initialised from one
trained on real tissue. The first layer still responds to edges, grain, sharpness and colour, so a patch is described by

- the responses of the network's own first filters to the normalised patch, in both directions: each response is
  max-pooled over 3 x 3 places, and its mean and the logarithm of its standard deviation over the patch are kept;
- the stain before normalisation: optical density a channel (mean, standard deviation, five percentiles), correlations
  between channels, and energy and sparseness of the detail at four scales.

What this detects, and what the last features do, is in benchmarks/results/ood.json; the choice is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her2core.data.prepare import Prepared
from her2core.errors import NetworkError
from her2core.networks.protocol import PatchNetwork
from her2core.stain.density import density_table

#: Largest number of filters used, evenly spaced over the first layer; a transformer's patch embedding has hundreds.
FILTERS = 64
#: Added before a logarithm, so that a filter without a response gives a finite number.
_SMALL_RESPONSE, _SMALL_DENSITY = 1e-2, 1e-6
_PERCENTILES = (5, 25, 50, 75, 95)
_SCALES = 4
_DENSITY = density_table(240.0)


@torch.no_grad()
def patch_descriptors(
    network: PatchNetwork, features: Tensor | None, prepared: Sequence[Prepared], batch: Tensor
) -> np.ndarray:
    """Descriptors of a batch of patches. Nothing is hooked, so threads may share the network.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode.
    features : Tensor or None
        ``network.features(batch)``; only used where `first_filters` finds none, and may be None otherwise.
    prepared : sequence of Prepared
        The N patches; the stain is read from their ``raw``.
    batch : Tensor
        float32 (N, 3, H, W), normalised, on the network's device.

    Returns
    -------
    ndarray
        float32 (N, D); D depends on the network alone.

    Examples
    --------
    >>> from her2core.data.prepare import Prepare
    >>> from her2core.networks.registry import build_network
    >>> patch = Prepare(64)(np.full((64, 64, 3), 200, np.uint8))
    >>> patch_descriptors(build_network("resnet50", 3), None, [patch], torch.zeros(1, 3, 64, 64)).shape
    (1, 304)
    """
    return descriptors(response_statistics(network, features, batch), prepared)


def response_statistics(network: PatchNetwork, features: Tensor | None, batch: Tensor) -> Tensor:
    """The part of a descriptor that the network gives; engines compute it in their forward pass.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode.
    features : Tensor or None
        As in `patch_descriptors`.
    batch : Tensor
        float32 (N, 3, H, W), normalised.

    Returns
    -------
    Tensor
        float32 (N, 4 * C) with C the number of filters, at most FILTERS.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> with torch.no_grad():
    ...     found = response_statistics(build_network("resnet50", 3), None, torch.zeros(1, 3, 64, 64))
    >>> found.shape
    torch.Size([1, 256])
    """
    filters = first_filters(network)
    responses = filters(batch) if filters is not None else _grid(network, features)
    if responses.shape[1] > FILTERS:
        chosen = torch.linspace(0, responses.shape[1] - 1, FILTERS).round().long()
        responses = responses[:, chosen.to(responses.device)]
    strong = [F.max_pool2d(sign * responses.float(), 3, 2, 1) for sign in (1, -1)]
    means = [s.mean(dim=(2, 3)) for s in strong]
    # The standard deviation in two means: Tensor.std over the last two axes is many times slower.
    variances = [(s - m[:, :, None, None]).square().mean(dim=(2, 3)) for s, m in zip(strong, means, strict=True)]
    return torch.cat(means + [(v.sqrt() + _SMALL_RESPONSE).log() for v in variances], dim=1)


def descriptors(responses: Tensor, prepared: Sequence[Prepared]) -> np.ndarray:
    """Descriptors of a batch of patches from the statistics of its responses.

    Parameters
    ----------
    responses : Tensor
        float32 (N, R), from `response_statistics`.
    prepared : sequence of Prepared
        The N patches; the stain is read from their ``raw``.

    Returns
    -------
    ndarray
        float32 (N, D).

    Examples
    --------
    >>> from her2core.data.prepare import Prepare
    >>> descriptors(torch.zeros(1, 8), [Prepare(64)(np.full((64, 64, 3), 200, np.uint8))]).shape
    (1, 56)
    """
    return combined_descriptors(responses, np.stack([stain_statistics(p.raw) for p in prepared]))


def combined_descriptors(responses: Tensor, stain: np.ndarray) -> np.ndarray:
    """Descriptors of a batch of patches from both of their parts.

    Parameters
    ----------
    responses : Tensor
        float32 (N, R), from `response_statistics`.
    stain : ndarray
        float32 (N, 48), rows from `stain_statistics`.

    Returns
    -------
    ndarray
        float32 (N, R + 48).

    Examples
    --------
    >>> combined_descriptors(torch.zeros(1, 8), np.zeros((1, 48), np.float32)).shape
    (1, 56)
    """
    return np.concatenate([responses.cpu().numpy(), stain], axis=1).astype(np.float32)


def first_filters(network: PatchNetwork) -> nn.Conv2d | None:
    """The first convolution, if it takes the three colours.

    Parameters
    ----------
    network : PatchNetwork

    Returns
    -------
    torch.nn.Conv2d or None
        None where the network has none, as with a linear stem.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> first_filters(build_network("resnet50", 3)).out_channels
    64
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module if module.in_channels == 3 and module.groups == 1 else None
    return None


def stain_statistics(raw: np.ndarray) -> np.ndarray:
    """Statistics of a patch's optical density (natural logarithm) before stain normalisation.

    Parameters
    ----------
    raw : ndarray
        uint8 (H, W, 3) RGB, sides of 16 px or more.

    Returns
    -------
    ndarray
        float32 (48,): see the module's description.

    Examples
    --------
    >>> stain_statistics(np.full((16, 16, 3), 239, np.uint8))[:3].round(3).tolist()
    [0.0, 0.0, 0.0]
    """
    planes = cv2.split(raw)
    # Mean, deviation and percentiles follow from how often each of the 256 grey levels occurs.
    levels = np.stack([cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel() for plane in planes])
    levels = levels.astype(np.float64) / planes[0].size
    mean = levels @ _DENSITY.astype(np.float64)
    deviation = np.sqrt(np.maximum(levels @ np.square(_DENSITY, dtype=np.float64) - mean**2, 0))
    # Optical density falls as the grey level rises.
    darker = levels[:, ::-1].cumsum(axis=1)
    ordered = _DENSITY[::-1]
    percentiles = [[ordered[np.searchsorted(of, p / 100 * of[-1] - 1e-12)] for of in darker] for p in _PERCENTILES]
    density = np.stack([cv2.LUT(plane, _DENSITY) for plane in planes])
    centred = density.reshape(3, -1) - mean.astype(np.float32)[:, None]
    scaled = 1 / (deviation + 1e-3)
    together = (centred @ centred.T) / planes[0].size * scaled[:, None] * scaled
    parts: list[Any] = [mean, deviation, *percentiles, together[(0, 0, 1), (1, 2, 2)]]
    for _ in range(_SCALES):
        squares, magnitudes, density = _detail(density)
        energy = np.log(squares + _SMALL_DENSITY)
        # A few strong edges and much faint grain may have the same energy; their mean magnitude differs.
        size = np.log(np.square(magnitudes) + _SMALL_DENSITY)
        parts += [energy, size - energy]
    return np.concatenate(parts).astype(np.float32)


def _detail(density: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean square and mean magnitude, each (C,), of the differences to the mean of 2 x 2 pixels, and these means."""
    rows, columns = 2 * (density.shape[1] // 2), 2 * (density.shape[2] // 2)
    corners = [np.ascontiguousarray(density[:, y:rows:2, x:columns:2]) for y in (0, 1) for x in (0, 1)]
    coarse = (corners[0] + corners[1] + corners[2] + corners[3]) / 4
    sums = [
        [sum(cv2.norm(corner[c], coarse[c], kind) for corner in corners) for c in range(len(coarse))]
        for kind in (cv2.NORM_L2SQR, cv2.NORM_L1)
    ]
    squares, magnitudes = np.array(sums) / (4 * coarse[0].size)
    return squares, magnitudes, coarse


def _grid(network: PatchNetwork, features: Tensor | None) -> Tensor:
    """(N, C, h, w) of the features of a network without first filters; tokens form one row, vectors one cell."""
    if features is None:
        raise NetworkError(
            "features of the batch",
            got="None, and the network has no first convolution of RGB",
            where="out-of-distribution descriptors",
            fix="Pass network.features(batch).",
        )
    if features.ndim == 3:
        return features.transpose(1, 2).unsqueeze(2)
    if features.ndim == 2:
        return features[:, :, None, None]
    return network.feature_map(features)
