"""Measures of a class-activation map against a truth mask, the network, or a network without training.

Each is reported next to what a random map gets, because many a measure flatters every map.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageFilter
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr
from torch import nn

from her2core.networks.protocol import PatchNetwork

#: The pointing game forgives a miss of this share of the side (15 of 224 px in Zhang et al. 2018).
TOLERANCE = 15 / 224
#: Shares of the pixels removed or inserted, one after the other.
STEPS = np.linspace(0, 1, 11)
#: Percent of the pixels that ROAD removes; imputing more takes long and leaves little of the patch.
ROAD_PERCENT = (10, 30, 50)

#: Probabilities float (N, K) of uint8 (N, S, S, 3) images that are prepared already.
PredictProba = Callable[[np.ndarray], np.ndarray]


def pointing_game(heat: np.ndarray, truth: np.ndarray) -> float:
    """Whether the strongest pixel of a map lies in the truth or near it.

    Parameters
    ----------
    heat : ndarray
        Float (S, S), 0 and up.
    truth : ndarray
        Bool (S, S).

    Returns
    -------
    float
        1 or 0; NaN where there is no truth or the map is zero everywhere.

    References
    ----------
    Zhang et al. 2018, doi 10.1007/s11263-017-1059-x.

    Examples
    --------
    >>> heat, truth = np.zeros((64, 64)), np.zeros((64, 64), bool)
    >>> heat[20, 20], truth[18:22, 18:22] = 1, True
    >>> pointing_game(heat, truth)
    1.0
    """
    if not truth.any() or not heat.max() > 0:
        return float("nan")
    radius = round(TOLERANCE * len(truth))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    near = binary_dilation(truth, x**2 + y**2 <= radius**2)
    return float(near[np.unravel_index(heat.argmax(), heat.shape)])


def energy_pointing_game(heat: np.ndarray, truth: np.ndarray) -> float:
    """Share of a map's sum that lies in the truth; a constant map gets the truth's share of the area.

    Parameters
    ----------
    heat : ndarray
        Float (S, S), 0 and up.
    truth : ndarray
        Bool (S, S).

    Returns
    -------
    float
        In 0..1; NaN where there is no truth or the map is zero everywhere.

    References
    ----------
    Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020.

    Examples
    --------
    >>> energy_pointing_game(np.array([[3.0, 1.0]]), np.array([[True, False]]))
    0.75
    """
    total = float(heat.sum())
    return float(heat[truth].sum() / total) if truth.any() and total > 0 else float("nan")


def overlap(heat: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of the truth and as many of a map's strongest pixels.

    Parameters
    ----------
    heat : ndarray
        Float (S, S), 0 and up.
    truth : ndarray
        Bool (S, S).

    Returns
    -------
    float
        In 0..1; NaN where there is no truth or the map is zero everywhere.

    Examples
    --------
    >>> round(overlap(np.array([[3.0, 2.0, 1.0]]), np.array([[True, False, True]])), 3)
    0.333
    """
    if not truth.any() or not heat.max() > 0:
        return float("nan")
    strongest = np.zeros(truth.size, bool)
    strongest[np.argsort(-heat.ravel(), kind="stable")[: int(truth.sum())]] = True
    both = int((strongest & truth.ravel()).sum())
    return both / (2 * int(truth.sum()) - both)


def deletion_and_insertion(
    image: np.ndarray, heat: np.ndarray, predict_proba: PredictProba, *, index: int
) -> tuple[float, float]:
    """Mean probability of a class while the strongest pixels are blurred first, and while they are restored first.

    A good map has a low first and a high second value.

    Parameters
    ----------
    image : ndarray
        uint8 (S, S, 3), the network's input.
    heat : ndarray
        Float (S, S).
    predict_proba : callable
        Probabilities (N, K) of such images.
    index : int
        The class.

    Returns
    -------
    tuple of float
        (deletion, insertion), each in 0..1.

    References
    ----------
    Petsiuk et al. 2018, arXiv 1806.07421.

    Examples
    --------
    A network that answers 0.5 whatever it is given:

    >>> image, heat = np.zeros((32, 32, 3), np.uint8), np.eye(32)
    >>> deletion_and_insertion(image, heat, lambda seen: np.full((len(seen), 2), 0.5), index=0)
    (0.5, 0.5)
    """
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(len(image) / 16)))
    order = np.argsort(-heat.ravel(), kind="stable")
    rank = np.empty(order.size, int)
    rank[order] = np.arange(order.size)
    first = np.stack([rank.reshape(heat.shape) < share * order.size for share in STEPS])[..., None]
    seen = np.concatenate([np.where(first, blurred, image), np.where(first, image, blurred)])
    deletion, insertion = np.split(predict_proba(seen)[:, index], 2)
    return float(np.trapezoid(deletion, STEPS)), float(np.trapezoid(insertion, STEPS))


def road(network: nn.Module, batch: torch.Tensor, heats: np.ndarray, *, indices: Sequence[int]) -> np.ndarray:
    """Remove and debias: half the difference between removing the weakest and the strongest pixels.

    Removed pixels are imputed from their neighbours. This is the grad-cam package's ROADCombined.

    Parameters
    ----------
    network : torch.nn.Module
        Gives scores (N, K).
    batch : Tensor
        float32 (N, 3, S, S), normalised.
    heats : ndarray
        Float (N, S, S) in 0..1.
    indices : sequence of int
        The class of each.

    Returns
    -------
    ndarray
        float64 (N,): the mean over `ROAD_PERCENT`; above 0 where the strongest pixels matter more.

    References
    ----------
    Rong et al. 2022, arXiv 2202.00449.

    Examples
    --------
    >>> constant = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    >>> _ = nn.init.zeros_(constant[1].weight)
    >>> road(constant, torch.zeros(1, 3, 32, 32), np.eye(32, dtype=np.float32)[None], indices=[0])
    array([0.])
    """
    from pytorch_grad_cam.metrics.road import ROADCombined
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    targets = [ClassifierOutputSoftmaxTarget(i) for i in indices]
    with warnings.catch_warnings():  # grad-cam 1.5 mixes arrays and tensors in a way that numpy deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(ROADCombined(percentiles=list(ROAD_PERCENT))(batch, heats, targets, network), np.float64)


def with_random_weights(network: PatchNetwork, *, seed: int) -> PatchNetwork:
    """A copy with every layer initialised again: a map of it shows what needs no training.

    Parameters
    ----------
    network : PatchNetwork
        Is not changed.
    seed : int

    Returns
    -------
    PatchNetwork
        In evaluation mode, without gradients.

    References
    ----------
    Adebayo et al. 2018, arXiv 1810.03292.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> with_random_weights(build_network("timm:test_resnet", 3), seed=0).training
    False
    """
    other = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in other.modules():
            if hasattr(layer, "reset_parameters"):
                cast(nn.Linear, layer).reset_parameters()  # or any other layer of torch that has it
    return other.eval().requires_grad_(False)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two maps' cells.

    Parameters
    ----------
    first, second : ndarray
        Float (h, w), of the same shape.

    Returns
    -------
    float
        In -1..1; NaN where one of them is constant.

    Examples
    --------
    >>> round(rank_correlation(np.arange(4.0), np.arange(4.0) ** 2), 6)
    1.0
    """
    a, b = np.ravel(first), np.ravel(second)
    return float(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def random_map(cells: Sequence[int], size: int, *, seed: int) -> np.ndarray:
    """A map of uniform noise with as many cells as the real ones.

    Parameters
    ----------
    cells : sequence of int
        (rows, columns) of the feature map.
    size : int
        Side of the result in pixels.
    seed : int

    Returns
    -------
    ndarray
        float32 (size, size) in 0..1, bilinear.

    Examples
    --------
    >>> random_map((7, 7), 64, seed=0).shape
    (64, 64)
    """
    noise = np.random.default_rng(seed).random(tuple(cells), np.float32)
    return np.clip(np.asarray(Image.fromarray(noise).resize((size, size), Image.Resampling.BILINEAR)), 0, 1)
