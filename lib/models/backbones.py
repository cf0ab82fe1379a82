"""Backbones: networks that turn spectrograms (n, 1, height, width) into feature maps (n, channels, h, w).

BACKBONES registers the project's own by name; any other name is a timm model. `num_features` is the number of channels.
"""

import difflib
import logging
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.core.errors import SettingsError


class Cnn(nn.Module):
    """A small residual CNN that trains from scratch on hundreds of clips and is fast on a CPU.

    The stem divides height and width by 4, each residual block after the first by 2. widths: channels of the blocks.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 192)) -> None:
        super().__init__()
        self.num_features = widths[-1]
        self.stem = nn.Sequential(*_convolution(1, widths[0], 5, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.blocks = nn.Sequential(
            *(_Block(before, after, i > 0) for i, (before, after) in enumerate(pairwise(widths)))
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        return self.blocks(self.stem(spectrograms))


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


class TimmBackbone(nn.Module):
    """A timm model for one input channel, without its classifier.

    in_time: whether the last dimension of the features must be time. If so, a transformer's tokens are laid out as
    bands and frames; else they form one row, including its class token.
    """

    model: Any  # timm's models have no common type with forward_features
    num_features: int

    def __init__(self, name: str, pretrained: bool, in_time: bool = False) -> None:
        super().__init__()
        self.name, self.in_time = name, in_time
        import timm  # takes seconds, and the default backbone does without

        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it logs each retry

        if not timm.is_model(name):
            close = ", ".join(difflib.get_close_matches(name, timm.list_models(), 6)) or "see timm.list_models()"
            raise SettingsError(f"train.backbone = {name!r}", "must be cnn or the name of a timm model", close)
        create = partial(timm.create_model, name, pretrained, in_chans=1, num_classes=0, global_pool="")
        try:
            try:
                self.model = create(dynamic_img_size=True, dynamic_img_pad=True)
            except TypeError:  # only transformers take these options
                self.model = create()
        except (
            RuntimeError,
            OSError,
            AssertionError,
        ) as error:  # weights do not exist, cannot be reached, or do not fit
            fault = f"cannot be loaded ({str(error).splitlines()[0]})"
            remedy = "connect to the internet once, or set it to false" if pretrained else "choose another"
            raise SettingsError(f"train.backbone = {name!r}", fault, remedy) from None
        self.num_features = self.model.num_features

    def forward(self, spectrograms: Tensor) -> Tensor:
        features = self.model.forward_features(spectrograms)
        if features.ndim != 3:
            return features
        tokens = features.transpose(1, 2)  # a transformer's (n, tokens, channels)
        return self._in_time(tokens, spectrograms.shape[2:]) if self.in_time else tokens.unsqueeze(2)

    def _in_time(self, tokens: Tensor, size: torch.Size) -> Tensor:
        """Tokens (n, channels, tokens) as the feature map (n, channels, bands, frames) of images of a size."""
        try:
            patches = self.model.patch_embed.dynamic_feat_size(tuple(size))
        except AttributeError:
            remedy = "choose another, or set train.head to pool"
            raise SettingsError(f"train.backbone = {self.name!r}", "its tokens have no time", remedy) from None
        return tokens[:, :, self.model.num_prefix_tokens :].unflatten(2, patches)


BACKBONES = {"cnn": Cnn}
"""Backbones of the project, by the name that train.backbone has."""


def make_backbone(name: str, pretrained: bool = False, in_time: bool = False) -> Cnn | TimmBackbone:
    """The backbone of a name. Raises SettingsError if there is none, or if it has no pretrained weights.

    in_time: whether the last dimension of its features must be time.
    """
    if name not in BACKBONES:
        return TimmBackbone(name, pretrained, in_time)
    if pretrained:
        fault = f"{name} has no published weights"
        raise SettingsError("train.pretrained = True", fault, "choose a timm model or set it to false")
    return BACKBONES[name]()
