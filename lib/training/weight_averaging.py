"""Averaged weights: a point between those of several epochs, where models generalize better.

Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Weights = dict[str, Tensor]


def copy_weights(model: nn.Module) -> Weights:
    """A copy of a model's weights and statistics, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def average_weights(weights: list[Weights]) -> Weights:
    """Mean of each tensor, in double precision; integers, such as counters, are those of the last weights."""
    return {
        name: torch.stack([each[name].double() for each in weights]).mean(dim=0).to(last.dtype)
        if last.is_floating_point()
        else last
        for name, last in weights[-1].items()
    }


@torch.no_grad()
def renew_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Recompute the statistics of batch normalizations on the batches: those of training belong to other weights.

    Only normalizations in training mode are renewed, so frozen parts stay as they are (torch's update_bn renews all).
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    for x in batches:
        model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
