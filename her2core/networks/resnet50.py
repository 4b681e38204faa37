"""Trunk of ResNet50: stem and four stages of bottleneck blocks.

He et al. 2016 (doi 10.1109/CVPR.2016.90), with the stride of a block in its 3 x 3 convolution. Tensors have the names,
shapes and, at each seed, the random values of torchvision's (tests/test_networks.py compares them). torchvision's own
class is not used: importing it brings in all of torchvision.models and, by that, torch's compiler, which takes longer
than all else that a prediction imports beside torch (benchmarks/results/start.json).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

_EXPANSION = 4
#: Width and number of blocks of each stage.
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


class Trunk(NamedTuple):
    """Parts of ResNet50 in the order of the forward pass, the last stage with 2048 channels.

    Attributes
    ----------
    stem : nn.Sequential
        7 x 7 convolution, batch normalisation, ReLU and 3 x 3 maximum, each of the two strides 2.
    layer1, layer2, layer3, layer4 : nn.Sequential
        Stages of `Bottleneck`.
    """

    stem: nn.Sequential
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential


class Bottleneck(nn.Module):
    """Residual block of a 1 x 1, a 3 x 3 and a 1 x 1 convolution.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    width : int
        Channels of the 3 x 3 convolution; the output has four times as many.
    stride : int, default 1
        Of the 3 x 3 convolution.

    References
    ----------
    He et al. 2016, doi 10.1109/CVPR.2016.90.

    Examples
    --------
    >>> import torch
    >>> Bottleneck(64, 64, stride=2)(torch.zeros(1, 64, 8, 8)).shape
    torch.Size([1, 256, 4, 4])
    """

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        out_channels = _EXPANSION * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, in_channels, h, w) -> (N, 4 * width, h / stride, w / stride), 0 and up."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut  # in place: training keeps no second copy
        return self.relu(x)


def resnet50_trunk(*, zero_init: bool = False, output_stride: int = 32) -> Trunk:
    """A randomly initialised trunk.

    Parameters
    ----------
    zero_init : bool, default False
        Initialise each residual block as the identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
    output_stride : {16, 32}
        Pixels of the input a cell of the feature map; with 16 the last stage has stride 1.

    Returns
    -------
    Trunk

    References
    ----------
    He et al. 2016, doi 10.1109/CVPR.2016.90; initialisation: He et al. 2015, doi 10.1109/ICCV.2015.123.

    Examples
    --------
    >>> import torch
    >>> trunk = resnet50_trunk()
    >>> x = torch.zeros(1, 3, 64, 64)
    >>> for part in trunk:
    ...     x = part(x)
    >>> x.shape
    torch.Size([1, 2048, 2, 2])
    """
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
    )
    stages: list[nn.Sequential] = []
    channels = 64
    for number, (width, blocks) in enumerate(_STAGES):
        stride = 1 if number == 0 or (number == 3 and output_stride == 16) else 2
        stage: list[nn.Module] = []
        for block in range(blocks):
            stage.append(Bottleneck(channels, width, stride=1 if block else stride))
            channels = _EXPANSION * width
        stages.append(nn.Sequential(*stage))
    # torchvision makes its last layer before it initialises the convolutions. Making one here draws as many random
    # numbers, so that a seed gives the weights that it gave when the released runs were trained.
    nn.Linear(channels, 1000)
    trunk = Trunk(stem, *stages)
    for part in trunk:
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init and isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
    return trunk
