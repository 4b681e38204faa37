"""The modified ResNet50: images in, class scores out, with a seam between features and head.

Joshi et al. 2025 (doi 10.48084/etasr.12140) cascade ResNet50 with a squeeze-and-excitation block (Hu et al. 2018,
doi 10.1109/CVPR.2018.00745) and a depthwise separable convolution (Chollet 2017, doi 10.1109/CVPR.2017.195). The paper
as public to us states neither widths nor order nor dropout. Our reading, each value our choice:

    trunk (ResNet50, 2048 channels) -> SE (reduction 16) -> DSC (3x3 depthwise, 1x1 to 512, BN, ReLU)
    -> global average pooling -> dropout 0.3 -> linear

``output_stride=16`` keeps the last stage at stride 1, so that a 112-px patch gives a 7 x 7 map instead of 4 x 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from her2core.errors import NetworkError


class SqueezeExcitation(nn.Module):
    """Channel weights from the global mean. (N, C, h, w) -> (N, C, h, w)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3))))))
        return x * weights[:, :, None, None]


class DepthwiseSeparable(nn.Module):
    """3x3 over each channel, then 1x1 across channels. (N, in, h, w) -> (N, out, h, w)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.depthwise_norm(self.depthwise(x)))
        return torch.relu(self.pointwise_norm(self.pointwise(x)))


class Her2ResNet50(nn.Module):
    """ResNet50, then SE, then DSC, each of which can be switched off or swapped for an ablation.

    Parameters
    ----------
    classes : number of outputs, at least 2.
    se, dsc : whether the block is there.
    order : ``"se_dsc"`` (ours) or ``"dsc_se"``.
    se_reduction, dsc_channels, dropout : widths, see the module's text.
    output_stride : 32 (torchvision's) or 16.
    zero_init : start each residual block as the identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1). From
        random weights this decides whether a few epochs teach anything; weights to start from undo it.
    """

    def __init__(
        self,
        classes: int,
        *,
        se: bool = True,
        dsc: bool = True,
        order: str = "se_dsc",
        se_reduction: int = 16,
        dsc_channels: int = 512,
        dropout: float = 0.3,
        output_stride: int = 16,
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        if order not in ("se_dsc", "dsc_se"):
            raise NetworkError("order se_dsc or dsc_se", got=repr(order), where="network.order", fix="Choose one.")
        if output_stride not in (16, 32):
            raise NetworkError(
                "output_stride 16 or 32", got=str(output_stride), where="network.output_stride", fix="Choose one."
            )
        trunk = resnet50(weights=None, zero_init_residual=zero_init)
        if output_stride == 16:
            trunk.layer4[0].conv2.stride = trunk.layer4[0].downsample[0].stride = (1, 1)
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4
        channels, blocks = 2048, []
        for block in order.split("_"):
            if block == "se" and se:
                blocks.append(SqueezeExcitation(channels, se_reduction))
            elif block == "dsc" and dsc:
                blocks.append(DepthwiseSeparable(channels, dsc_channels))
                channels = dsc_channels
        self.cascade = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, classes)

    def features(self, x: Tensor) -> Tensor:
        """float (N, 3, H, W), normalised -> float (N, C, H / stride, W / stride)."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return self.cascade(x)

    def embed(self, features: Tensor) -> Tensor:
        """float (N, C, h, w) -> (N, C): what the last layer is given, without dropout."""
        return features.mean(dim=(2, 3))

    def head(self, features: Tensor) -> Tensor:
        """float (N, C, h, w) -> scores (N, classes), before softmax."""
        return self.classifier(self.dropout(self.embed(features)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    @property
    def last_layer(self) -> str:
        """Dotted name of the layer that gives the scores."""
        return "classifier"

    def trunk_modules(self) -> list[nn.Module]:
        """What ImageNet weights fill, and what a freeze-then-unfreeze schedule freezes."""
        return [self.stem, self.layer1, self.layer2, self.layer3, self.layer4]


def rename_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's resnet50 names -> this network's; its classifier is dropped."""
    stem = {"conv1": "stem.0", "bn1": "stem.1"}
    renamed = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if first != "fc":
            renamed[f"{stem.get(first, first)}.{rest}"] = value
    return renamed
