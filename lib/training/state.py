"""The state of a training on disk, from which a run that was killed goes on after its last whole epoch."""

import pickle
from pathlib import Path
from typing import Any

import torch

from lib.config import Train
from lib.digests import digest_code, digest_file, digest_of
from lib.errors import SettingsError
from lib.files import atomic

CODE = (
    *("audio/augment.py", "database/codec.py", "database/files.py", "database/schema.py"),
    "database/stored_windows.py",
    *(f"models/{name}.py" for name in ("backbones", "calibration", "checkpoint", "description", "device", "heads")),
    *(f"models/{name}.py" for name in ("losses", "recognizer")),
    *(f"training/{name}.py" for name in ("averaging", "batches", "loop", "state", "trainer", "transfer")),
    "training/validation.py",
)
"""What a model is made by: a change there trains it anew."""


def training_fingerprint(database: str | Path, settings: Train) -> str:
    """Digest of all that a training's result depends on; the state of a run with another is not taken up.

    Raises SettingsError if the checkpoint to start from is missing.
    """
    return digest_of([digest_file(database), settings_digest(settings)])


def settings_digest(settings: Train) -> str:
    """Digest of all but the data that a training's result depends on. Raises SettingsError as start_digest does."""
    return digest_of([settings.model_dump(exclude={"workers"}), start_digest(settings), digest_code(*CODE)])


def start_digest(settings: Train) -> str | None:
    """Digest of the checkpoint to start from, if there is one. Raises SettingsError if it is missing."""
    if settings.load_checkpoint is None:
        return None
    try:
        return digest_file(settings.load_checkpoint)
    except OSError:
        fault = f"train.load_checkpoint = {settings.load_checkpoint!r}: no such file"
        raise SettingsError(f"{fault}; give a checkpoint (.pt)") from None


def keep_state(path: Path, state: dict[str, Any]) -> None:
    with atomic(path) as part, part.open("wb") as file:
        torch.save(state, file)


def read_state(path: Path, fingerprint: str) -> dict[str, Any]:
    """The state that a run with that fingerprint left; empty if there is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, pickle.UnpicklingError, RuntimeError, EOFError):
        return {}
    return state if state["fingerprint"] == fingerprint else {}


def state_of_fold(state_file: str | Path, fold: int) -> Path:
    """Where the state of a fold, from 1, is kept; fold 0: of the only training."""
    path = Path(state_file)
    return path.with_name(f"{path.name}-f{fold}") if fold else path


def epochs_done(state_file: str | Path, fingerprint: str) -> int:
    """How many epochs, of all folds together, a training of that fingerprint has behind it already."""
    return sum(len(read_state(path, fingerprint).get("epochs", [])) for path in _state_files(state_file))


def remove_state(state_file: str | Path) -> None:
    for path in _state_files(state_file):
        path.unlink()


def _state_files(state_file: str | Path) -> list[Path]:
    path = Path(state_file)
    return [file for file in (path, *sorted(path.parent.glob(f"{path.name}-f*"))) if file.is_file()]
