import pytest
import torch

from lib.audio.augment import AUGMENTATIONS, Batch
from lib.config.schema import AudioSettings


@pytest.fixture
def audio() -> AudioSettings:
    return AudioSettings(
        sampling_rate=8000, spec_duration=1.0, spec_height=24, win_length=256, hop_length=80, max_freq=4000.0
    )


@pytest.fixture
def batch():
    """A function from a seed to 12 normalized spectrograms (24, 100), and targets by which each of them can be told."""

    def make(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.rand(12, 24, 100, generator=torch.Generator().manual_seed(seed))
        return x / x.amax(dim=(1, 2), keepdim=True), torch.eye(12)

    torch.manual_seed(1)
    return make


@pytest.fixture
def sounds():
    """12 waveforms (8000 samples): a tone each, from 200 to 2400 Hz, with a little noise; and targets."""
    torch.manual_seed(1)
    seconds = torch.arange(8000) / 8000
    frequencies = 200.0 * torch.arange(1, 13)
    x = 0.2 * torch.sin(2 * torch.pi * frequencies[:, None] * seconds) + 0.002 * torch.randn(12, 8000)
    return x, torch.eye(12)


@pytest.fixture
def augmented(audio):
    """A function that applies an augmentation of that name and settings to windows and targets, from a seed."""

    def apply(name, x, y=None, *, background=None, alone=None, multi_label=True, audio=audio, seed=1, **settings):
        torch.manual_seed(seed)
        transform = AUGMENTATIONS[name](**settings)
        prepared = {name: transform.prepare(audio)}
        is_image = x.dim() == 3
        given = [part.unsqueeze(1) if is_image and part is not None else part for part in (x, background)]
        y = torch.eye(len(x)) if y is None else y
        result = transform(Batch(given[0], y, given[1], alone, audio, multi_label, prepared=prepared))
        return (result.x.squeeze(1) if is_image else result.x), result.y

    return apply
