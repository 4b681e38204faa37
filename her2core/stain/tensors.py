"""Macenko normalisation of batches of torch tensors, on the device they are on.

The method, thresholds and flags are those of ``her2core.stain.macenko``. What the device decides alone is that a patch
passes every test; each other patch is handed to ``StainNormalizer`` and gets its answer, so that flags follow one rule.
Untested on a GPU: no such machine was available; tests/test_stain_tensors.py compares the two on a CPU.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her2core.errors import ImageError
from her2core.stain import estimation as rules
from her2core.stain.density import density_table
from her2core.stain.macenko import MAX_STRENGTHENING, StainNormalizer
from her2core.stain.reference import Flag, StainReference


class NormalizedBatch(NamedTuple):
    """Patches after normalisation.

    Attributes
    ----------
    images : Tensor
        uint8 (N, 3, H, W) RGB, on the device of the input; flagged ones as they were.
    flags : tuple
        For each patch a key of ``her2core.stain.reference.FLAGS``, or None.
    """

    images: Tensor
    flags: tuple[Flag | None, ...]


class PlainNormalizer(nn.Module):
    """Normalisation of the patches that pass every test, without a branch on pixels, so that it can be traced.

    Parameters
    ----------
    reference : StainReference, optional
        The stain to normalise to; the numbers in common use when left out.

    Examples
    --------
    >>> _, good = PlainNormalizer()(torch.full((2, 3, 32, 32), 250, dtype=torch.uint8))
    >>> good.tolist()
    [False, False]
    """

    table: Tensor
    vectors: Tensor
    maxima: Tensor

    def __init__(self, reference: StainReference | None = None) -> None:
        super().__init__()
        normalizer = StainNormalizer(reference)
        target = normalizer.reference
        self.beta, self.alpha, self.min_tissue = normalizer.beta, normalizer.alpha, normalizer.min_tissue
        self.white = target.white
        self.register_buffer("table", torch.from_numpy(density_table(target.white)))
        self.register_buffer("vectors", torch.tensor(target.vectors, dtype=torch.float32).T)
        self.register_buffer("maxima", torch.tensor(target.max_concentration, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised patches, uint8 (N, 3, H, W), and which of them are, (N,); the others are of no meaning."""
        density = self.table[images.flatten(2).long()]
        dense = density.amin(dim=1) > self.beta
        number = dense.sum(dim=1)
        good = (number >= 3) & (number >= self.min_tissue * dense.shape[1])
        good &= (images.amax(dim=1) < 20).flatten(1).float().mean(dim=1) <= 0.9
        good &= _block_means(images, rules.SIDE).std(dim=2, correction=0).amax(dim=1) >= rules.MIN_STRUCTURE
        stains, plausible = _directions(density, dense, number, self.alpha)
        unmixing = torch.linalg.pinv(stains.mT).float()
        concentration = unmixing @ density
        maxima = _percentile(concentration, torch.full_like(number, dense.shape[1])[:, None], 99)
        tissue = density.mean(dim=1) > rules.TISSUE
        negative = (concentration < rules.NEGATIVE * maxima[:, :, None]).any(dim=1) & tissue
        good &= plausible & (maxima.amin(dim=1) >= rules.MIN_CONCENTRATION)
        good &= negative.sum(dim=1) <= rules.MAX_NEGATIVE_SHARE * tissue.sum(dim=1)
        side = max(rules.SIDE, min(int(images.shape[2]), int(images.shape[3])) // rules.BLOCKS)
        good &= ~_is_noise(stains.float(), self.table[_block_means(images, side).long()], self.beta)
        strength = (self.maxima / maxima).clamp_max(MAX_STRENGTHENING)
        light = self.white * torch.exp(-((self.vectors * strength[:, None]) @ unmixing) @ density)
        return light.nan_to_num(0).clamp(0, 255).to(torch.uint8).reshape(images.shape), good


@torch.no_grad()
def normalize_tensors(images: Tensor, reference: StainReference | None = None) -> NormalizedBatch:
    """Normalise a batch of patches, each by its own stain.

    Parameters
    ----------
    images : Tensor
        uint8 (N, 3, H, W) RGB, on any device; not changed.
    reference : StainReference, optional
        The stain to normalise to; the numbers in common use when left out.

    Returns
    -------
    NormalizedBatch
        Within one grey level of ``StainNormalizer``.

    Raises
    ------
    ImageError
        It is no such tensor.

    References
    ----------
    Macenko et al. 2009, doi 10.1109/ISBI.2009.5193250.

    Examples
    --------
    >>> normalize_tensors(torch.full((2, 3, 32, 32), 250, dtype=torch.uint8)).flags
    ('blank', 'blank')
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or min(images.shape) < 1:
        raise ImageError(
            "a uint8 (N, 3, H, W) RGB tensor with pixels",
            got=f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}",
            where="stain",
            fix="Stack the patches, channels first.",
        )
    normalizer = StainNormalizer(reference)
    normalized, good = PlainNormalizer(reference).to(images.device)(images)
    flags: list[Flag | None] = [None] * len(images)
    for i in (~good).nonzero().flatten().tolist():
        result = normalizer.apply(np.ascontiguousarray(images[i].permute(1, 2, 0).cpu().numpy()))
        normalized[i] = torch.from_numpy(result.image.copy()).permute(2, 0, 1).to(images.device)
        flags[i] = result.flag
    return NormalizedBatch(normalized, tuple(flags))


def _directions(density: Tensor, dense: Tensor, number: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Stain vectors, float64 (N, 2, 3), haematoxylin first, and whether they are plausible, (N,)."""
    weights = dense[:, None].float()
    means = (density * weights).sum(dim=2, keepdim=True) / number.clamp_min(1)[:, None, None]
    centred = (density - means) * weights
    covariance = (centred @ centred.mT).double() / (number - 1).clamp_min(1)[:, None, None]
    values, vectors = torch.linalg.eigh(covariance)
    plane = vectors.mT[:, [2, 1]]
    plane = plane * torch.where(plane.sum(dim=2, keepdim=True) < 0, -1.0, 1.0).double()
    projected = plane.float() @ density
    angles = torch.atan2(projected[:, 1], projected[:, 0])
    high = _percentile(angles.masked_fill(~dense, -math.inf)[:, None], number[:, None], 100 - alpha)
    low = -_percentile((-angles).masked_fill(~dense, -math.inf)[:, None], number[:, None], 100 - alpha)
    ends = torch.cat([low, high], dim=1).double()
    stains = torch.stack([ends.cos(), ends.sin()], dim=2) @ plane
    swap = stains[:, 0, 0] < stains[:, 1, 0]  # haematoxylin absorbs more red than eosin
    stains = torch.where(swap[:, None, None], stains.flip(1), stains).nan_to_num(0)
    plausible = (values[:, 1] >= rules.MIN_VARIANCE) & (stains.amin(dim=(1, 2)) >= rules.MIN_COMPONENT)
    return stains, plausible & ((stains[:, 0] * stains[:, 1]).sum(dim=1) <= rules.MAX_COSINE)


def _is_noise(stains: Tensor, blocks: Tensor, beta: float) -> Tensor:
    """Whether angles of block densities (N, 3, B) hardly spread, (N,)."""
    dense = blocks.amin(dim=1) > beta
    number = dense.sum(dim=1)
    first, second = stains[:, 0], stains[:, 1]
    across = F.normalize(second - (second * first).sum(dim=1, keepdim=True) * first, dim=1)
    angles = torch.atan2((across[:, None] @ blocks)[:, 0], (first[:, None] @ blocks)[:, 0])
    ends = [_percentile((s * angles).masked_fill(~dense, -math.inf)[:, None], number[:, None], 99) for s in (1, -1)]
    return ((ends[0] + ends[1])[:, 0] < math.radians(rules.MIN_ANGLE)) & (number >= rules.MIN_BLOCKS)


def _percentile(values: Tensor, number: Tensor, percent: float) -> Tensor:
    """Percentile from 50 to 100 along the last axis (N, C, L) of the ``number`` (N, 1) largest values, interpolated."""
    position = percent / 100 * (number - 1).clamp_min(0).double()
    length = int(values.shape[2])
    kept = min(length, math.ceil(length * (1 - percent / 100)) + 2)
    largest = values.topk(kept, dim=2).values
    from_top = (number - 1 - position.floor().long()).clamp(0, kept - 1)[:, None].expand(-1, values.shape[1], -1)
    lower = largest.gather(2, from_top)[..., 0]
    upper = largest.gather(2, (from_top - 1).clamp_min(0))[..., 0]
    return lower + (position - position.floor()).to(values.dtype) * (upper - lower)


def _block_means(images: Tensor, side: int) -> Tensor:
    """Rounded means of square blocks, float32 (N, 3, B); those at the right and lower edge may be smaller."""
    means = F.avg_pool2d(images.float(), side, ceil_mode=True, count_include_pad=False)
    return (means + 0.5).floor().flatten(2)
