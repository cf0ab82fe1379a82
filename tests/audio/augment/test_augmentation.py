import pytest
import torch

from lib.audio.augment.augmentation import Augmentation
from lib.config.schema import TrainSettings

OFF = {"mixup": 0.0, "background_mix": 0.0, "time_shift": 0.0, "gain_db": 0.0, "freq_masks": 0, "time_masks": 0}


def augmented(audio, x, y, background, **values):
    torch.manual_seed(1)
    return Augmentation(TrainSettings(**values), audio)(x, y, background)


def test_with_everything_off_nothing_changes(audio, batch):
    x, y = batch()
    for result, given in zip(augmented(audio, x, y, batch(2)[0], **OFF), (x, y), strict=True):
        torch.testing.assert_close(result, given, atol=0, rtol=0)


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
    values = OFF | {"mixup": 1.0, "background_mix": 1.0, "gain_db": 3.0}
    plain, _ = augmented(audio, x, y, background, **values)
    raised, _ = augmented(squared, x**2, y, background**2, **values)
    torch.testing.assert_close(raised, plain**2, atol=1e-4, rtol=0)
