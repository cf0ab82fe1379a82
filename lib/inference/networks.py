"""Models that compute: windows in, logits out. The Predictor makes scores of them, averages and labels."""

from pathlib import Path

import torch
from torch import Tensor

from lib.core.errors import EarshotError
from lib.models.checkpoints import load_checkpoint
from lib.models.precision import use_bf16
from lib.models.recognizer import fold_batch_norms


class Network:
    """A checkpoint on a device.

    Args:
        file: the checkpoint.
        device: that computes.
        precision: auto, 32 or bf16.
    """

    def __init__(self, file: Path, device: torch.device, precision: str) -> None:
        model, self.description = load_checkpoint(file)
        self._model = fold_batch_norms(model.eval()).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._bf16 = use_bf16(precision, device)

    def logits(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (n, n_classes) and, if the head scores frames, (n, n_classes, n_frames), else None.

        windows: what the model takes, float32, on the device.
        """
        with torch.autocast(windows.device.type, torch.bfloat16, enabled=self._bf16):
            return self._model.forward_frames(windows)

    def embed(self, windows: Tensor) -> Tensor:
        """Embeddings, float32 (n, dim)."""
        with torch.autocast(windows.device.type, torch.bfloat16, enabled=self._bf16):
            return self._model.embed(windows).float()


def open_networks(files: list[Path], device: torch.device, precision: str) -> list[Network]:
    """The models of an ensemble. Raises EarshotError if one cannot be opened or they do not fit together."""
    networks = [Network(file, device, precision) for file in files]
    first = networks[0].description
    for file, network in zip(files, networks, strict=True):
        if fault := network.description.misfit(first):
            raise EarshotError(file, f"{fault} than {files[0]}", "keep them apart")
    rates = sorted({network.description.sed_fps for network in networks if network.description.sed_fps})
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in rates)
        raise EarshotError(files[0].parent, f"models with {listed} frames a second (sed_fps)", "keep them apart")
    return networks
