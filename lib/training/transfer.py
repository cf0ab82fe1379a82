"""Transfer learning: start from the weights of another model, and leave the backbone as it is."""

from torch import Tensor, nn

from lib.config import Audio, Train
from lib.errors import SettingsError
from lib.models.checkpoint import load_checkpoint
from lib.models.description import Description
from lib.models.recognizer import Recognizer, build


def start_model(description: Description, settings: Train) -> Recognizer:
    """A model to train: with new weights, published ones, or those of settings.load_checkpoint.

    Raises SettingsError if the checkpoint takes other spectrograms or has another backbone, EarshotError if it cannot
    be read.
    """
    if settings.freeze_backbone and settings.load_checkpoint is None and not settings.pretrained:
        fault = "train.freeze_backbone = True: a backbone with random weights would never learn"
        raise SettingsError(f"{fault}; set train.load_checkpoint or train.pretrained too")
    if settings.load_checkpoint is None:
        return build(description, settings.pretrained)
    model = build(description)
    other, known = load_checkpoint(settings.load_checkpoint)
    _check(description, known, settings.load_checkpoint)
    model.normalize.load_state_dict(other.normalize.state_dict())
    model.backbone.load_state_dict(other.backbone.state_dict())
    if description.head == known.head:
        weights = _shared_classes(model, other, description.class_names, known.class_names)
        model.head.load_state_dict(weights)
    return model


def frozen_parts(model: Recognizer, settings: Train) -> list[nn.Module]:
    """The parts that training leaves alone, their weights and the statistics of their normalizations.

    Bands are normalized before the backbone: published weights were made with other sounds, so it learns that.
    """
    if not settings.freeze_backbone:
        return []
    return [model.backbone] if settings.load_checkpoint is None else [model.normalize, model.backbone]


def _check(description: Description, known: Description, path: str) -> None:
    if description.audio != known.audio:
        faults = [
            f"{key} {getattr(known.audio, key)} instead of {getattr(description.audio, key)}"
            for key in Audio.model_fields
            if getattr(known.audio, key) != getattr(description.audio, key)
        ]
        raise SettingsError(
            f"train.load_checkpoint = {path!r}: takes other spectrograms ({', '.join(faults)}); extract with its audio "
            "settings, or train without it"
        )
    if description.backbone != known.backbone:
        raise SettingsError(
            f"train.load_checkpoint = {path!r}: its backbone is {known.backbone}; set train.backbone to that"
        )


def _shared_classes(model: Recognizer, other: Recognizer, names: list[str], known: list[str]) -> dict[str, Tensor]:
    """The head's weights, with the other's rows for the classes that both know by name."""
    pairs = [(row, known.index(name)) for row, name in enumerate(names) if name in known]
    rows, others = [row for row, _ in pairs], [row for _, row in pairs]
    weights, source = model.head.state_dict(), other.head.state_dict()
    for name, tensor in source.items():
        if name.split(".")[0] not in model.head.by_class:
            weights[name] = tensor
        else:
            weights[name][rows] = tensor[others]
    return weights
