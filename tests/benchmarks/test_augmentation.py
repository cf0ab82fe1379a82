"""What each augmentation costs for a batch of 32 windows of the default settings, beside a training step on them.

`make benchmark` prints the table, in ms of processor time, which other work on the machine disturbs little.
"""

import time

import pytest
import torch

from lib.audio.augment import AUGMENTATIONS, Batch
from lib.audio.spectrogram_tensors import spectrograms_of
from lib.config.schema import AudioSettings, TrainSettings
from lib.models.description import Description
from lib.models.recognizer import build

pytestmark = pytest.mark.benchmark

RUNS = 5


def milliseconds(work) -> float:
    """Processor time, the shortest of several runs."""
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def test_augmentations_beside_a_training_step():
    audio, y = AudioSettings(), torch.eye(32)
    torch.manual_seed(1)
    sounds = 0.1 * torch.randn(32, audio.window_samples + 2 * audio.margin)
    spectrograms = spectrograms_of(sounds, audio).unsqueeze(1)
    classes = [{"name": str(k), "code": "", "alt_name": "", "alt_code": ""} for k in range(32)]
    model = build(Description.of(classes, audio, TrainSettings(), {})).to(memory_format=torch.channels_last)
    step = milliseconds(lambda: model(spectrograms.squeeze(1)).square().mean().backward())
    rows = [
        ("training step of cnn", "", step),
        ("spectrograms of sounds", "", milliseconds(lambda: spectrograms_of(sounds, audio))),
    ]
    for name, kind in AUGMENTATIONS.items():
        transform = kind(probability=1.0)
        for domain in kind.domains:
            x = sounds if domain == "waveforms" else spectrograms
            batch = Batch(x, y, x.flip(0), None, audio, True)
            rows.append((name, domain, milliseconds(lambda batch=batch, transform=transform: transform(batch))))
    print("\n\n" + "\n".join(f"{name:24}{domain:14}{cost:8.1f}{cost / step:8.2f}" for name, domain, cost in rows))
