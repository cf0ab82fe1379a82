"""Scores from models: one checkpoint, or an ensemble of them."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lib.errors import EarshotError
from lib.models.checkpoint import load_checkpoint
from lib.models.description import Description
from lib.models.files import model_files


class Predictor:
    """One or more recognizers of the same classes on one device; their scores are averaged.

    description: of the first model. device: auto, cpu, cuda or mps. Raises EarshotError if a model cannot be loaded or
    the models of an ensemble do not fit together.
    """

    def __init__(self, model_path: str | Path, device: str = "auto") -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        files = model_files(model_path)
        loaded = [load_checkpoint(file) for file in files]
        self.description: Description = loaded[0][1]
        for file, (_, description) in zip(files, loaded, strict=True):
            if (description.classes, description.audio) != (self.description.classes, self.description.audio):
                raise EarshotError(f"{file}: has other classes or audio settings than {files[0]}; keep them apart")
        self._models = [(self._prepare(model), description.multi_label) for model, description in loaded]

    def _prepare(self, model: nn.Module) -> nn.Module:
        return model.eval().to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def get_block_scores(self, specs: np.ndarray) -> np.ndarray:
        """Scores float32 (n, n_classes) in 0..1 of spectrograms float32 (n, height, width) in 0..1."""
        x = torch.from_numpy(specs).to(self.device)
        scores = [
            torch.sigmoid(model(x)) if multi_label else torch.softmax(model(x), dim=1)
            for model, multi_label in self._models
        ]
        return torch.stack(scores).mean(dim=0).float().cpu().numpy()
