"""RGB pixels as tensors of networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: Channel means and standard deviations of ImageNet, for pixels in 0..1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_tensor(
    images: npt.NDArray[np.uint8], mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Tensor:
    """RGB pixels as a standardised tensor.

    Parameters
    ----------
    images : uint8 array (N, H, W, 3) or (H, W, 3)
        RGB pixels, 0-255.
    mean, std : sequence of three floats
        Channel means and standard deviations of pixels scaled to 0..1; those of ImageNet when left out.

    Returns
    -------
    float32 tensor (N, 3, H, W) or (3, H, W)
        ``(images / 255 - mean) / std``, channels first.

    Examples
    --------
    >>> to_tensor(np.full((2, 4, 5, 3), 255, np.uint8), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))[0, 0, 0].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    scaled = torch.from_numpy(np.ascontiguousarray(images)).float().div_(255)
    scaled = scaled.sub_(torch.tensor(mean)).div_(torch.tensor(std))
    return scaled.movedim(-1, -3)
