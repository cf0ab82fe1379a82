"""What a frozen backbone makes of the windows of a training database, computed once and kept on disk.

The files lie in the project's folder by what they are computed from, so that trainings of other heads share them. An
interrupted computation resumes.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from torch import Tensor

from lib.config.schema import TrainSettings
from lib.core.code_digest import digest_code
from lib.core.digests import digest_of
from lib.core.files import project_root
from lib.core.progress import progress
from lib.models.recognizer import Recognizer
from lib.training.batches import load_batches, scaled
from lib.training_data.stored_windows import StoredWindows

FOLDER = Path(".cache/embeddings")
KEPT = 4
"""Files that are kept, finished or not: those that were used last."""
COMPUTES = "lib.training.window_embeddings:embed_windows"


class WindowEmbeddings:
    """Feature maps of a backbone, in a file that is read as needed.

    Args:
        path: of the file: float32 numbers, one window after the other.
        indices: int (n,), ascending: of the windows that it holds.
        shape: (num_features, bands, frames) of each.
    """

    def __init__(self, path: Path, indices: np.ndarray, shape: tuple[int, ...]) -> None:
        self._indices = indices
        self._values = np.memmap(path, np.float32, "r", shape=(len(indices), *shape))

    def __getitem__(self, indices: np.ndarray) -> Tensor:
        """The feature maps of windows given by their indices (n,), float32 (n, num_features, bands, frames)."""
        return torch.from_numpy(np.array(self._values[np.searchsorted(self._indices, indices)]))


@torch.inference_mode()
def embed_windows(
    fabric: Fabric, model: Recognizer, windows: StoredWindows, indices: np.ndarray, settings: TrainSettings
) -> WindowEmbeddings:
    """The feature maps of windows, given by their indices (n,), which ascend, by the backbone of a model on the device
    of `fabric`."""
    model.eval()
    made_of = model.description.model_dump(include={"audio", "frontend", "backbone", "onnx"})
    key = digest_of([windows.digest(indices, model.description.takes), made_of, digest_code(COMPUTES)])
    path = project_root() / FOLDER / f"{key}.f32"
    path.parent.mkdir(parents=True, exist_ok=True)
    batches = np.array_split(indices, -(-len(indices) // settings.batch_size))

    def computed(chosen: list[np.ndarray], workers: int) -> Iterator[Tensor]:
        for x, _ in load_batches(windows, chosen, workers, model.description.takes):
            yield model.features(scaled(fabric.to_device(x))).float().cpu()

    with FileLock(path.with_suffix(".lock")):
        shape = tuple(next(computed([indices[:1]], 0)).shape[1:])
        if not path.exists():
            part = path.with_suffix(".part")
            n_bytes = np.cumsum([0, *(4 * len(batch) * int(np.prod(shape)) for batch in batches)])
            written = part.stat().st_size if part.exists() else 0
            n_done = int(np.searchsorted(n_bytes, written, "right")) - 1  # of batches that are whole
            with part.open("ab") as file:
                file.truncate(n_bytes[n_done])
                rest = computed(batches[n_done:], settings.workers)
                for values in progress(rest, "embed", len(batches), "batches", n_done):
                    file.write(values.numpy().tobytes())
                    file.flush()
            part.rename(path)
        os.utime(path)
        _remove_old(path.parent)
        return WindowEmbeddings(path, indices, shape)


def _remove_old(folder: Path) -> None:
    """Remove the files that were used longest ago, except those that another training is making or opening."""
    used: dict[Path, float] = {}
    for file in folder.glob("*.*"):
        with suppress(FileNotFoundError):  # other trainings may do the same at the same time
            used[file] = file.stat().st_mtime
    embeddings = sorted((file for file in used if file.suffix != ".lock"), key=used.__getitem__)
    for stem in {file.stem for file in used} - {file.stem for file in embeddings[-KEPT:]}:
        with suppress(Timeout), FileLock(folder / f"{stem}.lock", timeout=0):
            for file in folder.glob(f"{stem}.*"):  # its lock while it is held: who waits for it notices
                file.unlink(missing_ok=True)
