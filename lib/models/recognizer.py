"""The recognizer: a network that turns spectrograms into logits of classes."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lib.core.errors import SettingsError
from lib.models.backbones import make_backbone
from lib.models.description import Description
from lib.models.heads import HEADS, pool


class Recognizer(nn.Module):
    """Normalization of bands, a backbone and a head, built as a description says.

    `train_class_names`, `train_class_codes`, `train_class_alt_names` and `train_class_alt_codes` are in the order of
    the scores. `num_train_specs`: windows that it was trained with. `use_sed`: whether it scores frames.
    """

    def __init__(self, description: Description, pretrained: bool = False) -> None:
        super().__init__()
        self.description = description
        self.normalize = nn.BatchNorm1d(description.audio.spec_height)
        self.backbone = make_backbone(description.backbone, pretrained, in_time=description.head != "pool")
        n_classes = len(description.classes)
        self.head = HEADS[description.head](self.backbone.num_features, n_classes, description.dropout)

    def forward(self, spectrograms: Tensor, frames: bool = False) -> Any:
        """Logits (n, n_classes) of spectrograms (n, height, width) in 0..1; with `frames`, as forward_frames."""
        logits = self.head(self._features(spectrograms), self.description.n_frames)
        return logits if frames else logits[0]

    def forward_frames(self, spectrograms: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (n, n_classes), and those of frames (n, n_classes, n_frames) if the head scores frames, else None.

        The frames are spread evenly over the window, sed_fps per second.
        """
        return self(spectrograms, frames=True)

    def embed(self, spectrograms: Tensor) -> Tensor:
        """Embeddings (n, num_features) of spectrograms (n, height, width) in 0..1."""
        return pool(self._features(spectrograms))

    def _features(self, spectrograms: Tensor) -> Tensor:
        spectrograms = spectrograms.flatten(0, -3)  # also (n, 1, height, width)
        images = self.normalize(spectrograms).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        return self.backbone(images)

    @property
    def train_class_names(self) -> list[str]:
        return self.description.class_names

    @property
    def train_class_codes(self) -> list[str]:
        return [entry["code"] for entry in self.description.classes]

    @property
    def train_class_alt_names(self) -> list[str]:
        return [entry["alt_name"] for entry in self.description.classes]

    @property
    def train_class_alt_codes(self) -> list[str]:
        return [entry["alt_code"] for entry in self.description.classes]

    @property
    def num_classes(self) -> int:
        return len(self.description.classes)

    @property
    def num_train_specs(self) -> int:
        return self.description.training.get("windows", 0)

    @property
    def multi_label(self) -> bool:
        return self.description.multi_label

    @property
    def use_sed(self) -> bool:
        return self.description.head != "pool"


def build(description: Description, pretrained: bool = False) -> Recognizer:
    """A new recognizer. Raises SettingsError if its backbone does not exist or does not fit."""
    audio = description.audio
    model = Recognizer(description, pretrained)
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, audio.spec_height, audio.spec_width))
    except (RuntimeError, ValueError, AssertionError):  # it takes images of one size, or other layouts
        size = f"{audio.spec_height} x {audio.spec_width}"
        fault = f"cannot take spectrograms of {size} (bands x frames)"
        raise SettingsError(f"train.backbone = {description.backbone!r}", fault, "choose another") from None
    return model


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Fold batch normalizations into the convolutions before them, in place: the same function, 20 % faster.

    model: in evaluation mode. A normalization that follows its convolution in an nn.Sequential becomes an identity.
    """
    for layers in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for i, (first, second) in enumerate(pairwise(layers)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                layers[i], layers[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return model
