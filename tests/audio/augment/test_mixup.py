import math

import pytest
import torch


def test_several_labels_hold_in_full(audio, batch, augmented):
    x, y = batch()
    mixed, targets = augmented("mixup", x, y, probability=1.0)
    assert set(targets.unique().tolist()) == {0, 1}
    assert (targets >= y).all() and targets.sum(dim=1).max() == 2
    for row, target in zip(mixed, targets, strict=True):
        first, *second = target.nonzero().flatten().tolist()
        if not second:  # mixed with itself
            torch.testing.assert_close(row, x[first], atol=1e-5, rtol=0)
    # what is added is no louder than what is there: the peak rises, and all else sinks below it, by 3 dB at most
    assert (mixed - x).min() > -10 * math.log10(2) / audio.top_db - 1e-5 and (mixed != x).any()


@pytest.mark.parametrize("domain", ["batch", "sounds"])
def test_exclusive_labels_are_shared(domain, request, augmented):
    windows = request.getfixturevalue(domain)
    x, y = windows() if domain == "batch" else windows
    _, targets = augmented("mixup", x, y, probability=1.0, multi_label=False)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(targets)))
    assert ((targets > 0).sum(dim=1) <= 2).all() and ((targets > 0).sum(dim=1) == 2).any()


@pytest.mark.parametrize("domain", ["batch", "sounds"])
def test_windows_that_stay_alone_are_neither_mixed_nor_mixed_into_others(domain, request, augmented):
    windows = request.getfixturevalue(domain)
    x, y = windows() if domain == "batch" else windows
    alone = torch.arange(len(x)) % 2 == 0
    for seed in range(10):
        mixed, targets = augmented("mixup", x, y, probability=1.0, alone=alone, seed=seed)
        assert torch.equal(mixed[alone], x[alone]) and torch.equal(targets[alone], y[alone])
        assert not targets[~alone][:, alone].any()


def test_the_share_of_windows_that_are_mixed_is_the_probability(batch, augmented):
    x = torch.cat([batch(seed)[0] for seed in range(40)])
    _, targets = augmented("mixup", x, probability=0.5)
    assert 0.4 < (targets.sum(dim=1) > 1).float().mean() < 0.6


def test_tones_that_are_mixed_are_both_heard_as_loud_as_the_setting_says(sounds, augmented):
    x, y = sounds
    mixed, targets = augmented("mixup", x, y, probability=1.0, max_db=6.0)
    powers = torch.fft.rfft(mixed).abs().square()[:, 200:2401:200]  # of the tone of each window
    db = 10 * torch.log10(powers / powers[y.bool()][:, None])
    others = db[(targets - y).bool()]
    assert len(others) and others.min() > -6.2 and others.max() < 0.2
    assert db[targets == 0].max() < -30
