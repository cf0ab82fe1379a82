import pytest
import torch

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
