"""Where did the network look? Features on the seam and a class in, a class-activation map out.

Grad-CAM (Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74): each feature channel weighted by the mean gradient of the
class score with respect to it, summed, negative part cut off. The gradient is taken through the head alone, on a leaf
copy of the features: no hooks, so any number of threads may share one network.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from her2core.networks.registry import feature_map


@dataclass(frozen=True)
class ClassMap:
    """A class-activation map.

    ``grid`` float32 (h, w), Grad-CAM as it comes from the features, 0 and up, in units of the class score;
    ``target`` the class it is for; ``method`` how it was made; ``image`` uint8 (px, px, 3) RGB, what the network saw.
    """

    grid: np.ndarray
    target: str
    method: str = "gradcam"
    image: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def empty(self) -> bool:
        """Whether nothing spoke for this class anywhere: the map is zero all over."""
        return not (self.grid > 0).any()

    def scaled(self, size: int) -> np.ndarray:
        """float32 (size, size) in 0..1, bilinear, the strongest place 1; all 0 when the map is empty."""
        if self.empty:
            return np.zeros((size, size), np.float32)
        grid = (self.grid / self.grid.max()).astype(np.float32)
        return np.clip(np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BILINEAR)), 0, 1)


def class_map(
    network: nn.Module, features: Tensor, index: int, *, name: str, image: np.ndarray | None = None
) -> ClassMap:
    """The Grad-CAM of class ``index`` on features (1, ...) of one patch. Raises NetworkError without a spatial grid."""
    with torch.enable_grad():
        leaf = features.detach().clone().requires_grad_(True)
        score = network.head(leaf)[0, index]
        (gradient,) = torch.autograd.grad(score, leaf)
    channels, slopes = feature_map(network, leaf.detach())[0], feature_map(network, gradient)[0]
    grid = torch.relu((slopes.mean(dim=(1, 2))[:, None, None] * channels).sum(0))
    return ClassMap(grid.float().cpu().numpy(), name, image=image)
