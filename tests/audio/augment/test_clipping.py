import torch

from tests.audio.augment.listening import tones


def test_peaks_are_cut_off_at_the_level_that_they_had(augmented):
    x = tones(*[313.0] * 30)
    clipped, _ = augmented("clipping", x, probability=1.0, drive_db=[3.0, 12.0])
    torch.testing.assert_close(clipped.abs().amax(dim=1), x.abs().amax(dim=1))
    share = (clipped.abs() > 0.2999).float().mean(dim=1)
    # a sine exceeds its peak over g for 1 - 2 asin(1 / g) / pi of the time
    low, high = (1 - 2 * torch.asin(torch.tensor(10 ** (-db / 20))) / torch.pi for db in (3.0, 12.0))
    assert low - 0.01 < share.min() < low + 0.15 and high - 0.15 < share.max() < high + 0.01
