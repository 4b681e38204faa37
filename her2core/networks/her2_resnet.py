"""Modified ResNet50 with squeeze-and-excitation and depthwise separable convolution.

Joshi et al. 2025 (doi 10.48084/etasr.12140) cascade ResNet50 with a squeeze-and-excitation block (Hu et al. 2018,
doi 10.1109/CVPR.2018.00745) and a depthwise separable convolution (Chollet 2017, doi 10.1109/CVPR.2017.195). What is
public of the paper states neither widths nor order nor dropout. Our reading, each value our choice:

    trunk (ResNet50, 2048 channels) -> SE (reduction 16) -> DSC (3x3 depthwise, 1x1 to 512, BN, ReLU)
    -> global average pooling -> dropout 0.3 -> linear

``output_stride=16`` gives the last stage stride 1, so that a 112-px patch has a 7 x 7 feature map instead of 4 x 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from her2core.errors import NetworkError
from her2core.networks.grid import require_grid
from her2core.networks.resnet50 import resnet50_trunk


class SqueezeExcitation(nn.Module):
    """Channel weights from the spatial mean of each channel.

    Parameters
    ----------
    channels : int
        Channels of the input and the output.
    reduction : int, default 16
        Factor by which the hidden layer is narrower.

    References
    ----------
    Hu et al. 2018, doi 10.1109/CVPR.2018.00745.

    Examples
    --------
    >>> block = SqueezeExcitation(32)
    >>> block(torch.zeros(2, 32, 7, 7)).shape
    torch.Size([2, 32, 7, 7])
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, C, h, w) -> (N, C, h, w), each channel times a weight in 0..1."""
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3))))))
        return x * weights[:, :, None, None]


class DepthwiseSeparable(nn.Module):
    """A 3 x 3 convolution of each channel, then a 1 x 1 convolution across channels.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and the output.

    References
    ----------
    Chollet 2017, doi 10.1109/CVPR.2017.195.

    Examples
    --------
    >>> block = DepthwiseSeparable(8, 4)
    >>> block(torch.zeros(2, 8, 7, 7)).shape
    torch.Size([2, 4, 7, 7])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, in_channels, h, w) -> (N, out_channels, h, w), 0 and up."""
        x = torch.relu(self.depthwise_norm(self.depthwise(x)))
        return torch.relu(self.pointwise_norm(self.pointwise(x)))


class Her2ResNet50(nn.Module):
    """ResNet50, then SE, then DSC; either block can be switched off, or their order swapped, for an ablation.

    Parameters
    ----------
    classes : int
        Number of outputs, at least 2.
    se, dsc : bool, default True
        Whether the block is part of the network.
    order : {"se_dsc", "dsc_se"}
        Which block comes first.
    se_reduction : int, default 16
        Factor by which the hidden layer of the SE block is narrower.
    dsc_channels : int, default 512
        Output channels of the DSC block.
    dropout : float, default 0.3
        Probability in front of the last layer.
    output_stride : {16, 32}
        Pixels of the input a cell of the feature map; torchvision's ResNet50 has 32.
    zero_init : bool, default False
        Initialise each residual block as the identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1). From random
        weights this decides whether a few epochs teach anything; pretrained weights undo it.

    Raises
    ------
    NetworkError
        For another ``order`` or ``output_stride``.

    References
    ----------
    Joshi et al. 2025, doi 10.48084/etasr.12140.

    Examples
    --------
    >>> network = Her2ResNet50(3).eval()
    >>> with torch.no_grad():
    ...     features = network.features(torch.zeros(1, 3, 112, 112))
    >>> features.shape
    torch.Size([1, 512, 7, 7])
    >>> network.head(features).shape
    torch.Size([1, 3])
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
            raise NetworkError(
                "option `order` to be 'se_dsc' or 'dsc_se'", got=repr(order), where="network.options", fix="Correct it."
            )
        if output_stride not in (16, 32):
            raise NetworkError(
                "option `output_stride` to be 16 or 32",
                got=repr(output_stride),
                where="network.options",
                fix="Correct it.",
            )
        trunk = resnet50_trunk(zero_init=zero_init, output_stride=output_stride)
        self.stem = trunk.stem
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4
        channels = 2048
        blocks: list[nn.Module] = []
        for block in order.split("_"):
            if block == "se" and se:
                blocks.append(SqueezeExcitation(channels, se_reduction))
            elif block == "dsc" and dsc:
                blocks.append(DepthwiseSeparable(channels, dsc_channels))
                channels = dsc_channels
        self.cascade = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, classes)

    @property
    def last_layer(self) -> str:
        """Dotted name of the layer that gives the scores."""
        return "classifier"

    def features(self, x: Tensor) -> Tensor:
        """Features, float (N, C, H / stride, W / stride), of float32 (N, 3, H, W) normalised RGB."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return self.cascade(x)

    def embed(self, features: Tensor) -> Tensor:
        """Global average pooling, float (N, C, h, w) -> (N, C): the input of the last layer, without dropout."""
        return features.mean(dim=(2, 3))

    def head(self, features: Tensor) -> Tensor:
        """Scores before softmax, float (N, classes), of features (N, C, h, w)."""
        return self.classifier(self.dropout(self.embed(features)))

    def forward(self, x: Tensor) -> Tensor:
        """Scores before softmax, float (N, classes), of float32 (N, 3, H, W) normalised RGB."""
        return self.head(self.features(x))

    def feature_map(self, features: Tensor) -> Tensor:
        """The features themselves, (N, C, h, w); NetworkError where they have no spatial grid."""
        return require_grid(features)

    def trunk_modules(self) -> list[nn.Module]:
        """Stem and the four stages: what ImageNet weights fill."""
        return [self.stem, self.layer1, self.layer2, self.layer3, self.layer4]


def rename_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of torchvision's ResNet50 under the names of `Her2ResNet50`.

    Parameters
    ----------
    state : dict of str to Tensor
        ``torchvision.models.resnet50().state_dict()``.

    Returns
    -------
    dict of str to Tensor
        The same tensors, without those of torchvision's classifier.

    Examples
    --------
    >>> sorted(rename_torchvision({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}))
    ['stem.0.weight']
    """
    stem = {"conv1": "stem.0", "bn1": "stem.1"}
    renamed = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if first != "fc":
            renamed[f"{stem.get(first, first)}.{rest}"] = value
    return renamed
