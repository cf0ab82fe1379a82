"""Files that settings name besides the data sets, such as a checkpoint to start from or a list of classes.

DVC cannot watch a file whose name may be empty, so the stages that read such files depend on a folder for them.
People fill INPUTS; copies of registered models are made in REGISTERED.
"""

import os
from pathlib import Path

from lib.config.load import setting
from lib.config.schema import Settings
from lib.core.errors import Problem, SettingsError

INPUTS = Path("data/inputs")
REGISTRY = "registry:"
"""How settings begin that name a registered model, by name and alias or version."""
REGISTERED = Path("data/registry")
"""Copies of these models, with a folder for each section of the settings that names one. DVC watches them apart, so
that the copy that infer makes leaves what train depends on as it is."""


def input_file(settings: Settings, name: str) -> Path | None:
    """The file that a setting names; None if it names none, as train.pretrained and train.backbone may.

    >>> input_file(Settings(train={"backbone": "onnx:data/inputs/perch.onnx"}), "train.backbone")
    PosixPath('data/inputs/perch.onnx')
    >>> input_file(Settings(), "train.pretrained")

    Raises SettingsError as registered_place.
    """
    value = settings.train.onnx_file if name == "train.backbone" else setting(settings, name)
    if not isinstance(value, str):
        return None
    return registered_place(name, value) if value.startswith(REGISTRY) else Path(value)


def registered_place(name: str, reference: str) -> Path:
    """The folder in REGISTERED for the model that a setting names.

    >>> registered_place("infer.model", "registry:frogs@champion")
    PosixPath('data/registry/infer/frogs@champion')
    >>> registered_place("train.load_checkpoint", "registry:frogs/3")
    PosixPath('data/registry/train/frogs@3')

    Raises SettingsError if the reference names no model: the folder would be the one of all copies.
    """
    folder = reference.removeprefix(REGISTRY).strip().replace("/", "@").lstrip(".")
    if not folder.strip("@. "):
        remedy = f"write {REGISTRY}NAME@ALIAS or a file"
        raise SettingsError(f"{name} = {reference!r}", "names no registered model", remedy)
    return REGISTERED / name.partition(".")[0] / folder


def unwatched_inputs(settings: Settings, *names: str) -> list[Problem]:
    """In a stage that DVC runs, a Problem for each of these settings that names a file that DVC does not watch.

    >>> unwatched_inputs(Settings(), "train.load_checkpoint")
    []
    """
    problems, watched = [], [INPUTS.resolve(), REGISTERED.resolve()]
    for name in names if "DVC_STAGE" in os.environ else ():
        path = input_file(settings, name)
        if path is not None and not any(map(path.resolve().is_relative_to, watched)):
            remedy = f"move it to {INPUTS}, or a change of the file starts no stage"
            problems.append(Problem(f"{name} = {str(path)!r}", "dvc does not watch it", remedy, lost=False))
    return problems
