"""Scores from models: one checkpoint, or an ensemble of them."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lib.errors import EarshotError
from lib.models.checkpoint import load_checkpoint
from lib.models.description import Description
from lib.models.device import choose_device, use_bf16
from lib.models.files import model_files
from lib.models.recognizer import fold_batch_norms


class Predictor:
    """One or more recognizers of the same classes on one device; their scores are averaged.

    description: of the first model. device: auto, cpu, cuda or mps. precision: auto, 32 or bf16.
    Raises EarshotError if a model cannot be loaded or the models of an ensemble do not fit together.
    """

    def __init__(self, model_path: str | Path, device: str = "auto", precision: str = "auto") -> None:
        self.device = choose_device(device)
        self._bf16 = use_bf16(precision, self.device)
        files = model_files(model_path)
        loaded = [load_checkpoint(file) for file in files]
        self.description: Description = loaded[0][1]
        for file, (_, description) in zip(files, loaded, strict=True):
            if (description.classes, description.audio) != (self.description.classes, self.description.audio):
                raise EarshotError(f"{file}: has other classes or audio settings than {files[0]}; keep them apart")
        self._models = [(self._prepare(model), description.multi_label) for model, description in loaded]

    def _prepare(self, model: nn.Module) -> nn.Module:
        return fold_batch_norms(model.eval()).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def get_block_scores(self, specs: np.ndarray) -> np.ndarray:
        """Scores float32 (n, n_classes) in 0..1 of spectrograms float32 (n, height, width) in 0..1."""
        x = torch.from_numpy(specs).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits = [(model(x), multi_label) for model, multi_label in self._models]
        scores = [torch.sigmoid(z) if multi_label else torch.softmax(z, dim=1) for z, multi_label in logits]
        return torch.stack(scores).mean(dim=0).float().cpu().numpy()
