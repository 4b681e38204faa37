"""Is a map worth looking at? A map, the patch, and the truth or the network in; numbers that could prove it wrong.

Each number stands beside what a map of chance gets, for many a measure flatters every map.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageFilter
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr
from torch import nn

#: The pointing game forgives a miss of so much of the side (15 of 224 px in Zhang et al. 2018).
TOLERANCE = 15 / 224
#: Shares of the pixels taken away or given back, one after the other.
STEPS = np.linspace(0, 1, 11)
#: Percent of the pixels that ROAD takes away; filling in more takes long and leaves little of the patch.
ROAD_PERCENT = (10, 30, 50)

Judge = Callable[[np.ndarray], np.ndarray]


def pointing_game(heat: np.ndarray, truth: np.ndarray) -> float:
    """Whether the strongest place lies in the truth or near it: 1 or 0 (Zhang et al. 2018, doi
    10.1007/s11263-017-1059-x). ``heat`` float (S, S), ``truth`` bool (S, S); NaN where there is no truth or no map."""
    if not truth.any() or not heat.max() > 0:
        return float("nan")
    radius = round(TOLERANCE * len(truth))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    near = binary_dilation(truth, x**2 + y**2 <= radius**2)
    return float(near[np.unravel_index(heat.argmax(), heat.shape)])


def energy_pointing_game(heat: np.ndarray, truth: np.ndarray) -> float:
    """Share of the map's sum that lies in the truth (Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020); a map that
    is the same everywhere gets the truth's share of the area. NaN where there is no truth or no map."""
    total = float(heat.sum())
    return float(heat[truth].sum() / total) if truth.any() and total > 0 else float("nan")


def overlap(heat: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of the truth and the map's strongest places, as many pixels as the truth has."""
    if not truth.any() or not heat.max() > 0:
        return float("nan")
    strongest = np.zeros(truth.size, bool)
    strongest[np.argsort(-heat.ravel(), kind="stable")[: int(truth.sum())]] = True
    both = int((strongest & truth.ravel()).sum())
    return both / (2 * int(truth.sum()) - both)


def deletion_and_insertion(
    image: np.ndarray, heat: np.ndarray, predict_proba: Judge, *, index: int
) -> tuple[float, float]:
    """Mean probability of class ``index`` while the strongest places are blurred first, and while they are the first
    to be given back to the blurred patch (Petsiuk et al. 2018, arXiv 1806.07421). A good map has a low first and a high
    second. ``image`` uint8 (S, S, 3), as the network sees it; ``judge`` gives probabilities (N, K) of such images."""
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(len(image) / 16)))
    order = np.argsort(-heat.ravel(), kind="stable")
    rank = np.empty(order.size, int)
    rank[order] = np.arange(order.size)
    first = np.stack([rank.reshape(heat.shape) < share * order.size for share in STEPS])[..., None]
    seen = np.concatenate([np.where(first, blurred, image), np.where(first, image, blurred)])
    probs = predict_proba(seen)[:, index]
    return tuple(float(np.trapezoid(p, STEPS)) for p in np.split(probs, 2))


def road(network: nn.Module, batch: torch.Tensor, heats: np.ndarray, *, indices: list[int]) -> np.ndarray:
    """float (N,): by how much more the class's probability falls when the strongest places are taken away than when
    the weakest are, half of it, with what is missing filled in from its neighbours (Rong et al. 2022, arXiv 2202.00449;
    the grad-cam package's ROADCombined). ``batch`` float (N, 3, S, S), ``heats`` float (N, S, S) in 0..1."""
    from pytorch_grad_cam.metrics.road import ROADCombined
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    targets = [ClassifierOutputSoftmaxTarget(i) for i in indices]
    with warnings.catch_warnings():  # grad-cam 1.5 mixes arrays and tensors in a way that numpy deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(ROADCombined(percentiles=list(ROAD_PERCENT))(batch, heats, targets, network), np.float64)


def with_random_weights(network: nn.Module, *, seed: int) -> nn.Module:
    """A copy whose every layer that can be is initialised anew: what a map shows of a network that learned nothing
    (Adebayo et al. 2018, arXiv 1810.03292)."""
    other = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in other.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return other.eval().requires_grad_(False)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two maps' cells; NaN where one of them is the same everywhere."""
    a, b = np.ravel(first), np.ravel(second)
    return float(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def chance_map(cells: tuple[int, int], size: int, *, seed: int) -> np.ndarray:
    """A map of noise with as many cells as the real ones, float32 (size, size) in 0..1."""
    noise = np.random.default_rng(seed).random(cells, np.float32)
    return np.clip(np.asarray(Image.fromarray(noise).resize((size, size), Image.Resampling.BILINEAR)), 0, 1)
