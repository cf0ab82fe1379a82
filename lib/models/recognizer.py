"""The recognizer: a network that turns spectrograms, or the sound of windows, into logits of classes."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lib.core.errors import EarshotError, SettingsError
from lib.models.backbone_options import BackboneOptions
from lib.models.backbones import make_backbone
from lib.models.description import Description
from lib.models.frontends import Frontend, make_frontend
from lib.models.frontends.raw_waveform import RawWaveform
from lib.models.heads import HEADS, pool
from lib.models.onnx_backbone import OnnxBackbone


class Recognizer(nn.Module):
    """A frontend, normalization of bands, a backbone and a head, built as a description says.

    Its inputs are what the frontend takes: spectrograms, float32 (n, height, width) in 0..1, or waveforms, float32
    (n, samples). Images (n, channels, height, width) are taken as the frontend's output.

    What an ONNX model takes is not normalized: it was trained with other sounds than the recognizer is.

    `train_class_names`, `train_class_codes`, `train_class_alt_names` and `train_class_alt_codes` are in the order of
    the scores. `num_train_specs`: windows that it was trained with. `use_sed`: whether it scores frames.
    """

    normalize: nn.Module
    backbone: Any  # a module with `takes` and `num_features`

    def __init__(
        self,
        description: Description,
        pretrained: bool | str = False,
        drop_path: float = 0.0,
        onnx: bytes | None = None,
    ) -> None:
        super().__init__()
        self.description = description
        self.frontend = make_frontend(description.frontend, description.audio)
        self.normalize = nn.Identity()
        if self.frontend.gives == "images" and not description.onnx:
            self.normalize = nn.BatchNorm1d(self.frontend.n_channels * self.frontend.height)
        self.backbone = _backbone(description, self.frontend, pretrained, drop_path, onnx)
        if description.onnx and isinstance(self.frontend, RawWaveform):
            self.frontend.is_standardized = False
        n_classes = len(description.classes)
        self.head = HEADS[description.head](self.backbone.num_features, n_classes, description.dropout)

    def forward(self, inputs: Tensor, frames: bool = False, are_features: bool = False) -> Any:
        """Logits (n, n_classes) of windows; with `frames`, as forward_frames.

        are_features: they are feature maps (n, num_features, bands, frames) of the backbone already, see `features`.
        """
        logits = self.head(inputs if are_features else self.features(inputs), self.description.n_frames)
        return logits if frames else logits[0]

    def forward_frames(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (n, n_classes), and those of frames (n, n_classes, n_frames) if the head scores frames, else None.

        The frames are spread evenly over the window, sed_fps per second.
        """
        return self(inputs, frames=True)

    def embed(self, inputs: Tensor) -> Tensor:
        """Embeddings (n, num_features) of windows; those of an ONNX model are its own."""
        return self.embedding_of(self.features(inputs))

    def embedding_of(self, features: Tensor) -> Tensor:
        """The embeddings (n, num_features) of feature maps (n, num_features, bands, frames)."""
        return features[:, :, 0, 0] if self.description.onnx and features.shape[2:] == (1, 1) else pool(features)

    def features(self, inputs: Tensor) -> Tensor:
        """The backbone's feature maps (n, num_features, bands, frames) of windows."""
        images = inputs if inputs.ndim == 4 else self.frontend(inputs)
        if images.ndim == 4:
            bands = self.normalize(images.flatten(1, 2))
            images = bands.unflatten(1, images.shape[1:3]).contiguous(memory_format=torch.channels_last)
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
        return self.description.head == "sed"


def _backbone(
    description: Description, frontend: Frontend, pretrained: bool | str, drop_path: float, onnx: bytes | None
) -> Any:
    """The backbone of a description. Raises SettingsError unless it takes what the frontend gives."""
    in_time, audio = HEADS[description.head].in_time, description.audio
    setting = f"train.backbone = {description.backbone_name!r}"
    if description.onnx is not None:
        if onnx is None:
            raise EarshotError(description.onnx.name, "is not stored with the model", "retrain it")
        if misfits := list(description.onnx.card.misfits(audio, description.frontend)):
            fault = "takes other input than these settings make"
            raise SettingsError(setting, fault, f"set {', '.join(misfits)}, and run the extract stage again")
        size = tuple(frontend(frontend.example).shape[1 if frontend.gives == "waveforms" else 2 :])
        return OnnxBackbone(onnx, description.onnx, size, in_time)
    scales = description.width_factor, description.depth_factor
    options = BackboneOptions(pretrained, in_time, drop_path, frontend.n_channels, *scales)
    backbone = make_backbone(description.backbone, options)
    if backbone.takes != frontend.gives:
        fault = f"gives {frontend.gives}, while {description.backbone} takes {backbone.takes}"
        setting = f"train.frontend = {description.frontend!r}"
        raise SettingsError(setting, fault, "choose another, or another train.backbone")
    if (rate := getattr(backbone, "sampling_rate", audio.sampling_rate)) != audio.sampling_rate:
        fault = f"takes sound at {rate} Hz, not {audio.sampling_rate} Hz"
        raise SettingsError(setting, fault, f"set audio.sampling_rate to {rate}, and run the extract stage again")
    return backbone


def build(
    description: Description, pretrained: bool | str = False, drop_path: float = 0.0, onnx: bytes | None = None
) -> Recognizer:
    """A new recognizer. Raises SettingsError if its backbone does not exist or does not fit.

    Args:
        description: what it is.
        pretrained: whether its backbone starts from published weights, or where to find weights.
        drop_path: share of the backbone's blocks that are skipped in training.
        onnx: the ONNX model that is its backbone, in one piece.
    """
    model = Recognizer(description, pretrained, drop_path, onnx)
    try:
        with torch.inference_mode():
            images = model.frontend(model.frontend.example)
            model.eval()(images)
    except (RuntimeError, ValueError, AssertionError):  # it takes images of one size, or other layouts
        what = "spectrograms of {} x {} (bands x frames)" if images.ndim == 4 else "waveforms of {} samples"
        fault = f"cannot take {what.format(*images.shape[images.ndim // 2 :])}"
        raise SettingsError(f"train.backbone = {description.backbone_name!r}", fault, "choose another") from None
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
