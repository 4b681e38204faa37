"""Where did the network look? Features on the seam and a class in, a class-activation map out.

Grad-CAM (Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74) is computed here: each feature channel weighted by the mean
gradient of the class score with respect to it, summed, negative part cut off. The other methods take their formulas
from the grad-cam package. In all of them the gradient is taken through the head alone, on a leaf copy of the features,
and what the package may hook, switch to evaluation or replace is a ``Seam`` made for that one call. So nothing is ever
hung on the network, and any number of threads may share one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from her2core.errors import NetworkError
from her2core.maps.methods import find_method
from her2core.networks.registry import feature_map


@dataclass(frozen=True)
class ClassMap:
    """A class-activation map.

    ``grid`` float32 (h, w), as it comes from the features, 0 and up, finite, in units of its method (``scaled`` makes
    two comparable); all 0 where features or gradients are not finite numbers. ``target`` the class it is for;
    ``method`` a key of maps.methods.METHODS; ``image`` uint8 (px, px, 3) RGB, what the network saw.
    """

    grid: np.ndarray
    target: str
    method: str = "gradcam"
    image: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def empty(self) -> bool:
        """Whether nothing spoke for this class anywhere: the map is zero all over. One that is the same everywhere
        and above zero is not empty; it is 1 everywhere when scaled."""
        return not (self.grid > 0).any()

    def scaled(self, size: int) -> np.ndarray:
        """float32 (size, size) in 0..1, bilinear, the strongest place 1; all 0 when the map is empty."""
        if self.empty:
            return np.zeros((size, size), np.float32)
        grid = (self.grid / self.grid.max()).astype(np.float32)
        return np.clip(np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BILINEAR)), 0, 1)


def class_map(
    network: nn.Module,
    features: Tensor,
    index: int,
    *,
    name: str,
    image: np.ndarray | None = None,
    method: str = "gradcam",
) -> ClassMap:
    """The map of class ``index``, called ``name``, on features (1, ...) of one patch, made by ``method``.

    Raises NetworkError for an unknown method, a network in training mode (its dropout would make every map another),
    features without a spatial grid, a head that reads none of the grid, and Eigen-Grad-CAM on a single cell.
    """
    chosen = find_method(method)
    if network.training:
        raise NetworkError(
            "a network in evaluation mode", got="one in training mode", where="map", fix="Call network.eval()."
        )
    with torch.enable_grad():
        leaf = features.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(network.head(leaf)[0, index], leaf)
    leaf = leaf.detach()
    channels, slopes = feature_map(network, leaf).float(), feature_map(network, gradient).float()
    if gradient.any() and not slopes.any():
        raise NetworkError(
            "a head that reads the places of the patch",
            got="one that reads the class token alone",
            where="map",
            fix="Build the network with the option global_pool: avg.",
        )
    if not (channels.isfinite().all() and slopes.isfinite().all()):
        grid = np.zeros(channels.shape[2:], np.float32)
    elif chosen.formula is None:
        grid = (slopes[0].mean(dim=(1, 2))[:, None, None] * channels[0]).sum(0).cpu().numpy()
    elif chosen.formula == "AblationCAM":
        grid = _ablation(network, leaf, channels, index)
    else:
        grid = _formula(network, chosen.formula, channels, slopes)
    grid = np.maximum(grid, 0).astype(np.float32)
    return ClassMap(grid if np.isfinite(grid).all() else np.zeros_like(grid), name, method, image)


class Seam(nn.Module):
    """A network's head behind a tap of its own: all of the model that the grad-cam package gets to see.

    The package hooks the tap, replaces it, calls ``eval`` and ``zero_grad`` on its model, and asks its first parameter
    for the device. ``head`` is a bound method, not a submodule, so that none of this reaches the shared network.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.tap = nn.Identity()
        self.place = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.head = network.head

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.tap(features))


class ChannelAblation(nn.Module):
    """Stands in for the tap in Ablation-CAM: row i of a batch loses channel ``indices[i]``. One a call.

    It differs from the package's AblationLayer in three ways. That one is made once, as a default argument, and holds
    its state for every thread. Where features go below zero it writes not 0, as the paper does, but -1e7, -2e7 ... down
    the rows of a batch. And it knows one layout of channels: ``axis`` is ours, 1 or -1.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def activations_to_be_ablated(self, activations: np.ndarray, _ratio: float) -> np.ndarray:
        self.indices = np.arange(activations.shape[0])
        return self.indices

    def set_next_batch(self, input_batch_index: int, activations: Tensor, num_channels_to_ablate: int) -> None:
        one = activations[input_batch_index : input_batch_index + 1]
        self.batch = one.repeat(num_channels_to_ablate, *[1] * (one.ndim - 1))

    def forward(self, _: Tensor) -> Tensor:
        rows = len(self.batch)
        self.batch.movedim(self.axis, 1)[torch.arange(rows), torch.from_numpy(self.indices[:rows])] = 0
        return self.batch


class _NoBar:
    """What Ablation-CAM's module knows as tqdm: its progress bar would write to the server's log at every map."""

    @staticmethod
    def tqdm(steps):
        return steps


def _formula(network: nn.Module, formula: str, channels: Tensor, slopes: Tensor) -> np.ndarray:
    """float32 (h, w), before its negative part is cut off, from features and gradients (1, C, h, w)."""
    import pytorch_grad_cam

    if formula == "EigenGradCAM" and channels[0, 0].numel() == 1:
        raise NetworkError(
            "a feature grid of at least two cells",
            got="one cell",
            where="map",
            fix="A single cell has no variation: choose another method, or larger patches.",
        )
    seam = Seam(network, channels.device)
    cam = getattr(pytorch_grad_cam, formula)(seam, [seam.tap])
    values, gradients = channels.cpu().numpy(), slopes.cpu().numpy()
    with np.errstate(all="ignore"):  # XGrad-CAM divides by a channel's sum; the caller looks at what came out
        grid = cam.get_cam_image(channels, seam.tap, [], values, gradients, False)[0]
    if formula == "EigenGradCAM" and (grid * (values * gradients)[0].sum(0)).sum() < 0:
        # A principal direction has no sign of its own: the package shows the wrong side of it about every second time
        # (benchmarks/results/map_methods.json). Ours points to where features times gradients are high.
        grid = -grid
    return grid


def _ablation(network: nn.Module, leaf: Tensor, channels: Tensor, index: int) -> np.ndarray:
    """float32 (h, w), Ablation-CAM in units of the class score, before its negative part is cut off."""
    from pytorch_grad_cam import AblationCAM, ablation_cam

    ablation_cam.tqdm = _NoBar
    with torch.no_grad():
        whole = network.head(leaf)[0, index].double()

    def target(scores: Tensor) -> Tensor:
        # The package divides the drop by the whole score, which turns the map round where that is negative. As seen
        # from here the whole score is always 1, so that a channel's weight is the drop itself.
        return 1 + scores[index].double() - whole

    seam = Seam(network, leaf.device)
    # Networks with channels first get their features back as they are from feature_map; all others have them last.
    layer = ChannelAblation(axis=1 if feature_map(network, leaf) is leaf else -1)
    cam = AblationCAM(seam, [seam.tap], ablation_layer=layer)
    return cam.get_cam_image(leaf, seam.tap, [target], channels.cpu().numpy(), None, False)[0]
