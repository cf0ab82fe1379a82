"""The optimizer, which decays the weights of layers but not their biases and normalizations.

OPTIMIZERS holds those of torch; any other name is one of timm's.
"""

import difflib
from collections.abc import Callable, Iterable

import torch
from torch import nn

from lib.config.schema import TrainSettings
from lib.core.errors import SettingsError

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizer(
    model: nn.Module, settings: TrainSettings, frozen: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """An optimizer of the parameters of a model that are not frozen.

    Raises SettingsError if there is no optimizer of that name, or if it cannot be used here.
    """
    left_out = set(map(id, frozen))
    parameters = [parameter for parameter in model.parameters() if id(parameter) not in left_out]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    name = settings.optimizer
    rate = 1e-3 if settings.learning_rate == "auto" else settings.learning_rate  # each step sets its own
    if name in OPTIMIZERS:
        return OPTIMIZERS[name](groups, lr=rate)
    from timm.optim import create_optimizer_v2, list_optimizers  # takes seconds, and the default does without

    known = [str(each) for each in list_optimizers()]
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known, 6)) or "see timm.optim.list_optimizers()"
        raise SettingsError(f"train.optimizer = {name!r}", "must be adam, adamw or an optimizer of timm", close)
    try:
        return create_optimizer_v2(groups, opt=name, lr=rate)
    except (RuntimeError, ValueError, TypeError, AssertionError, ImportError) as error:  # it needs a GPU, or a library
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise SettingsError(f"train.optimizer = {name!r}", f"cannot be used ({reason})", "choose another") from None
