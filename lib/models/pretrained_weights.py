"""Weights that others trained: from a file, or from where they are published."""

import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.core.errors import SettingsError

NESTED = ("state_dict", "model", "state")
"""Keys under which files of checkpoints hold the tensors."""
N_NAMED = 4
"""Tensors that an error names."""


def weights_file(pretrained: bool | str) -> Path | None:
    """The file that a setting train.pretrained names; None if it says where to find published weights.

    Raises SettingsError if it names nothing.
    """
    if isinstance(pretrained, bool):
        return None
    path = Path(pretrained)
    if not path.exists():
        raise SettingsError(f"train.pretrained = {pretrained!r}", "no such file or folder", "give a file of weights")
    return None if path.is_dir() else path


def cache_folder(pretrained: bool | str) -> str | None:
    """The folder to look for published weights in; None: where their library keeps them."""
    return None if isinstance(pretrained, bool) else pretrained


def load_file(model: nn.Module, pretrained: bool | str, backbone: str) -> None:
    """Load the file that a setting names into a backbone that has no published weights. Raises SettingsError."""
    path = weights_file(pretrained)
    if path is None:
        fault = f"{backbone} has no published weights"
        raise SettingsError(f"train.pretrained = {pretrained!r}", fault, "give a file of weights, or set it to false")
    load_weights(model, read_weights(path), str(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name: .safetensors, else as torch saves them, without running code.

    Raises SettingsError if it is neither, or holds other things than tensors.
    """
    setting = f"train.pretrained = {str(path)!r}"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file as load_safetensors

            content: Any = load_safetensors(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SettingsError(
            setting, "is not a file of tensors and plain data", "save a model's state_dict alone"
        ) from None
    except Exception as error:  # these readers raise exceptions of any kind on other files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SettingsError(setting, f"cannot be read ({reason})", "give a .safetensors or .pth file") from None
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise SettingsError(setting, "holds no tensors by name", "save the state_dict of a model")
    return dict(content)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: str) -> None:
    """Load tensors into a model, in place; path: where they are from.

    Raises SettingsError that names those that are missing, that the model has no use for, or of another shape.
    """
    wanted = model.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # older files lack them
    faults = {
        "lacks": [name for name in wanted if name not in weights and name not in counters],
        "has unknown": [name for name in weights if name not in wanted],
        "has in another shape": [
            f"{name} ({_shape(weights[name])} instead of {_shape(tensor)})"
            for name, tensor in wanted.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    }
    found = [f"{fault} {_listed(names)}" for fault, names in faults.items() if names]
    if found:
        setting = f"train.pretrained = {path!r}"
        raise SettingsError(setting, f"is not of this backbone: it {'; '.join(found)}", "give one of train.backbone")
    model.load_state_dict(wanted | dict(weights))


def whole_model_alone(pretrained: bool | str, backbone: str) -> SettingsError:
    """The SettingsError for a scaled backbone that is to start from published weights."""
    fault = f"the published weights of {backbone} are those of the whole model"
    remedy = "set train.width_factor and train.depth_factor to 1, or it to false"
    return SettingsError(f"train.pretrained = {pretrained!r}", fault, remedy)


def published(load: Callable[[], Any], backbone: str) -> Any:
    """What a function loads from where it is published.

    Raises SettingsError, with the first line of what the function raised, if that cannot be fetched.
    """
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it logs each retry
    try:
        return load()
    except (RuntimeError, ValueError, OSError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        fault = f"its published weights cannot be loaded ({reason})"
        remedy = "connect to the internet once, or set train.pretrained to a file, a folder that holds them, or false"
        raise SettingsError(f"train.backbone = {backbone!r}", fault, remedy) from None
    finally:
        logger.setLevel(level)


def fit_first_layer(weight: Tensor, in_chans: int) -> Tensor:
    """Weights of a first convolution, (out, channels, height, width), for images of other channels.

    One channel takes the sum over all, which keeps the answer to grey images; others repeat the mean.
    """
    channels = weight.shape[1]
    if channels == in_chans:
        return weight
    return weight.sum(dim=1, keepdim=True).expand(-1, in_chans, -1, -1) / in_chans


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _listed(names: list[str]) -> str:
    rest = len(names) - N_NAMED
    return ", ".join(names[:N_NAMED]) + (f" and {rest} more" if rest > 0 else "")
