"""Transfer learning: start from the weights of another model, and optionally freeze the backbone."""

import difflib
import itertools
import json
from typing import NamedTuple

from torch import Tensor, nn

from lib.config.schema import TrainSettings
from lib.core.errors import SettingsError
from lib.models.checkpoints import load_checkpoint
from lib.models.description import Description
from lib.models.onnx_files import read_onnx
from lib.models.recognizer import Recognizer, build

WITHOUT_ONNX = ("pretrained", "drop_path", "backbone_after", "width_factor", "depth_factor")
"""Settings that change a backbone, except one of an ONNX file."""


class Frozen(NamedTuple):
    """What stays as it is: whole modules, with their statistics and without dropout, and parameters, theirs too."""

    modules: list[nn.Module]
    parameters: list[nn.Parameter]


def start_model(description: Description, settings: TrainSettings) -> Recognizer:
    """A model to train: with random weights, published ones, or those of settings.load_checkpoint.

    Raises SettingsError if the checkpoint takes other spectrograms or has another backbone, EarshotError if it cannot
    be read.
    """
    path = settings.onnx_file
    onnx = None if path is None else read_onnx(path)
    if onnx is not None:
        _check_onnx_options(settings)
    if settings.load_checkpoint is None:
        return build(description, settings.pretrained, settings.drop_path, onnx)
    model = build(description, drop_path=settings.drop_path, onnx=onnx)
    other, known = load_checkpoint(settings.load_checkpoint)
    setting = f"train.load_checkpoint = {settings.load_checkpoint!r}"
    if differences := known.audio.differences(description.audio):
        remedy = "extract with its audio settings, or train without it"
        raise SettingsError(setting, f"takes other spectrograms ({differences})", remedy)
    if description.frontend != known.frontend:
        raise SettingsError(setting, f"its frontend is {known.frontend}", "set train.frontend to that")
    if description.backbone != known.backbone:
        raise SettingsError(setting, f"its backbone is {known.backbone_name}", "set train.backbone to that")
    for key in ("width_factor", "depth_factor"):
        if (factor := getattr(known, key)) != getattr(description, key):
            raise SettingsError(setting, f"its {key} is {factor:g}", f"set train.{key} to that")
    if description.onnx and known.onnx and description.onnx.digest != known.onnx.digest:
        fault = f"its backbone is another version of {known.backbone_name}, or of its card"
        raise SettingsError(setting, fault, "give the ONNX file that it was trained with")
    model.normalize.load_state_dict(other.normalize.state_dict())
    model.backbone.load_state_dict(other.backbone.state_dict())
    if description.head == known.head:
        model.head.load_state_dict(_head_weights(model, other, description.class_names, known.class_names))
    return model


def _check_onnx_options(settings: TrainSettings) -> None:
    """Raise SettingsError if a setting asks for what an ONNX backbone cannot do."""
    for key in WITHOUT_ONNX:
        default = TrainSettings.model_fields[key].default
        if getattr(settings, key) != default:
            raise SettingsError(f"train.{key}", "an ONNX backbone stays as it is", f"set it to {json.dumps(default)}")


def frozen_parts(model: Recognizer, settings: TrainSettings, epoch: int) -> Frozen:
    """What stays as it is in an epoch, from 1.

    The normalization of bands precedes the backbone. Published weights come without one, so it is learnt with them; so
    are layers of the backbone that such weights do not hold, see Wav2Vec2Cnn.published_part.
    Raises SettingsError if the backbone has no layer settings.backbone_after.
    """
    published = getattr(model.backbone, "published_part", model.backbone)
    before = [] if settings.load_checkpoint is None else [model.normalize]
    parameters = list[nn.Parameter]()
    if settings.freeze_backbone or epoch <= settings.head_epochs:
        modules = [*before, published if settings.load_checkpoint is None else model.backbone]
    elif settings.backbone_after is None:
        modules = []
    else:
        layers, parameters = _parts_before(published, settings.backbone_after)
        modules = [*before, *layers]
    return Frozen(modules, [*parameters, *(each for module in modules for each in module.parameters())])


def _parts_before(backbone: nn.Module, name: str) -> Frozen:
    """The modules of a backbone that come before the one of a name, as timm or the backbone itself names it.

    Of modules that this one lies in, only parameters of their own come before it, such as the positions of tokens.
    """
    root: nn.Module = getattr(backbone, "model", backbone)
    names = dict(root.named_modules())
    if not name or name not in names:
        close = difflib.get_close_matches(name, names, 6) or [child for child, _ in root.named_children()]
        raise SettingsError(f"train.backbone_after = {name!r}", "the backbone has no such layer", ", ".join(close))
    before = list(itertools.takewhile(lambda layer: layer != name, names))
    around = [layer for layer in before if not layer or name.startswith(f"{layer}.")]
    own = [parameter for layer in around for parameter in names[layer].parameters(recurse=False)]
    return Frozen([names[layer] for layer in before if layer not in around], own)


def _head_weights(model: Recognizer, other: Recognizer, names: list[str], known: list[str]) -> dict[str, Tensor]:
    """Weights of the model's head: the other's for the classes that both have by name, and for all that is shared."""
    pairs = [(row, known.index(name)) for row, name in enumerate(names) if name in known]
    rows, other_rows = [row for row, _ in pairs], [row for _, row in pairs]
    weights = model.head.state_dict()
    for name, tensor in other.head.state_dict().items():
        if name.split(".")[0] not in model.head.by_class:
            weights[name] = tensor
        else:
            weights[name][rows] = tensor[other_rows]
    return weights
