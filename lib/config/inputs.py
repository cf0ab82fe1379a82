"""Files that settings name besides the data sets, such as a checkpoint to start from or a list of classes.

DVC cannot watch a file whose name may be empty, so the stages that read such files depend on a folder for them.
"""

import os
from pathlib import Path

from lib.config.load import setting
from lib.config.schema import Settings
from lib.core.errors import Problem, SettingsError

INPUTS = Path("data/inputs")
REGISTRY = "registry:"
"""How settings begin that name a registered model, by name and alias or version."""
REGISTERED = INPUTS / "registry"
"""Copies of these models, which DVC watches."""


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
    return registered_place(value) if value.startswith(REGISTRY) else Path(value)


def registered_place(reference: str) -> Path:
    """The folder in REGISTERED of a model that a setting names.

    >>> registered_place("registry:frogs@champion"), registered_place("registry:frogs/3").name
    (PosixPath('data/inputs/registry/frogs@champion'), 'frogs@3')

    Raises SettingsError if the reference names no model: the folder would be REGISTERED itself, with all other copies.
    """
    folder = reference.removeprefix(REGISTRY).strip().replace("/", "@").lstrip(".")
    if not folder.strip("@. "):
        raise SettingsError(repr(reference), "names no registered model", f"write {REGISTRY}NAME@ALIAS or a file")
    return REGISTERED / folder


def unwatched_inputs(settings: Settings, *names: str) -> list[Problem]:
    """In a stage that DVC runs, a Problem for each of these settings that names a file outside of INPUTS.

    >>> unwatched_inputs(Settings(), "train.load_checkpoint")
    []
    """
    problems = []
    for name in names if "DVC_STAGE" in os.environ else ():
        path = input_file(settings, name)
        if path is not None and not path.resolve().is_relative_to(INPUTS.resolve()):
            remedy = f"move it to {INPUTS}, or a change of the file starts no stage"
            problems.append(Problem(f"{name} = {str(path)!r}", "dvc does not watch it", remedy, lost=False))
    return problems
