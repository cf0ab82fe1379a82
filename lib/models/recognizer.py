"""The recognizer: spectrograms in, a score for each class out."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lib.errors import SettingsError
from lib.models.backbones import make_backbone
from lib.models.description import Description


class Recognizer(nn.Module):
    """Band-wise normalization, a backbone, pooling over frequency and time, a linear classifier.

    Pooling takes the mean over frequency, then mean plus maximum over time, so that both steady and short sounds count
    (Kong et al., PANNs: Large-Scale Pretrained Audio Neural Networks, 2020).
    """

    def __init__(
        self, n_classes: int, spec_height: int, backbone: str, dropout: float = 0.0, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm1d(spec_height)
        self.backbone = make_backbone(backbone, pretrained)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.backbone.num_features, n_classes)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Logits (n, n_classes) of spectrograms (n, height, width) in 0..1."""
        embeddings = self.dropout(self.embed(spectrograms))
        with torch.autocast(embeddings.device.type, enabled=False):  # with 8 bits, many scores would be the same
            return self.classifier(embeddings)

    def embed(self, spectrograms: Tensor) -> Tensor:
        """Embeddings (n, num_features) of spectrograms (n, height, width) in 0..1."""
        images = self.normalize(spectrograms).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        features = self.backbone(images).float().mean(dim=2)
        return features.mean(dim=2) + features.amax(dim=2)


def build(description: Description, pretrained: bool = False) -> Recognizer:
    """A new recognizer of this description. Raises SettingsError if its backbone does not exist or does not fit."""
    n_classes, audio = len(description.classes), description.audio
    model = Recognizer(n_classes, audio.spec_height, description.backbone, description.dropout, pretrained)
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, audio.spec_height, audio.spec_width))
    except (RuntimeError, ValueError, AssertionError):  # made for images of one size, or for other layouts
        size = f"{audio.spec_height} x {audio.spec_width}"
        fault = f"cannot take spectrograms of {size} (bands x frames); choose another"
        raise SettingsError(f"train.backbone = {description.backbone!r}: {fault}") from None
    return model


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Put batch normalizations into the convolutions before them, in place: the same function, a fifth faster.

    model: in evaluation mode. A normalization that follows its convolution in an nn.Sequential becomes an identity.
    """
    for layers in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for i, (first, second) in enumerate(pairwise(layers)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                layers[i], layers[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return model
