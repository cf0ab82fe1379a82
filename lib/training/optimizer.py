"""The optimizer: AdamW, which decays the weights of layers but not their biases and normalizations."""

import torch
from torch import nn

from lib.config.schema import TrainSettings


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """An optimizer of the parameters that are not frozen."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)
