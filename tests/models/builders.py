"""Models with random weights, which need no training."""

from pathlib import Path

import numpy as np
import torch

from lib.audio.spectrograms import cut_windows, window_pieces
from lib.config.schema import AudioSettings
from lib.models.checkpoints import save_checkpoint
from lib.models.description import Description
from lib.models.onnx_files import onnx_origin
from lib.models.recognizer import Recognizer, build
from tests.training_data.builders import AUDIO, PITCHES, tones


def describe(audio: AudioSettings, names: str | list[str] = "abc", **changes) -> Description:
    classes = [{"name": name, "code": name.upper(), "alt_name": "", "alt_code": ""} for name in names]
    values: dict = {"classes": classes, "backbone": "cnn", "dropout": 0.1, "multi_label": True}
    values["training"] = {"seed": 1, "epochs": 2}
    return Description(audio=audio, **(values | changes))


def frozen_description(path: Path, audio: AudioSettings = AUDIO, **changes) -> Description:
    """The description of a model whose backbone is the ONNX file at a path."""
    return describe(audio, backbone="onnx", onnx=onnx_origin(str(path)), **changes)


def random_model(description: Description, seed: int = 1, onnx: bytes | None = None) -> Recognizer:
    """A model whose scores differ from window to window, all over 0..1."""
    torch.manual_seed(seed)
    model = build(description, onnx=onnx).eval()
    audio = description.audio
    samples, _ = tones(99, 20.0, tuple(PITCHES))
    pieces = window_pieces([samples.astype(np.float32)], audio, description.takes)
    windows = next(cut_windows(pieces, audio, 0.11, 64, description.takes))
    with torch.no_grad():
        logits = model(torch.from_numpy(windows.inputs))
        model.head.classifier.weight.mul_(3 / logits.std(dim=0)[:, None])
        model.head.classifier.bias.sub_(logits.mean(dim=0)).mul_(3 / logits.std(dim=0))
    return model


def save_random_model(
    path: Path, audio: AudioSettings, names: str | list[str] = "abc", seed: int = 1, **changes
) -> Recognizer:
    path.parent.mkdir(parents=True, exist_ok=True)
    description = describe(audio, names, **changes)
    model = random_model(description, seed)
    save_checkpoint(path, model, description)
    return model
