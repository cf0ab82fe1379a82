"""wav2vec 2.0: a transformer over features that a convolutional network learns from the waveform itself.

Baevski et al., wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations, 2020; the base model as
torchaudio builds it. It gives a frame each 20 ms.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lib.models.backbone_options import BackboneOptions
from lib.models.cnn import Cnn
from lib.models.pretrained_weights import (
    cache_folder,
    load_weights,
    published,
    read_weights,
    weights_file,
    whole_model_alone,
)

SAMPLING_RATE = 16000
"""Hz, of the waveforms."""
CHANNELS, HEADS, HEAD_DIM, DEPTH = 512, 12, 64, 12
KERNELS_AND_STRIDES = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
CNN_WIDTHS = (16, 32, 64, 128)


class Wav2Vec2(nn.Module):
    """Waveforms (n, samples) at 16 kHz into feature maps (n, num_features, 1, frames).

    Raises SettingsError if its weights cannot be fetched, or do not fit.
    """

    takes, sampling_rate = "waveforms", SAMPLING_RATE

    def __init__(self, options: BackboneOptions) -> None:
        super().__init__()
        self.model = _model(options)
        self.num_features = self.model.encoder.feature_projection.projection.out_features

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.model(waveforms)[0].transpose(1, 2).unsqueeze(2)


class Wav2Vec2Cnn(nn.Module):
    """wav2vec 2.0 and a small CNN, which takes the transformer's output as an image of dimensions by frames.

    Waveforms (n, samples) at 16 kHz become feature maps (n, num_features, bands, frames), where bands are groups of
    neighbouring dimensions. Published weights are those of wav2vec 2.0; the CNN learns from scratch.
    """

    takes, sampling_rate = "waveforms", SAMPLING_RATE

    def __init__(self, options: BackboneOptions) -> None:
        super().__init__()
        self.wav2vec2 = Wav2Vec2(options)
        self.cnn = Cnn(tuple(max(4, round(width * options.width_factor)) for width in CNN_WIDTHS))
        self.num_features = self.cnn.num_features

    @property
    def published_part(self) -> Wav2Vec2:
        """The part that published weights cover. The rest is trained along with the head."""
        return self.wav2vec2

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.cnn(self.wav2vec2(waveforms).transpose(1, 2))


def _model(options: BackboneOptions) -> Any:
    from torchaudio.models import wav2vec2_model

    weights = _weights(options)  # first, since drawing random ones takes a while
    heads = max(1, round(HEADS * options.width_factor))
    channels = max(8, round(CHANNELS * options.width_factor / 8) * 8)
    model = wav2vec2_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=[(channels, kernel, stride) for kernel, stride in KERNELS_AND_STRIDES],
        extractor_conv_bias=False,
        encoder_embed_dim=heads * HEAD_DIM,
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=128,
        encoder_pos_conv_groups=16,
        encoder_num_layers=max(1, round(DEPTH * options.depth_factor)),
        encoder_num_heads=heads,
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=4 * heads * HEAD_DIM,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.1,
        encoder_layer_norm_first=False,
        encoder_layer_drop=options.drop_path,
        aux_num_out=None,
    )
    if weights is not None:
        load_weights(model, weights, str(options.pretrained))
    return model


def _weights(options: BackboneOptions) -> dict[str, Tensor] | None:
    """The weights to start from, downloaded if need be; None: random ones. Raises SettingsError."""
    file = weights_file(options.pretrained)
    if file is not None:
        return _as_torch_names_them(read_weights(file))
    if not options.pretrained:
        return None
    if not options.is_whole:
        raise whole_model_alone(options.pretrained, "wav2vec2")
    folder = cache_folder(options.pretrained)
    return _as_torch_names_them(published(lambda: _published_weights(folder), "wav2vec2"))


def _published_weights(folder: str | None) -> dict[str, Tensor]:
    from torchaudio.pipelines import WAV2VEC2_BASE

    url = f"https://download.pytorch.org/torchaudio/models/{WAV2VEC2_BASE._path}"
    return torch.hub.load_state_dict_from_url(url, folder, "cpu", progress=False, weights_only=True)


def _as_torch_names_them(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights without the layer for labels that a model which was fine-tuned to speech has.

    What published files call weight_g and weight_v (of weight normalization), torch now keeps as parametrizations.
    """
    renamed = (("weight_g", "parametrizations.weight.original0"), ("weight_v", "parametrizations.weight.original1"))
    named: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        for old, new in renamed:
            name = name.removesuffix(old) + new if name.endswith(f".{old}") else name
        if not name.startswith("aux."):
            named[name] = tensor
    return named
