"""Class-activation maps by the gradient of the head, without hooks.

Grad-CAM (Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74) is computed here: each feature channel weighted by the mean
gradient of the class score with respect to it, summed, negative values set to zero. The other methods take their
formulas from the grad-cam package. In all of them the gradient is taken through the head alone, with respect to a leaf
copy of the features, and what the package may hook, switch to evaluation mode or replace is a `HeadModel` made for that
one call. So no hook is ever registered on the network, and any number of threads may share one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from her2core.errors import NetworkError
from her2core.maps.class_map import ClassMap
from her2core.maps.methods import find_method
from her2core.networks.protocol import PatchNetwork


def class_map(
    network: PatchNetwork,
    features: Tensor,
    index: int,
    *,
    name: str,
    image: np.ndarray | None = None,
    method: str = "gradcam",
) -> ClassMap:
    """The map of one class on the features of one patch.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode; it is not changed.
    features : Tensor
        Of one patch, (1, ...), as ``network.features`` gives them.
    index : int
        Which score, in 0..classes-1.
    name : str
        Name of the class.
    image : ndarray, optional
        uint8 (px, px, 3) RGB, the network's input, carried along for pictures.
    method : str, default "gradcam"
        A key of maps.methods.METHODS.

    Returns
    -------
    ClassMap

    Raises
    ------
    ConfigError
        For an unknown method.
    NetworkError
        For a network in training mode (dropout would change every map), features without a spatial grid, a head that
        uses none of the grid, and Eigen-Grad-CAM on a single cell.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("resnet50", 3).eval()
    >>> with torch.no_grad():
    ...     features = network.features(torch.zeros(1, 3, 64, 64))
    >>> class_map(network, features, 0, name="negative", method="layercam").grid.shape
    (4, 4)
    """
    chosen = find_method(method)
    if network.training:
        raise NetworkError(
            "a network in evaluation mode", got="one in training mode", where="class map", fix="Call network.eval()."
        )
    with torch.enable_grad():
        leaf = features.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(network.head(leaf)[0, index], leaf)
    leaf = leaf.detach()
    channels, slopes = network.feature_map(leaf).float(), network.feature_map(gradient).float()
    if gradient.any() and not slopes.any():
        raise NetworkError(
            "a head that uses the cells of the feature map",
            got="one that uses the class token alone",
            where="class map",
            fix="Build the network with the option global_pool: avg.",
        )
    if not (channels.isfinite().all() and slopes.isfinite().all()):
        grid = np.zeros(channels.shape[2:], np.float32)
    elif chosen.package_class is None:
        grid = (slopes[0].mean(dim=(1, 2))[:, None, None] * channels[0]).sum(0).cpu().numpy()
    elif not chosen.needs_gradients:
        grid = _ablation(network, leaf, channels, index)
    else:
        grid = _by_package(network, chosen.package_class, channels, slopes)
    grid = np.maximum(grid, 0).astype(np.float32)
    return ClassMap(grid if np.isfinite(grid).all() else np.zeros_like(grid), name, method, image)


class HeadModel(nn.Module):
    """A network's head with a target layer of its own: all of the model that the grad-cam package gets.

    The package hooks the target layer, replaces it, calls ``eval`` and ``zero_grad`` on its model, and takes the device
    from its first parameter. ``head`` is a bound method, not a submodule, so none of this reaches the shared network.

    Parameters
    ----------
    network : PatchNetwork
    device : torch.device
        Of the features.
    """

    def __init__(self, network: PatchNetwork, device: torch.device) -> None:
        super().__init__()
        self.target_layer = nn.Identity()
        self.device_marker = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.head = network.head

    def forward(self, features: Tensor) -> Tensor:
        """Scores (N, classes) of features (N, ...)."""
        return self.head(self.target_layer(features))


class ChannelAblation(nn.Module):
    """Replacement of the target layer in Ablation-CAM: row i of a batch loses channel ``indices[i]``. One for a call.

    It differs from the package's AblationLayer in three ways. That one is created once, as a default argument, and
    keeps its state for all threads. Where features are below zero it writes not 0, as the paper does, but -1e7, -2e7
    and so on down the rows of a batch. And it knows one layout of channels.

    Parameters
    ----------
    axis : int
        Axis of the channels, 1 or -1.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def activations_to_be_ablated(self, activations: np.ndarray, _ratio: float) -> np.ndarray:
        """All channels, (C,), as the package asks for them."""
        self.indices = np.arange(activations.shape[0])
        return self.indices

    def set_next_batch(self, input_batch_index: int, activations: Tensor, num_channels_to_ablate: int) -> None:
        """Copy the features of one patch into a batch of so many rows."""
        one = activations[input_batch_index : input_batch_index + 1]
        self.batch = one.repeat(num_channels_to_ablate, *[1] * (one.ndim - 1))

    def forward(self, _: Tensor) -> Tensor:
        """The batch, one channel of each row set to zero."""
        rows = len(self.batch)
        self.batch.movedim(self.axis, 1)[torch.arange(rows), torch.from_numpy(self.indices[:rows])] = 0
        return self.batch


class _NoBar:
    """Replacement of tqdm in Ablation-CAM's module: its progress bar would be written to the server's log."""

    @staticmethod
    def tqdm(steps: Iterable[int]) -> Iterable[int]:
        return steps


def _by_package(network: PatchNetwork, name: str, channels: Tensor, slopes: Tensor) -> np.ndarray:
    """float32 (h, w), before negative values are set to zero, from features and gradients (1, C, h, w)."""
    import pytorch_grad_cam

    if name == "EigenGradCAM" and channels[0, 0].numel() == 1:
        raise NetworkError(
            "a feature map of at least two cells",
            got="one cell",
            where="class map",
            fix="A single cell has no variation: choose another method, or larger patches.",
        )
    model = HeadModel(network, channels.device)
    cam = getattr(pytorch_grad_cam, name)(model, [model.target_layer])
    values, gradients = channels.cpu().numpy(), slopes.cpu().numpy()
    with np.errstate(all="ignore"):  # XGrad-CAM divides by a channel's sum; the caller checks the result
        grid = cam.get_cam_image(channels, model.target_layer, [], values, gradients, False)[0]
    if name == "EigenGradCAM" and (grid * (values * gradients)[0].sum(0)).sum() < 0:
        # A principal direction has no sign of its own: the package shows the wrong side of it about every second time
        # (benchmarks/results/map_methods.json). Ours points to where features times gradients are high.
        grid = -grid
    return grid


def _ablation(network: PatchNetwork, leaf: Tensor, channels: Tensor, index: int) -> np.ndarray:
    """float32 (h, w), Ablation-CAM in units of the class score, before negative values are set to zero."""
    from pytorch_grad_cam import AblationCAM, ablation_cam

    # A module attribute of the package: with its own progress bar, each map would write to standard error. Needed as
    # long as grad-cam's ablation_cam.py calls tqdm unconditionally (1.5 does).
    ablation_cam.tqdm = _NoBar
    with torch.no_grad():
        whole = network.head(leaf)[0, index].double()

    def target(scores: Tensor) -> Tensor:
        # The package divides the drop by the whole score, which inverts the map where that is negative. With this
        # target the whole score is always 1, so that a channel's weight is the drop itself.
        return 1 + scores[index].double() - whole

    model = HeadModel(network, leaf.device)
    # Networks with channels first get the features themselves from feature_map; all others have channels last.
    layer = ChannelAblation(axis=1 if network.feature_map(leaf) is leaf else -1)
    cam = AblationCAM(model, [model.target_layer], ablation_layer=layer)
    return cam.get_cam_image(leaf, model.target_layer, [target], channels.cpu().numpy(), None, False)[0]
