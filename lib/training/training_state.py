"""The state of a training on disk, from which an interrupted run resumes after its last complete epoch."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from lib.config.schema import TrainSettings
from lib.core.code_digest import digest_code
from lib.core.digests import digest_known_file, digest_of
from lib.core.errors import EarshotError, SettingsError
from lib.training_data.training_tables import FILE

TRAINING_CODE = ("lib.training.trainer:train_models", "lib.training.trainer:save_models")
"""The functions that compute a model."""


def training_fingerprint(database: str | Path, settings: TrainSettings) -> str:
    """Digest of all that the result of a training depends on; a run resumes only from a state with the same one.

    Raises EarshotError if the database, or the checkpoint to start from, is missing.
    """
    missing = EarshotError(database, "no such file", f"{FILE.remedy} first")
    return digest_of([_digest_file(database, missing), settings_digest(settings), version("torch")])


def settings_digest(settings: TrainSettings) -> str:
    """Digest of all but the data that the result of a training depends on. Raises SettingsError as start_digest."""
    return digest_of([settings.model_dump(exclude={"workers"}), start_digest(settings), digest_code(*TRAINING_CODE)])


def start_digest(settings: TrainSettings) -> str | None:
    """Digest of the checkpoint to start from, None if there is none. Raises SettingsError if it is missing."""
    path = settings.load_checkpoint
    if path is None:
        return None
    return _digest_file(
        path, SettingsError(f"train.load_checkpoint = {path!r}", "no such file", "give a checkpoint (.pt)")
    )


def _digest_file(path: str | Path, missing: EarshotError) -> str:
    try:
        return digest_known_file(path)
    except OSError:
        raise missing from None


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


def remove_state(state_file: str | Path) -> None:
    for path in _state_files(state_file):
        path.unlink()


def _state_files(state_file: str | Path) -> list[Path]:
    path = Path(state_file)
    return [file for file in (path, *sorted(path.parent.glob(f"{path.name}-f*"))) if file.is_file()]
