"""Transfer learning: start from the weights of another model, and optionally freeze the backbone."""

from torch import Tensor, nn

from lib.config.schema import TrainSettings
from lib.core.errors import SettingsError
from lib.models.checkpoints import load_checkpoint
from lib.models.description import Description
from lib.models.recognizer import Recognizer, build


def start_model(description: Description, settings: TrainSettings) -> Recognizer:
    """A model to train: with random weights, published ones, or those of settings.load_checkpoint.

    Raises SettingsError if the checkpoint takes other spectrograms or has another backbone, EarshotError if it cannot
    be read.
    """
    if settings.freeze_backbone and settings.load_checkpoint is None and not settings.pretrained:
        fault = "a backbone with random weights would never learn"
        raise SettingsError("train.freeze_backbone = True", fault, "set train.load_checkpoint or train.pretrained too")
    if settings.load_checkpoint is None:
        return build(description, settings.pretrained)
    model = build(description)
    other, known = load_checkpoint(settings.load_checkpoint)
    setting = f"train.load_checkpoint = {settings.load_checkpoint!r}"
    if differences := known.audio.differences(description.audio):
        remedy = "extract with its audio settings, or train without it"
        raise SettingsError(setting, f"takes other spectrograms ({differences})", remedy)
    if description.backbone != known.backbone:
        raise SettingsError(setting, f"its backbone is {known.backbone}", "set train.backbone to that")
    model.normalize.load_state_dict(other.normalize.state_dict())
    model.backbone.load_state_dict(other.backbone.state_dict())
    if description.head == known.head:
        model.head.load_state_dict(_head_weights(model, other, description.class_names, known.class_names))
    return model


def frozen_parts(model: Recognizer, settings: TrainSettings) -> list[nn.Module]:
    """The parts whose weights and normalization statistics stay as they are in training.

    The normalization of bands precedes the backbone. Published weights come without one, so it is learnt with them.
    """
    if not settings.freeze_backbone:
        return []
    return [model.backbone] if settings.load_checkpoint is None else [model.normalize, model.backbone]


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
