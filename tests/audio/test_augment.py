import numpy as np
import pytest
import torch

from lib.audio.augment import Augmentation, Mixer
from lib.config import Audio, Train

AUDIO = Audio(sampling_rate=8000, spec_duration=1.0, spec_height=24, win_length=256, hop_length=80, max_freq=4000.0)
OFF = {
    "mixup": 0.0,
    "background_mix": 0.0,
    "time_shift": 0.0,
    "gain_db": 0.0,
    "freq_masks": 0,
    "time_masks": 0,
}
N, HEIGHT, WIDTH = 12, AUDIO.spec_height, AUDIO.spec_width


def batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalized spectrograms, and targets by which each of them can be told."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(N, HEIGHT, WIDTH, generator=generator)
    return x / x.amax(dim=(1, 2), keepdim=True), torch.eye(N)


def augmented(x, y, background=None, seed=1, audio=AUDIO, **values):
    torch.manual_seed(seed)
    return Augmentation(Train(**OFF | values), audio)(x, y, background)


def points(*levels: float) -> torch.Tensor:
    return torch.tensor([[levels]])


def test_sounds_add_up_in_power():
    mixer = Mixer(decibels=True, top_db=40.0)
    # levels 1, 0.5 and 0.75 are 0, -20 and -10 dB: powers 1, 0.01 and 0.1
    total = mixer.add(points(1, 0.5, 0.75), points(0.5, 0.5, 1), torch.tensor([0.1]))
    power = torch.tensor([1 + 0.001, 0.01 + 0.001, 0.1 + 0.1])
    torch.testing.assert_close(total[0, 0], 1 + 10 / 40 * torch.log10(power / power[0]))
    amplitudes = Mixer(decibels=False, top_db=40.0).add(points(1, 0.3), points(0.5, 0.4), torch.tensor([1.0]))
    torch.testing.assert_close(amplitudes, points(1, 0.5 / 1.25**0.5))


def test_equal_sounds_give_the_same_picture_and_silence_adds_nothing():
    mixer, x = Mixer(decibels=True, top_db=80.0), batch()[0]
    gain = torch.ones(N)
    torch.testing.assert_close(mixer.add(x, x, gain), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(mixer.add(x, torch.zeros_like(x), gain), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("decibels", [True, False])
@pytest.mark.parametrize("top_db", [40.0, 80.0, 200.0])
def test_silence_and_silence_is_silence(decibels, top_db):
    silence = torch.zeros(2, 3, 4)
    assert Mixer(decibels, top_db).add(silence, silence, torch.ones(2)).max() == 0
    sound = silence.clone()
    sound[:, 1, 2] = 1
    torch.testing.assert_close(Mixer(decibels, top_db).add(sound, silence, torch.ones(2)), sound)


def test_with_everything_off_nothing_changes():
    x, y = batch()
    for result, given in zip(augmented(x, y, batch(2)[0]), (x, y), strict=True):
        torch.testing.assert_close(result, given, atol=0, rtol=0)


@pytest.mark.parametrize("decibels", [True, False])
@pytest.mark.parametrize("multi_label", [True, False])
def test_shapes_and_ranges_stay_and_a_seed_tells_the_result(decibels, multi_label):
    x, y = batch()
    x[0] = 0
    audio = Audio(**AUDIO.model_dump() | {"decibels": decibels})
    torch.manual_seed(3)
    augmentation = Augmentation(Train(multi_label=multi_label), audio)
    results = [augmentation(x, y, batch(2)[0])]
    torch.manual_seed(3)
    results.append(augmentation(x, y, batch(2)[0]))
    (first_x, first_y), (second_x, second_y) = results
    assert first_x.shape == x.shape and first_y.shape == y.shape and first_x.dtype == x.dtype
    assert first_x.min() >= 0 and first_x.max() <= 1 and first_x.isfinite().all()
    assert torch.equal(first_x, second_x) and torch.equal(first_y, second_y)
    assert not torch.equal(augmentation(x, y, None)[0], first_x)


def test_time_shift_rolls_windows_by_different_amounts():
    x, y = batch()
    shifted, _ = augmented(x, y, time_shift=1.0)
    by = []
    for before, after in zip(x, shifted, strict=True):
        match = [k for k in range(WIDTH) if torch.equal(torch.roll(before, -k, dims=1), after)]
        by += match
    assert len(by) == N and len(set(by)) > 3


def test_gain_moves_all_levels_of_a_window_alike_and_leaves_silence_alone():
    x = torch.full((N, HEIGHT, WIDTH), 0.5)
    x[:, 0] = 0
    louder, _ = augmented(x, torch.eye(N), gain_db=8.0)
    change = louder[:, 1:] - 0.5
    assert (louder[:, 0] == 0).all()
    assert (change == change[:, :1, :1]).all() and change.abs().max() <= 8 / 80 + 1e-6
    assert change.min() < -0.02 and change.max() > 0.02


def test_mixup_of_several_labels_keeps_both_in_full():
    x, y = batch()
    mixed, targets = augmented(x, y, mixup=1.0)
    assert set(targets.unique().tolist()) == {0, 1}
    assert (targets >= y).all() and targets.sum(dim=1).max() == 2
    for row, target in zip(mixed, targets, strict=True):
        first, *second = target.nonzero().flatten().tolist()
        if not second:  # mixed with itself
            torch.testing.assert_close(row, x[first], atol=1e-5, rtol=0)
    # what is added is no louder than what is there: the peak rises, and all else sinks below it, by 3 dB at most
    assert (mixed - x).min() > -10 * np.log10(2) / AUDIO.top_db - 1e-5 and (mixed != x).any()


def test_windows_that_stay_alone_are_neither_mixed_nor_mixed_into_others():
    x, y = batch()
    alone = torch.arange(N) % 2 == 0
    for seed in range(10):
        torch.manual_seed(seed)
        mixed, targets = Augmentation(Train(**OFF | {"mixup": 1.0}), AUDIO)(x, y, None, alone)
        assert torch.equal(mixed[alone], x[alone]) and torch.equal(targets[alone], y[alone])
        assert not targets[~alone][:, alone].any()


def test_mixup_of_exclusive_labels_shares_them():
    x, y = batch()
    _, targets = augmented(x, y, mixup=1.0, multi_label=False)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(N))
    assert ((targets > 0).sum(dim=1) <= 2).all() and ((targets > 0).sum(dim=1) == 2).any()


def test_mixup_and_background_hit_the_share_of_windows_that_is_asked_for():
    x, y = torch.cat([batch(seed)[0] for seed in range(40)]), torch.eye(40 * N)
    _, targets = augmented(x, y, mixup=0.5)
    assert 0.4 < (targets.sum(dim=1) > 1).float().mean() < 0.6
    over, targets = augmented(x, y, x.flip(0), background_mix=0.3)
    assert 0.22 < (over != x).any(dim=2).any(dim=1).float().mean() < 0.38
    assert torch.equal(targets, y)


def test_masks_blank_whole_bands_and_frames_up_to_their_size():
    x, y = torch.ones(N, HEIGHT, WIDTH), torch.eye(N)
    bands = (augmented(x, y, freq_masks=1, freq_mask_bands=5)[0] == 0).all(dim=2)
    frames = (augmented(x, y, time_masks=1, time_mask_seconds=0.2)[0] == 0).all(dim=1)
    assert 1 <= bands.sum(dim=1).max() <= 5 and 1 <= frames.sum(dim=1).max() <= 20
    assert len(set(bands.sum(dim=1).tolist())) > 1
    assert torch.equal(augmented(x, y, freq_masks=1, freq_mask_bands=0)[0], x)


def test_masks_larger_than_the_window_are_no_error():
    x, y = batch()
    result, _ = augmented(x, y, freq_masks=2, freq_mask_bands=500, time_masks=2, time_mask_seconds=30.0)
    assert result.shape == x.shape


def test_sounds_are_mixed_before_the_exponent_of_levels_is_applied():
    audio = AUDIO.model_copy(update={"db_power": 2.0})
    (x, y), (background, _) = batch(), batch(2)
    values = {"mixup": 1.0, "background_mix": 1.0, "gain_db": 3.0}
    plain, _ = augmented(x, y, background, **values)
    raised, _ = augmented(x**2, y, background**2, audio=audio, **values)
    torch.testing.assert_close(raised, plain**2, atol=1e-4, rtol=0)
