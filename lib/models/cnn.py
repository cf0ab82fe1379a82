"""A small residual CNN, the default backbone."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (24, 48, 96, 192)


class Cnn(nn.Module):
    """A small residual CNN that trains from scratch on hundreds of clips and is fast on a CPU.

    Images (n, in_chans, height, width) become feature maps (n, num_features, h, w): the stem divides height and width
    by 4, each residual block after the first by 2.

    Args:
        widths: channels of the blocks.
        in_chans: channels of the images.
    """

    takes = "images"

    def __init__(self, widths: tuple[int, ...] = WIDTHS, in_chans: int = 1) -> None:
        super().__init__()
        self.num_features = widths[-1]
        stem = _convolution(in_chans, widths[0], 5, stride=2)
        self.stem = nn.Sequential(*stem, nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.blocks = nn.Sequential(
            *(_Block(before, after, i > 0) for i, (before, after) in enumerate(pairwise(widths)))
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images))


class _Block(nn.Module):
    """Two 3x3 convolutions with a 1x1 shortcut (He et al., Deep Residual Learning for Image Recognition, 2016)."""

    def __init__(self, before: int, after: int, halve: bool) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if halve else nn.Identity()
        self.residual = nn.Sequential(
            *_convolution(before, after, 3), nn.ReLU(inplace=True), *_convolution(after, after, 3)
        )
        self.shortcut = nn.Sequential(*_convolution(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        return F.relu(self.residual(x) + self.shortcut(x))


def _convolution(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after)]
