"""Backbones: networks that turn images (n, channels, height, width), or waveforms (n, samples), into feature maps.

BACKBONES registers by name how each is made; any other name is a timm model. Networks are imported when they are made,
so that the names cost nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lib.core.errors import SettingsError
from lib.models.backbone_options import BackboneOptions

if TYPE_CHECKING:
    from torch import nn


def _cnn(options: BackboneOptions) -> "nn.Module":
    from lib.models.cnn import WIDTHS, Cnn
    from lib.models.pretrained_weights import load_file

    if options.drop_path:
        raise SettingsError(f"train.drop_path = {options.drop_path:g}", "cnn has no blocks to skip", "set it to 0")
    if options.depth_factor != 1:
        raise SettingsError(f"train.depth_factor = {options.depth_factor:g}", "cnn has a fixed depth", "set it to 1")
    widths = tuple(max(4, round(width * options.width_factor)) for width in WIDTHS)
    cnn = Cnn(widths, options.in_chans)
    if options.pretrained:
        load_file(cnn, options.pretrained, "cnn")
    return cnn


def _ast(options: BackboneOptions) -> "nn.Module":
    from lib.models.audio_spectrogram_transformer import make_ast

    return make_ast(options)


def _wav2vec2(options: BackboneOptions) -> "nn.Module":
    from lib.models.wav2vec2 import Wav2Vec2

    return Wav2Vec2(options)


def _wav2vec2_cnn(options: BackboneOptions) -> "nn.Module":
    from lib.models.wav2vec2 import Wav2Vec2Cnn

    return Wav2Vec2Cnn(options)


def _timm(model: str) -> "Callable[[BackboneOptions], nn.Module]":
    def make(options: BackboneOptions) -> "nn.Module":
        from lib.models.timm_backbone import TimmBackbone

        return TimmBackbone(model, options, BACKBONES)

    return make


OF_TIMM = {
    "efficient_net_v2_s": "tf_efficientnetv2_s",
    "efficient_net_v2_m": "tf_efficientnetv2_m",
    "efficient_net_v2_l": "tf_efficientnetv2_l",
    "resnext50_32x4d": "resnext50_32x4d",
    "resnext101_32x8d": "resnext101_32x8d",
    "resnext101_64x4d": "resnext101_64x4d",
    "convnext_tiny": "convnext_tiny",
    "convnext_small": "convnext_small",
    "convnext_base": "convnext_base",
    "convnext_large": "convnext_large",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobnet": "mobilenetv3_small_050",
    "dla": "dla34",
    "effnet": "tf_efficientnetv2_b0",
    "gernet": "gernet_s",
    "hgnet": "hgnetv2_b0",
    "vovnet": "ese_vovnet19b_slim",
    "repvit": "repvit_m0_9",
}
"""The models of timm that other names stand for."""

BACKBONES: "dict[str, Callable[[BackboneOptions], nn.Module]]" = {
    "cnn": _cnn,
    "ast": _ast,
    "wav2vec2": _wav2vec2,
    "wav2vec": _wav2vec2,
    "wav2vec_cnn": _wav2vec2_cnn,
} | {name: _timm(model) for name, model in OF_TIMM.items()}
"""How the backbone of each name of train.backbone is made.

It is a module with `takes` ("images" or "waveforms"), `num_features` (channels of its feature maps) and `forward`: to
feature maps (n, num_features, bands, frames).
"""


def make_backbone(name: str, options: BackboneOptions) -> "nn.Module":
    """The backbone of a name, of BACKBONES or of a timm model.

    Raises SettingsError if there is none of that name, if it cannot be scaled or skip blocks, or if its weights cannot
    be had or do not fit.
    """
    make = BACKBONES[name] if name in BACKBONES else _timm(name)
    return make(options)
