"""Which numbers say how a patch looks? Prepared patches in; the answers of the network's first filters, and stain, out.

Last features name what a network learned to tell apart and are blind to much else: judged by them, about half of the
real tiles pass for the synthetic training data of the demo run, whose network was started from one trained on real
tissue. The first layer still sees what was put in (edges, grain, sharpness, colour), so a patch is described by

- how strongly the network's own first filters answer to the normalised patch, in both directions: each answer is
  taken at its maximum in 3 x 3 places, and its mean and the logarithm of its spread over the patch are kept;
- the stain before normalisation: optical density per channel (mean, deviation, five percentiles), how the channels go
  together, and how much detail there is at four scales.

benchmarks/results/ood.json holds what this tells apart, and what last features do; the choice is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her2core.data.prepare import Prepared
from her2core.networks.registry import feature_map
from her2core.stain.macenko import density_table

#: At most so many filters are asked, evenly spaced over the first layer; a transformer's patch embedding has hundreds.
FILTERS = 64
#: Added before a logarithm, so that a filter that answers nothing gives a finite number.
_SMALL_ANSWER, _SMALL_DENSITY = 1e-2, 1e-6
_PERCENTILES = (5, 25, 50, 75, 95)
_SCALES = 4
_DENSITY = density_table(240.0)


@torch.no_grad()
def describe(network: nn.Module, features: Tensor | None, prepared: Sequence[Prepared], batch: Tensor) -> np.ndarray:
    """The descriptors of a batch, float32 (N, D); D depends on the network alone. No hooks: threads may share it.

    Parameters
    ----------
    network : any network of networks.registry.
    features : ``network.features(batch)``; only used where `first_filters` finds none, and may be None otherwise.
    prepared : the N patches of the batch as Prepare gave them; ``raw`` is where the stain is read.
    batch : float32 (N, 3, H, W), normalised, on the network's device.
    """
    filters = first_filters(network)
    answers = filters(batch) if filters is not None else _grid(network, features)
    stain = np.stack([stain_statistics(p.raw) for p in prepared])
    return np.concatenate([_answer_statistics(answers), stain], axis=1).astype(np.float32)


def first_filters(network: nn.Module) -> nn.Conv2d | None:
    """The first convolution that takes the three colours; None where the network has none, as with a linear stem."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module if module.in_channels == 3 and module.groups == 1 else None
    return None


def stain_statistics(raw: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) RGB of 16 px or more -> float32 (48,): see the module's text; optical density by natural log."""
    density = _DENSITY[raw]
    pixels = np.ascontiguousarray(density.reshape(-1, 3).T)
    mean, deviation = pixels.mean(axis=1), pixels.std(axis=1)
    # Optical density falls as the grey level rises, so the percentiles can be read off the 256 levels.
    levels = [np.bincount(channel, minlength=256)[::-1].cumsum() for channel in raw.reshape(-1, 3).T]
    ordered = _DENSITY[::-1]
    percentiles = [[ordered[np.searchsorted(counts, p / 100 * counts[-1])] for counts in levels] for p in _PERCENTILES]
    centred = (pixels - mean[:, None]) / (deviation[:, None] + 1e-3)
    together = (centred @ centred.T) / pixels.shape[1]
    parts = [mean, deviation, *percentiles, together[(0, 0, 1), (1, 2, 2)]]
    for _ in range(_SCALES):
        rows, columns = density.shape[0] // 2, density.shape[1] // 2
        blocks = density[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
        coarse = blocks.mean(axis=(1, 3))
        detail = blocks - coarse[:, None, :, None]
        energy = np.log(np.square(detail).mean(axis=(0, 1, 2, 3)) + _SMALL_DENSITY)
        # Few strong edges and much faint grain may hold the same energy; their mean size differs.
        size = np.log(np.square(np.abs(detail).mean(axis=(0, 1, 2, 3))) + _SMALL_DENSITY)
        parts += [energy, size - energy]
        density = coarse
    return np.concatenate(parts).astype(np.float32)


def _answer_statistics(answers: Tensor) -> np.ndarray:
    """float (N, C, h, w) -> float32 (N, 4 * min(C, FILTERS))."""
    if answers.shape[1] > FILTERS:
        chosen = torch.linspace(0, answers.shape[1] - 1, FILTERS).round().long()
        answers = answers[:, chosen.to(answers.device)]
    strong = [F.max_pool2d(sign * answers.float(), 3, 2, 1) for sign in (1, -1)]
    means = [s.mean(dim=(2, 3)) for s in strong]
    spreads = [(s.std(dim=(2, 3), correction=0) + _SMALL_ANSWER).log() for s in strong]
    return torch.cat(means + spreads, dim=1).cpu().numpy()


def _grid(network: nn.Module, features: Tensor) -> Tensor:
    """(N, C, h, w) of the seam for a network without first filters; tokens stand in one row, vectors in one place."""
    if features.ndim == 3:
        return features.transpose(1, 2).unsqueeze(2)
    if features.ndim == 2:
        return features[:, :, None, None]
    return feature_map(network, features)
