import torch

from lib.audio.augment.spec_augment import spec_augment
from lib.config.schema import TrainSettings


def masked(audio, **values) -> torch.Tensor:
    """Where windows (12, 24, 100) are masked."""
    torch.manual_seed(1)
    settings = TrainSettings(**{"freq_masks": 0, "time_masks": 0} | values)
    return spec_augment(settings, audio)(torch.ones(12, 1, 24, 100)).squeeze(1) == 0


def test_masks_blank_whole_bands_and_frames_up_to_their_size(audio):
    bands = masked(audio, freq_masks=1, freq_mask_bands=5).all(dim=2)
    frames = masked(audio, time_masks=1, time_mask_seconds=0.2).all(dim=1)
    assert 1 <= bands.sum(dim=1).max() <= 5 and 1 <= frames.sum(dim=1).max() <= 20
    assert len(set(bands.sum(dim=1).tolist())) > 1
    assert not masked(audio, freq_masks=1, freq_mask_bands=0).any()


def test_masks_larger_than_the_window_are_no_error(audio):
    assert masked(audio, freq_masks=2, freq_mask_bands=500, time_masks=2, time_mask_seconds=30.0).any()
