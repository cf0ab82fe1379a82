"""The state of a training on disk, from which a run that was killed goes on after its last whole epoch."""

import pickle
from pathlib import Path
from typing import Any

import torch

from lib.config import Train
from lib.digests import LIB, digest_code, digest_file, digest_of
from lib.errors import SettingsError
from lib.files import atomic


def training_fingerprint(database: str | Path, settings: Train) -> str:
    """Digest of all that a training's result depends on; the state of a run with another is not taken up.

    Raises SettingsError if the checkpoint to start from is missing.
    """
    start = None
    if settings.load_checkpoint is not None:
        try:
            start = digest_file(settings.load_checkpoint)
        except OSError:
            fault = f"train.load_checkpoint = {settings.load_checkpoint!r}: no such file"
            raise SettingsError(f"{fault}; give a checkpoint (.pt)") from None
    return digest_of([digest_file(database), settings.model_dump(exclude={"workers"}), start, code_digest()])


def code_digest() -> str:
    """Digest of the code that a training's result depends on."""
    rooms = [path for room in ("models", "training") for path in sorted((LIB / room).glob("*.py"))]
    return digest_code("audio/augment.py", *(str(path.relative_to(LIB)) for path in rooms))


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
