"""Models with random weights, which need no training."""

from pathlib import Path

import numpy as np
import torch

from lib.audio.spectrograms import cut_windows, level_frames
from lib.config.schema import AudioSettings
from lib.models.checkpoints import save_checkpoint
from lib.models.description import Description
from lib.models.recognizer import Recognizer, build
from tests.training_data.builders import PITCHES, tones


def describe(audio: AudioSettings, names: str | list[str] = "abc", **changes) -> Description:
    classes = [{"name": name, "code": name.upper(), "alt_name": "", "alt_code": ""} for name in names]
    values: dict = {"classes": classes, "backbone": "cnn", "dropout": 0.1, "multi_label": True}
    values["training"] = {"seed": 1, "epochs": 2}
    return Description(audio=audio, **(values | changes))


def random_model(description: Description, seed: int = 1) -> Recognizer:
    """A model whose scores differ from window to window, all over 0..1."""
    torch.manual_seed(seed)
    model = build(description).eval()
    audio = description.audio
    samples, _ = tones(99, 20.0, tuple(PITCHES))
    windows = next(cut_windows(level_frames([samples.astype(np.float32)], audio), audio, 0.11, 64))
    with torch.no_grad():
        logits = model(torch.from_numpy(windows.spectrograms))
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
