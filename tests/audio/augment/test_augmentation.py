import pytest
import torch

from lib.audio.augment import AUGMENTATIONS
from lib.audio.augment.augmentation import Augmentation
from lib.config.schema import TrainSettings
from lib.core.errors import SettingsError

WAVEFORMS = [name for name, transform in AUGMENTATIONS.items() if "waveforms" in transform.domains]
SPECTROGRAMS = [name for name, transform in AUGMENTATIONS.items() if "spectrograms" in transform.domains]


def augmentation_of(audio, *entries, multi_label=True, **options):
    settings = TrainSettings(augmentations=list(entries), multi_label=multi_label)
    return Augmentation(settings, audio, **options)


def augmented(audio, x, y, background=None, **values):
    torch.manual_seed(1)
    return Augmentation(TrainSettings(**values), audio).on_spectrograms(x, y, background)


def test_without_augmentations_nothing_changes(audio, batch, sounds):
    x, y = batch()
    assert all(
        a is b or torch.equal(a, b) for a, b in zip(augmented(audio, x, y, augmentations=[]), (x, y), strict=True)
    )
    assert augmentation_of(audio, from_sound=True).on_waveforms(*sounds, None) == sounds


@pytest.mark.parametrize("decibels", [True, False])
@pytest.mark.parametrize("multi_label", [True, False])
def test_shapes_and_ranges_stay_and_a_seed_tells_the_result(audio, batch, decibels, multi_label):
    x, y = batch()
    x[0] = 0
    audio = audio.model_copy(update={"decibels": decibels})
    first, second = (augmented(audio, x, y, batch(2)[0], multi_label=multi_label) for _ in range(2))
    assert first[0].shape == x.shape and first[1].shape == y.shape and first[0].dtype == x.dtype
    assert first[0].min() >= 0 and first[0].max() <= 1 and first[0].isfinite().all()
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(augmented(audio, x, y, None, multi_label=multi_label)[0], first[0])


def test_sounds_are_mixed_before_the_exponent_of_levels_is_applied(audio, batch):
    squared = audio.model_copy(update={"db_power": 2.0})
    (x, y), (background, _) = batch(), batch(2)
    mixes = [{"name": "mixup", "probability": 1.0}, {"name": "background_mix", "probability": 1.0}]
    values = {"augmentations": ["time_shift", *mixes, {"name": "gain", "max_db": 3.0}, "freq_mask"]}
    plain, _ = augmented(audio, x, y, background, **values)
    raised, _ = augmented(squared, x**2, y, background**2, **values)
    torch.testing.assert_close(raised, plain**2, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("multi_label", [True, False])
def test_each_one_of_waveforms_keeps_shape_and_finiteness_also_of_silence(audio, sounds, name, multi_label):
    x, y = sounds
    x[0], x[1] = 0, 30 * x[1]
    entry = {"name": name, "probability": 1.0}
    one = augmentation_of(audio, entry, from_sound=True, multi_label=multi_label)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(one.on_waveforms(x.clone(), y, torch.randn(12, 8000)))
    (first, targets), (again, targets_again), (other, _) = results
    assert first.shape == x.shape and first.dtype == torch.float32 and first.isfinite().all()
    assert first.abs().max() < 1000
    assert torch.equal(first, again) and torch.equal(targets, targets_again)
    assert not torch.equal(first, x)
    assert name in ("timeinv", "norm_after_time_augs") or not torch.equal(first, other)
    assert targets.isfinite().all() and targets.min() >= 0 and targets.max() <= 1
    silence, _ = one.on_waveforms(torch.zeros(12, 8000), y, torch.zeros(12, 8000))
    assert silence.abs().max() < 1e-6


@pytest.mark.parametrize("name", SPECTROGRAMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_one_of_spectrograms_keeps_shape_and_finiteness_also_of_silence(audio, batch, name, channels):
    x, y = batch()
    x[0] = 0
    if channels > 1:
        x = x[:, None].repeat(1, channels, 1, 1)
    one = augmentation_of(audio, {"name": name, "probability": 1.0})
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(one.on_spectrograms(x.clone(), y, x.flip(0)))
    (first, targets), (again, targets_again), (other, _) = results
    assert first.shape == x.shape and first.dtype == torch.float32 and first.isfinite().all()
    assert first.min() >= 0 and first.max() <= 1 and targets.max() <= 1
    assert torch.equal(first, again) and torch.equal(targets, targets_again)
    assert not torch.equal(first, x)
    assert name == "timeinv" or not torch.equal(first, other)
    assert not one.on_spectrograms(torch.zeros_like(x), y, torch.zeros_like(x))[0].any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_with_probability_zero_no_window_changes(audio, batch, sounds, name):
    one = augmentation_of(audio, {"name": name, "probability": 0.0}, from_sound=name in WAVEFORMS)
    x, y = sounds if name in WAVEFORMS else batch()
    apply = one.on_waveforms if name in WAVEFORMS else one.on_spectrograms
    result, targets = apply(x, y, x.flip(0))
    assert torch.equal(result, x) and torch.equal(targets, y)


def test_what_works_on_both_works_on_waveforms_where_there_are_some(audio, sounds, batch):
    sound_first = augmentation_of(audio, "timeinv", "pitch", "blur")
    assert sound_first.needs_sound and not augmentation_of(audio, "timeinv", "blur").needs_sound
    only = augmentation_of(audio, {"name": "timeinv", "probability": 1.0}, from_sound=True)
    assert torch.equal(only.on_waveforms(*sounds, None)[0], sounds[0].flip(-1))
    assert torch.equal(only.on_spectrograms(*batch(), None)[0], batch()[0])


def test_normalization_alone_needs_no_sound_where_the_network_takes_spectrograms(audio, batch):
    alone = augmentation_of(audio, "norm_after_time_augs")
    x, y = batch()
    assert not alone.needs_sound and torch.equal(alone.on_spectrograms(x, y, None)[0], x)
    assert augmentation_of(audio, "norm_after_time_augs", "pitch").needs_sound


@pytest.mark.parametrize("name", ["fade", "freq_mask", "random_erase", "random_pixels", "time_mask"])
def test_what_is_lost_of_images_becomes_as_silent_as_their_silence(audio, batch, name):
    x, y = batch()
    entry = {"name": name, "probability": 1.0}
    torch.manual_seed(1)
    expected, _ = augmentation_of(audio, entry).on_spectrograms(x, y, None)
    torch.manual_seed(1)
    images, _ = augmentation_of(audio, entry, silence=-1.25).on_spectrograms(2 * x - 1.25, y, None)
    torch.testing.assert_close(images, 2 * expected - 1.25)
    assert not torch.equal(expected, x)


@pytest.mark.parametrize("mask", [{"name": "time_mask", "seconds": 0.5}, {"name": "freq_mask", "bands": 12}])
def test_masks_leave_the_levels_of_the_rest_of_a_spectrogram(audio, sounds, batch, mask):
    both = augmentation_of(audio, {"name": "pitch", "probability": 0.0}, mask)
    assert both.needs_sound and torch.equal(both.on_waveforms(*sounds, None)[0], sounds[0])
    x, y = batch()
    masked, _ = both.on_spectrograms(x, y, None)
    assert not torch.equal(masked, x) and ((masked == x) | (masked == 0)).all()


def test_they_follow_each_other_as_listed_and_normalization_is_last(audio, sounds):
    x, y = sounds
    normalize, softer = {"name": "norm_after_time_augs", "level_db": -30.0}, {"name": "gain", "max_db": 6.0}
    result = _from_sound(audio, x, y, normalize, softer)
    torch.testing.assert_close(result.square().mean(dim=1).sqrt(), torch.full((12,), 10 ** (-30 / 20)))
    mask, invert = {"name": "time_mask", "seconds": 0.5}, {"name": "timeinv", "probability": 1.0}
    masked, mask_first, mask_last = (
        _from_sound(audio, x, y, *entries) for entries in ([mask], [mask, invert], [invert, mask])
    )
    assert torch.equal(mask_first, masked.flip(-1))
    assert torch.equal(mask_last == 0, (x.flip(-1) == 0) | (masked == 0)) and not torch.equal(mask_last, mask_first)


def _from_sound(audio, x, y, *entries):
    torch.manual_seed(1)
    return augmentation_of(audio, *entries, from_sound=True).on_waveforms(x, y, None)[0]


def test_which_need_windows_without_any_class(audio):
    assert augmentation_of(audio, "background_mix").needs_background
    assert augmentation_of(audio, "background_noise").needs_background
    assert not augmentation_of(audio, "pitch", {"name": "background_mix", "probability": 0.0}).needs_background


def test_what_works_on_images_alone_is_refused_where_there_are_none(audio):
    with pytest.raises(SettingsError, match=r"^train\.augmentations\.blur: works on images, of which train\.frontend"):
        augmentation_of(audio, "gain", "blur", from_sound=True, has_images=False)
    assert augmentation_of(audio, *TrainSettings().augmentations, from_sound=True, has_images=False).needs_sound
