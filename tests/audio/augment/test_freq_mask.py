import numpy as np
import torch

from lib.audio.spectrograms import filterbank


def test_masks_blank_whole_bands_up_to_their_number(augmented):
    masked = augmented("freq_mask", torch.ones(12, 24, 100), bands=5)[0] == 0
    bands = masked.all(dim=2)
    assert torch.equal(masked.any(dim=2), bands)
    assert 1 <= bands.sum(dim=1).max() <= 5 and len(set(bands.sum(dim=1).tolist())) > 1
    assert not (augmented("freq_mask", torch.ones(12, 24, 100), bands=0)[0] == 0).any()


def test_masks_larger_than_the_window_are_no_error(sounds, augmented):
    assert (augmented("freq_mask", torch.ones(12, 24, 100), bands=500, masks=2)[0] == 0).any()
    assert augmented("freq_mask", sounds[0], bands=500, masks=2)[0].isfinite().all()


def test_all_channels_of_an_image_lose_the_same_bands(augmented):
    masked, _ = augmented("freq_mask", torch.ones(12, 3, 24, 100))
    assert (masked == masked[:, :1]).all() and (masked == 0).any()


def test_waveforms_lose_the_frequencies_of_neighbouring_bands(audio, augmented):
    x = torch.randn(12, 8000)
    masked, _ = augmented("freq_mask", x, bands=8)
    powers = [np.square(np.abs(np.fft.rfft(each.numpy(), axis=1))) for each in (x, masked)]
    bank = filterbank(audio)[:, np.round(np.arange(4001) / 4000 * 128).astype(int)]
    ratio = (powers[1] @ bank.T) / (powers[0] @ bank.T)  # of the power in each band
    lost = ratio < 0.5
    assert 1 < lost.sum(axis=1).max() <= 8
    for row in lost:
        places = np.flatnonzero(row)
        assert len(places) == 0 or places[-1] - places[0] == len(places) - 1
    assert np.median(ratio) > 0.99
