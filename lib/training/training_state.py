"""The state of a training on disk, from which an interrupted run resumes after its last complete epoch."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lib.audio.augment import Transform
from lib.config.schema import TrainSettings
from lib.core.code_digest import digest_code
from lib.core.digests import digest_known_file, digest_of
from lib.core.errors import EarshotError, SettingsError
from lib.models.onnx_files import onnx_origin
from lib.training_data.training_tables import FILE

TRAINING_CODE = ("lib.training.trainer:train_models", "lib.training.trainer:save_models")
"""The functions that compute a model, besides the augmentations that the settings list."""


def training_fingerprint(database: str | Path, settings: TrainSettings) -> str:
    """Digest of all that the result of a training depends on; a run resumes only from a state with the same one.

    Raises EarshotError if the database, or the checkpoint to start from, is missing.
    """
    missing = EarshotError(database, "no such file", f"{FILE.remedy} first")
    return digest_of([_digest_file(database, missing), settings_digest(settings), version("torch")])


def settings_digest(settings: TrainSettings) -> str:
    """Digest of all but the data that the result of a training depends on. Raises SettingsError as input_digests."""
    # of the checkpoint to start from, the content counts (start_digest), not where it lies: a registered model's copy
    # lies elsewhere in the pipeline than by hand
    without_effect = {"workers", "load_checkpoint"} | ({"augmentations"} if settings.embeds_once else set())
    content = [settings.model_dump(exclude=without_effect), *input_digests(settings)]
    content += [transform.traits() for transform in transforms_of(settings)]
    return digest_of([*content, digest_code(*training_code(settings))])


def training_code(settings: TrainSettings) -> tuple[str, ...]:
    """What computes a model, as entries for lib.core.code_digest."""
    return *TRAINING_CODE, *(entry for transform in transforms_of(settings) for entry in transform.code())


def transforms_of(settings: TrainSettings) -> list[Transform]:
    """The augmentations that training applies."""
    return [] if settings.embeds_once else settings.augmentations  # type: ignore[return-value]


def start_digest(settings: TrainSettings) -> str | None:
    """Digest of the checkpoint to start from, None if there is none. Raises SettingsError if it is missing."""
    path = settings.load_checkpoint
    if path is None:
        return None
    return _digest_file(
        path, SettingsError(f"train.load_checkpoint = {path!r}", "no such file", "give a checkpoint (.pt)")
    )


def input_digests(settings: TrainSettings) -> list[str | None]:
    """Digests of the files that settings name: the checkpoint to start from (None: there is none) and, if they name
    any, weights, an ONNX backbone and what augmentations read. Raises SettingsError if one is missing."""
    digests = [start_digest(settings)]
    if isinstance(settings.pretrained, str) and not Path(settings.pretrained).is_dir():  # in a folder, their names tell
        setting = f"train.pretrained = {settings.pretrained!r}"
        missing = SettingsError(setting, "no such file or folder", "give a file of weights (.safetensors, .pth)")
        digests.append(_digest_file(settings.pretrained, missing))
    if (path := settings.onnx_file) is not None:
        digests.append(onnx_origin(path).digest)
    return [*digests, *(digest_known_file(file) for transform in transforms_of(settings) for file in transform.files())]


def _digest_file(path: str | Path, missing: EarshotError) -> str:
    try:
        return digest_known_file(path)
    except OSError:
        raise missing from None


def state_file(model: str | Path) -> Path:
    """Where the state of a training is kept that writes a model: beside its folder or, where only that may be written
    to, in it."""
    path = Path(model)
    folder = path.parent.resolve()
    if folder.is_dir() and not os.access(folder.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return folder / f".{path.stem}-state"
    return folder.with_name(f".{folder.name}-{path.stem}-state")


def keep_state(path: Path, state: dict[str, Any]) -> None:
    from lib.models.tensor_files import write_tensors  # brings torch

    write_tensors(path, state)


def read_state(path: Path, fingerprint: str) -> dict[str, Any]:
    """The state that a run with that fingerprint left; empty if there is none."""
    import torch

    if not path.is_file():
        return {}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch's reader raises exceptions of any kind on damaged files
        return {}
    return state if isinstance(state, dict) and state.get("fingerprint") == fingerprint else {}


def state_of_fold(state_file: str | Path, fold: int) -> Path:
    """Where the state of a fold, from 1, is kept; fold 0: without cross-validation."""
    path = Path(state_file)
    return path.with_name(f"{path.name}-f{fold}") if fold else path


def epochs_done(state_file: str | Path, fingerprint: str) -> int:
    """How many epochs, of all folds together, an interrupted training with that fingerprint completed."""
    return sum(len(read_state(path, fingerprint).get("epochs", [])) for path in _state_files(state_file))


def remove_state(state_file: str | Path, fingerprint: str | None = None) -> None:
    """Remove what an interrupted training left; if a fingerprint is given, only if the training had that one."""
    for path in _state_files(state_file):
        if fingerprint is None or read_state(path, fingerprint):
            path.unlink()


def _state_files(state_file: str | Path) -> list[Path]:
    path = Path(state_file)
    return [file for file in (path, *sorted(path.parent.glob(f"{path.name}-f*"))) if file.is_file()]
