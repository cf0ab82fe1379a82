"""Heads: layers that turn a backbone's feature maps (n, channels, bands, frames) into logits of classes.

A head returns logits of windows (n, n_classes), and logits of frames (n, n_classes, n_frames) or None. The modules that
its `by_class` names have a row of weights for each class. `in_time`: whether the last dimension of the features must be
time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pool(features: Tensor) -> Tensor:
    """Embeddings (n, channels) of feature maps (n, channels, bands, frames).

    The mean over frequency, then the sum of mean and maximum over time, so that both steady and short sounds count
    (Kong et al., PANNs: Large-Scale Pretrained Audio Neural Networks, 2020).
    """
    frames = features.float().mean(dim=2)
    return frames.mean(dim=2) + frames.amax(dim=2)


class PoolHead(nn.Module):
    """A linear classifier of pooled features; it does not score frames."""

    by_class, in_time = ("classifier",), False

    def __init__(self, n_features: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(n_features, n_classes)

    def forward(self, features: Tensor, n_frames: int) -> tuple[Tensor, None]:
        embeddings = self.dropout(pool(features))
        with torch.autocast(embeddings.device.type, enabled=False):  # in bfloat16, many scores would be equal
            return self.classifier(embeddings), None


class DeepHead(PoolHead):
    """A classifier of pooled features with a hidden layer as wide as these."""

    def __init__(self, n_features: int, n_classes: int, dropout: float) -> None:
        super().__init__(n_features, n_classes, dropout)
        self.hidden = nn.Linear(n_features, n_features)

    def forward(self, features: Tensor, n_frames: int) -> tuple[Tensor, None]:
        embeddings = self.dropout(pool(features))
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.classifier(self.dropout(F.relu(self.hidden(embeddings)))), None


class AttentionHead(nn.Module):
    """A linear classifier of frames' features, averaged with weights that are learnt from these.

    Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, 2018, equation 8.
    """

    by_class, in_time = ("classifier",), True

    def __init__(self, n_features: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(n_features, max(1, n_features // 2))
        self.attention = nn.Linear(max(1, n_features // 2), 1, bias=False)
        self.classifier = nn.Linear(n_features, n_classes)

    def forward(self, features: Tensor, n_frames: int) -> tuple[Tensor, None]:
        frames = features.float().mean(dim=2).transpose(1, 2)
        with torch.autocast(frames.device.type, enabled=False):
            weights = torch.softmax(self.attention(torch.tanh(self.hidden(frames))), dim=1)
            return self.classifier(self.dropout((weights * frames).sum(dim=1))), None


class SedHead(nn.Module):
    """Sound event detection learnt from labels of windows: a classifier of frames, and attention over time.

    The probability of a window is the mean of its frames' probabilities, weighted for each class by a learnt attention
    (decision-level attention: Kong et al., PANNs, 2020, section IV). Logits of frames are interpolated from the
    backbone's frames, which are fewer than the spectrogram's, to n_frames.
    """

    by_class, in_time = ("classifier", "attention"), True

    def __init__(self, n_features: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(n_features, n_classes)
        self.attention = nn.Linear(n_features, n_classes)

    def forward(self, features: Tensor, n_frames: int) -> tuple[Tensor, Tensor]:
        frames = self.dropout(features.float().mean(dim=2).transpose(1, 2))
        with torch.autocast(frames.device.type, enabled=False):
            logits = self.classifier(frames).transpose(1, 2)
            weights = F.log_softmax(torch.tanh(self.attention(frames)).transpose(1, 2), dim=2)
        return mean_probability(logits, weights), F.interpolate(logits, size=n_frames, mode="linear")


def mean_probability(logits: Tensor, log_weights: Tensor) -> Tensor:
    """Logit (n, n_classes) of the weighted mean of probabilities, given as logits (n, n_classes, n_frames).

    log_weights: of the same shape; the weights sum to 1 over the frames. All is computed from logarithms, so that
    neither values nor gradients vanish near 0 and 1.
    """
    present = torch.logsumexp(log_weights + F.logsigmoid(logits), dim=2)
    absent = torch.logsumexp(log_weights + F.logsigmoid(-logits), dim=2)
    return present - absent


HEADS: dict[str, type[PoolHead | AttentionHead | SedHead]] = {
    "pool": PoolHead,
    "deep": DeepHead,
    "attention": AttentionHead,
    "sed": SedHead,
}
