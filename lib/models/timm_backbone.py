"""Models of timm as backbones."""

import difflib
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.core.errors import SettingsError
from lib.models.backbone_options import BackboneOptions
from lib.models.pretrained_weights import (
    cache_folder,
    fit_first_layer,
    load_weights,
    published,
    read_weights,
    weights_file,
    whole_model_alone,
)
from lib.models.timm_scaling import scaled_model

UNUSED = {"DLA": re.compile(r"\.project\.")}
"""Tensors, by class of model, that published files hold and timm does not use."""
WHOLE = {"DLA": 32}
"""Of images that a class of model takes, height and width must be multiples of this."""


class TokenBackbone(nn.Module):
    """A model of timm without its classifier, whose features may be tokens.

    in_time: whether the last dimension of the features must be time. If so, a transformer's tokens are laid out as
    bands and frames; else they form one row, including its class token.
    """

    takes = "images"
    model: Any  # timm's models have no common type with forward_features
    num_features: int

    def __init__(self, name: str, model: Any, in_time: bool) -> None:
        super().__init__()
        self.name, self.in_time = name, in_time
        self.model, self.num_features = model, model.num_features

    def forward(self, images: Tensor) -> Tensor:
        # Stretched, not padded: then the features are spread evenly over the image's time, and none is of padding.
        size = tuple(-(-length // unit) * unit for length, unit in zip(images.shape[2:], self._units, strict=True))
        if size != tuple(images.shape[2:]):
            images = F.interpolate(images, size, mode="bilinear")
        features = self.model.forward_features(images)
        if features.ndim != 3:
            return features
        tokens = features.transpose(1, 2)  # a transformer's (n, tokens, channels)
        return self._in_time(tokens, images.shape[2:]) if self.in_time else tokens.unsqueeze(2)

    @property
    def _units(self) -> tuple[int, int]:
        """What height and width of the images that the model gets are multiples of."""
        patches: Any = getattr(self.model, "patch_embed", None)
        if self.in_time and getattr(patches, "dynamic_img_pad", False):
            return patches.patch_size
        unit = WHOLE.get(type(self.model).__name__, 1)
        return unit, unit

    def _in_time(self, tokens: Tensor, size: torch.Size) -> Tensor:
        """Tokens (n, channels, tokens) as the feature map (n, channels, bands, frames) of images of a size."""
        try:
            patches = self.model.patch_embed.dynamic_feat_size(tuple(size))
        except AttributeError:
            remedy = "choose another, or set train.head to pool"
            raise SettingsError(f"train.backbone = {self.name!r}", "its tokens have no time", remedy) from None
        return tokens[:, :, self.model.num_prefix_tokens :].unflatten(2, patches)


class TimmBackbone(TokenBackbone):
    """The timm model of a name; others: names of backbones besides those of timm.

    Raises SettingsError as lib.models.backbones.make_backbone does.
    """

    def __init__(self, name: str, options: BackboneOptions, others: Iterable[str] = ()) -> None:
        super().__init__(name, _model(name, options, list(others)), options.in_time)


def _model(name: str, options: BackboneOptions, others: list[str]) -> Any:
    if not timm.is_model(name):
        close = ", ".join(difflib.get_close_matches(name, [*timm.list_models(), *others], 6))
        fault = f"must be one of {', '.join(others)}, onnx:FILE, or the name of a timm model"
        raise SettingsError(f"train.backbone = {name!r}", fault, f"did you mean {close}?" if close else "")
    file = weights_file(options.pretrained)
    is_published = bool(options.pretrained) and file is None
    common: dict[str, Any] = {"in_chans": options.in_chans, "num_classes": 0, "global_pool": ""}
    if options.drop_path:
        common["drop_path_rate"] = options.drop_path
    if options.is_whole:
        cache = cache_folder(options.pretrained) if is_published else None
        create = partial(timm.create_model, name, is_published, cache_dir=cache, **common)
    elif is_published:
        raise whole_model_alone(options.pretrained, name)
    else:
        create = partial(scaled_model, name, options.width_factor, options.depth_factor, **common)
    model = _created(create, name, options, is_published)
    if file is not None:
        _load_file(model, file, options.in_chans)
    return model


def _created(create: partial, name: str, options: BackboneOptions, is_published: bool) -> Any:
    def make() -> Any:
        try:
            return create(dynamic_img_size=True, dynamic_img_pad=True)
        except TypeError:  # only transformers take these options
            return create()

    scaling = f"train.width_factor = {options.width_factor:g}, train.depth_factor = {options.depth_factor:g}"
    try:
        return published(make, name) if is_published else make()
    except (TypeError, KeyError):  # an argument that it does not take, or sets itself
        if not options.drop_path:
            raise SettingsError(scaling, f"{name} cannot be scaled", "set both to 1, or choose another") from None
        setting = f"train.drop_path = {options.drop_path:g}"
        raise SettingsError(setting, f"{name} has no blocks to skip", "set it to 0") from None
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if not options.is_whole:
            raise SettingsError(scaling, f"{name} cannot be made so ({reason})", "set others") from None
        raise SettingsError(f"train.backbone = {name!r}", f"cannot be made ({reason})", "choose another") from None


def _load_file(model: Any, path: Path, in_chans: int) -> None:
    """Load a file of a timm model's weights, also as their authors published them, without its classifier."""
    weights = read_weights(path)
    as_timm_has_them = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if as_timm_has_them is not None:
        with suppress(LookupError, RuntimeError, ValueError, TypeError, AttributeError):  # of another model: see below
            weights = as_timm_has_them(weights, model)
    known = getattr(model, "pretrained_cfg", {})
    for layer in _names(known.get("first_conv")):
        if (first := weights.get(f"{layer}.weight")) is not None and first.ndim == 4:
            weights[f"{layer}.weight"] = fit_first_layer(first, in_chans)
    unused = UNUSED.get(type(model).__name__)
    classifiers = tuple(f"{layer}." for layer in _names(known.get("classifier")))
    load_weights(
        model,
        {
            name: tensor
            for name, tensor in weights.items()
            if not name.startswith(classifiers or ("\0",)) and not (unused and unused.search(name))
        },
        str(path),
    )


def _names(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())
