"""What computes: one opened model, whatever the file is that it comes from.

A Network takes spectrograms and gives logits; the Predictor makes scores of them, averages and labels. Another kind of
file needs a class here and a line in NETWORKS, by its suffix.
"""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lib.errors import EarshotError
from lib.models.checkpoint import load_checkpoint
from lib.models.description import Description
from lib.models.device import use_bf16
from lib.models.recognizer import fold_batch_norms


class Network(Protocol):
    """An opened model. description: what it takes and gives."""

    description: Description

    def logits(self, spectrograms: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (n, n_classes) and, of a head that knows of frames, (n, n_classes, n_frames), else None.

        spectrograms: float32 (n, height, width) in 0..1, on the device that the model was opened for.
        """

    def embed(self, spectrograms: Tensor) -> Tensor:
        """Embeddings (n, dim) of such spectrograms."""


class TorchNetwork:
    """A checkpoint, computed by torch. precision: auto, 32 or bf16."""

    def __init__(self, file: Path, device: torch.device, precision: str) -> None:
        model, self.description = load_checkpoint(file)
        self._model = fold_batch_norms(model.eval()).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._bf16 = use_bf16(precision, device)

    def logits(self, spectrograms: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.autocast(spectrograms.device.type, torch.bfloat16, enabled=self._bf16):
            return self._model.forward_frames(spectrograms)

    def embed(self, spectrograms: Tensor) -> Tensor:
        with torch.autocast(spectrograms.device.type, torch.bfloat16, enabled=self._bf16):
            return self._model.embed(spectrograms).float()


NETWORKS = {".pt": TorchNetwork}


def open_networks(files: list[Path], device: torch.device, precision: str) -> list[Network]:
    """The models of an ensemble. Raises EarshotError if one cannot be opened or they do not fit together."""
    networks: list[Network] = [NETWORKS.get(file.suffix, TorchNetwork)(file, device, precision) for file in files]
    first = networks[0].description
    rates = {network.description.sed_fps for network in networks if network.description.sed_fps}
    for file, network in zip(files, networks, strict=True):
        if (network.description.classes, network.description.audio) != (first.classes, first.audio):
            raise EarshotError(f"{file}: has other classes or audio settings than {files[0]}; keep them apart")
        if len(rates) > 1:
            listed = ", ".join(f"{rate:g}" for rate in sorted(rates))
            raise EarshotError(f"{files[0].parent}: models with {listed} frames a second (sed_fps); keep them apart")
    return networks
