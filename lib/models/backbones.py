"""Backbones: what turns spectrograms (n, 1, height, width) into feature maps (n, channels, h, w).

`cnn` is the project's own; any other name is a timm model. A backbone has `num_features`, its number of channels.
"""

import difflib
import logging
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.errors import SettingsError


class Cnn(nn.Module):
    """A small residual CNN that trains from scratch on hundreds of clips and is fast on a CPU.

    A stem that quarters height and width, then a residual block for each further width; each but the first halves both.
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
    """Two 3x3 convolutions beside a 1x1 one (He et al., Deep Residual Learning for Image Recognition, 2016)."""

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

    in_time: whether the last dimension of the features must be time. A transformer's tokens are laid out in bands and
    frames then; else they are one row, with its token of class.
    """

    model: Any  # timm's models have no type in common that knows forward_features
    num_features: int

    def __init__(self, name: str, pretrained: bool, in_time: bool = False) -> None:
        super().__init__()
        self.name, self.in_time = name, in_time
        import timm  # takes seconds, and the default backbone does without

        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it tells of each retry

        if not timm.is_model(name):
            close = ", ".join(difflib.get_close_matches(name, timm.list_models(), 6)) or "see timm.list_models()"
            raise SettingsError(f"train.backbone = {name!r}: must be cnn or the name of a timm model; {close}")
        create = partial(timm.create_model, name, pretrained, in_chans=1, num_classes=0, global_pool="")
        try:
            try:
                self.model = create(dynamic_img_size=True, dynamic_img_pad=True)
            except TypeError:  # only transformers have to be told that images have any size
                self.model = create()
        except (RuntimeError, OSError, AssertionError) as error:  # no such weights, no way to them, or no use for them
            reason = str(error).splitlines()[0]
            action = "connect to the internet once, or set it to false" if pretrained else "choose another"
            raise SettingsError(f"train.backbone = {name!r}: cannot be loaded ({reason}); {action}") from None
        self.num_features = self.model.num_features

    def forward(self, spectrograms: Tensor) -> Tensor:
        features = self.model.forward_features(spectrograms)
        if features.ndim != 3:
            return features
        tokens = features.transpose(1, 2)  # a transformer's (n, tokens, channels)
        return self._in_time(tokens, spectrograms.shape[2:]) if self.in_time else tokens.unsqueeze(2)

    def _in_time(self, tokens: Tensor, size: torch.Size) -> Tensor:
        """Tokens (n, channels, tokens) as feature map (n, channels, bands, frames) of images of that size."""
        try:
            patches = self.model.patch_embed.dynamic_feat_size(tuple(size))
        except AttributeError:
            fault = f"train.backbone = {self.name!r}: its tokens have no time"
            raise SettingsError(f"{fault}; choose another, or set train.head to pool") from None
        return tokens[:, :, self.model.num_prefix_tokens :].unflatten(2, patches)


BACKBONES = {"cnn": Cnn}


def make_backbone(name: str, pretrained: bool = False, in_time: bool = False) -> Cnn | TimmBackbone:
    """The backbone of that name. Raises SettingsError if there is none, or no pretrained weights of it.

    in_time: whether the last dimension of its features must be time.
    """
    if name not in BACKBONES:
        return TimmBackbone(name, pretrained, in_time)
    if pretrained:
        fault = f"train.pretrained = True: {name} has no published weights"
        raise SettingsError(f"{fault}; choose a timm model or set it to false")
    return BACKBONES[name]()
