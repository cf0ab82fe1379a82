"""timm models by width and depth: the channels of a model and its number of layers, each times a factor.

Scaled channels are multiples of 8, at least 16 (in a ResNet multiples of 16, in a vision transformer whole heads).
Depth counts the blocks of a stage or, in families that aggregate the layers of a block (HGNet, VoVNet), these layers;
at least one is left.
"""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import timm
from timm.models import byobnet, hgnet, mobilenetv3, vovnet

from lib.core.errors import SettingsError


def scaled_model(name: str, width: float, depth: float, **options: Any) -> Any:
    """A timm model with random weights, scaled.

    Args:
        name: of the model.
        width, depth: factors of its channels and of its layers.
        options: of timm.create_model.

    Raises SettingsError if its kind cannot be scaled, and what timm raises where scaling gives no valid network.
    """
    base = timm.create_model(name, device="meta")
    kind = type(base).__name__
    if kind not in SCALES:
        setting = f"train.width_factor = {width:g}, train.depth_factor = {depth:g}"
        fault = f"{name} is a {kind}, which cannot be scaled"
        raise SettingsError(setting, fault, f"set both to 1, or choose one of {', '.join(SCALES)}")
    model = SCALES[kind](name, base, width, depth, options)
    if not hasattr(model, "pretrained_cfg"):  # which tells where its first layer and its classifier are
        model.pretrained_cfg = base.pretrained_cfg
    return model


def _channels(n: int, width: float, multiple: int = 8) -> int:
    # With 8, the backward pass of a strided 1x1 convolution, channels last, corrupts memory (torch 2.11 on a CPU).
    return n if width == 1 else max(16, round(n * width / multiple) * multiple)


def _layers(n: int, depth: float) -> int:
    return max(1, round(n * depth))


def _by_arguments(arguments: Callable[[Any, float, float], dict[str, Any]]) -> Callable[..., Any]:
    """Of models whose channels and layers are arguments of their constructors."""

    def scale(name: str, base: Any, width: float, depth: float, options: dict[str, Any]) -> Any:
        return timm.create_model(name, **arguments(base, width, depth), **options)

    return scale


def _dla(base: Any, width: float, depth: float) -> dict[str, Any]:
    of_convolutions = [len(level) // 3 for level in (base.level0, base.level1)]
    levels = [*of_convolutions, *(level.levels for level in (base.level2, base.level3, base.level4, base.level5))]
    return {
        "channels": [_channels(n, width) for n in base.channels],
        "levels": [_layers(n, depth) for n in levels],
    }


def _repvit(base: Any, width: float, depth: float) -> dict[str, Any]:
    return {
        "embed_dim": tuple(_channels(n, width) for n in base.embed_dim),
        "depth": tuple(_layers(len(stage.blocks), depth) for stage in base.stages),
    }


def _convnext(base: Any, width: float, depth: float) -> dict[str, Any]:
    return {
        "dims": tuple(_channels(stage["num_chs"], width) for stage in base.feature_info),
        "depths": tuple(_layers(len(stage.blocks), depth) for stage in base.stages),
    }


def _resnet(base: Any, width: float, depth: float) -> dict[str, Any]:
    stages = [base.layer1, base.layer2, base.layer3, base.layer4]
    return {
        "channels": tuple(_channels(64 * 2**i, width, 16) for i in range(len(stages))),
        "layers": tuple(_layers(len(stage), depth) for stage in stages),
    }


def _efficientnet(base: Any, width: float, depth: float) -> dict[str, Any]:
    return {"channel_multiplier": width, "depth_multiplier": depth}


def _vision_transformer(base: Any, width: float, depth: float) -> dict[str, Any]:
    attention = base.blocks[0].attn
    heads = _layers(attention.num_heads, width)
    dim = base.embed_dim // attention.num_heads
    return {"embed_dim": heads * dim, "num_heads": heads, "depth": _layers(len(base.blocks), depth)}


def _mobilenet_v3(name: str, base: Any, width: float, depth: float, options: dict[str, Any]) -> Any:
    if not (found := re.fullmatch(r"mobilenetv3_(large|small)_(\d{3})", name)):
        raise TypeError(f"{name} takes no factors")
    factor = int(found[2]) / 100 * width
    return mobilenetv3._gen_mobilenet_v3(name, factor, depth_multiplier=depth, **options)


def _byobnet(name: str, base: Any, width: float, depth: float, options: dict[str, Any]) -> Any:
    def scale(block: Any) -> Any:
        if not isinstance(block, byobnet.ByoBlockCfg):
            return tuple(map(scale, block))
        return replace(block, c=_channels(block.c, width), d=_layers(block.d, depth))

    cfg = byobnet.model_cfgs[name]
    stem = cfg.stem_chs
    cfg = replace(
        cfg,
        blocks=tuple(map(scale, cfg.blocks)),
        stem_chs=_channels(stem, width) if isinstance(stem, int) else [_channels(n, width) for n in stem],
        num_features=_channels(cfg.num_features, width) if cfg.num_features else 0,
    )
    return byobnet.ByobNet(cfg, **options)


def _hgnet(name: str, base: Any, width: float, depth: float, options: dict[str, Any]) -> Any:
    cfg: dict[str, Any] = copy.deepcopy(hgnet.model_cfgs[name])
    cfg["stem_chs"] = [_channels(n, width) for n in cfg["stem_chs"]]
    for key in [key for key in cfg if key.startswith("stage")]:
        *channels, blocks, downsample, light, kernel, layers = cfg[key]
        channels = [_channels(n, width) for n in channels]
        cfg[key] = [*channels, blocks, downsample, light, kernel, _layers(layers, depth)]
    has_affine = any(isinstance(module, hgnet.LearnableAffineBlock) for module in base.modules())
    return hgnet.HighPerfGpuNet(cfg, use_lab=has_affine, **options)


def _vovnet(name: str, base: Any, width: float, depth: float, options: dict[str, Any]) -> Any:
    cfg: dict[str, Any] = copy.deepcopy(vovnet.model_cfgs[name])
    for key in ("stem_chs", "stage_conv_chs", "stage_out_chs"):
        cfg[key] = [_channels(n, width) for n in cfg[key]]
    cfg["layer_per_block"] = _layers(cfg["layer_per_block"], depth)
    return vovnet.VovNet(cfg, **options)


SCALES: dict[str, Callable[..., Any]] = {
    "DLA": _by_arguments(_dla),
    "EfficientNet": _by_arguments(_efficientnet),
    "ByobNet": _byobnet,
    "HighPerfGpuNet": _hgnet,
    "VovNet": _vovnet,
    "RepVit": _by_arguments(_repvit),
    "ConvNeXt": _by_arguments(_convnext),
    "ResNet": _by_arguments(_resnet),
    "MobileNetV3": _mobilenet_v3,
    "VisionTransformer": _by_arguments(_vision_transformer),
}
"""How the models of a class of timm are scaled."""
