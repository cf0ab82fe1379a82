"""The Audio Spectrogram Transformer: a vision transformer over overlapping patches of a spectrogram.

Gong, Chung and Glass, AST: Audio Spectrogram Transformer, 2021. Patches of 16 bands by 16 frames lie 10 apart. Its
published weights were trained on AudioSet with 128 bands and 1024 frames at 100 frames a second.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

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
from lib.models.timm_backbone import TokenBackbone

PUBLISHED = "MIT/ast-finetuned-audioset-10-10-0.4593"
"""Where the weights are published on Hugging Face."""
PATCH, STRIDE = 16, 10
SIZE = (128, 1024)
"""Bands and frames of the spectrograms that the positions of the weights belong to."""
HEADS, HEAD_DIM, DEPTH = 12, 64, 12
TENSORS = (
    (r"^audio_spectrogram_transformer\.", ""),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.distillation_token$", "reg_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(encoder\.layer|layers)\.(\d+)\.", r"blocks.\2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.attention\.(?:attention\.)?([qkv])(uery|ey|alue|_proj)\.", r".attn.\1."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
)
"""How the names of published tensors become those of timm, also as later versions of transformers write them; queries,
keys and values, which timm keeps in one tensor, are joined besides."""


class OverlappingPatches(PatchEmbed):
    """Patches of an image that overlap, as tokens (n, bands, frames, channels); size: of the images usually seen."""

    def __init__(
        self, img_size: Any = SIZE, patch_size: int = PATCH, in_chans: int = 1, embed_dim: int = 768, **options: Any
    ) -> None:
        super().__init__(None, patch_size, in_chans, embed_dim, **options)
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, STRIDE)
        self.img_size, self.grid_size = img_size, self.dynamic_feat_size(img_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]

    def dynamic_feat_size(self, img_size: tuple[int, int]) -> tuple[int, int]:
        """Patches over the height and over the width of an image."""
        height, width = ((max(length, PATCH) - PATCH) // STRIDE + 1 for length in img_size)
        return height, width

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = nn.functional.pad(x, (0, max(0, PATCH - width), 0, max(0, PATCH - height)))
        return self.proj(x).permute(0, 2, 3, 1)


def make_ast(options: BackboneOptions) -> TokenBackbone:
    """An Audio Spectrogram Transformer of 12 layers with 12 heads, or scaled, for images of any size.

    Positions are interpolated where an image has other numbers of patches than 12 by 101. The distillation token of the
    paper is the transformer's register token. Raises SettingsError if its weights cannot be fetched, or do not fit.
    """
    file = _weights_file(options)  # first, since drawing random weights takes a while
    heads = max(1, round(HEADS * options.width_factor))
    model = VisionTransformer(
        img_size=SIZE,
        patch_size=PATCH,
        in_chans=options.in_chans,
        num_classes=0,
        global_pool="",
        embed_dim=heads * HEAD_DIM,
        num_heads=heads,
        depth=max(1, round(DEPTH * options.depth_factor)),
        reg_tokens=1,
        drop_path_rate=options.drop_path,
        dynamic_img_size=True,
        embed_layer=OverlappingPatches,
        norm_layer=partial(nn.LayerNorm, eps=1e-12),
    )
    if file is not None:
        weights = _as_timm_names_them(read_weights(file))
        if "patch_embed.proj.weight" in weights:
            weights["patch_embed.proj.weight"] = fit_first_layer(weights["patch_embed.proj.weight"], options.in_chans)
        load_weights(model, weights, str(file))
    return TokenBackbone("ast", model, options.in_time)


def _weights_file(options: BackboneOptions) -> Path | None:
    """The file of weights to start from, downloaded if need be; None: random ones. Raises SettingsError."""
    file = weights_file(options.pretrained)
    if file is not None or not options.pretrained:
        return file
    if not options.is_whole:
        raise whole_model_alone(options.pretrained, "ast")
    from huggingface_hub import hf_hub_download

    download = partial(hf_hub_download, PUBLISHED, "model.safetensors")
    return Path(published(partial(download, cache_dir=cache_folder(options.pretrained)), "ast"))


def _as_timm_names_them(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published tensors, or such of timm, by the names of timm, without the classifier."""
    named: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not name.startswith(("classifier.", "head.")):
            for pattern, replacement in TENSORS:
                name = re.sub(pattern, replacement, name)
            named[name] = tensor
    for name in [name for name in named if ".attn.q." in name]:
        parts = [name.replace(".attn.q.", f".attn.{part}.") for part in "qkv"]
        if all(part in named for part in parts):
            named[name.replace(".attn.q.", ".attn.qkv.")] = torch.cat([named.pop(part) for part in parts])
    return named
