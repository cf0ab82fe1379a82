import math

import torch

from lib.audio.augment.mixup import mixup


def test_several_labels_hold_in_full(audio, batch):
    x, y = batch()
    mixed, targets = mixup(x, y, 1.0, True, audio)
    assert set(targets.unique().tolist()) == {0, 1}
    assert (targets >= y).all() and targets.sum(dim=1).max() == 2
    for row, target in zip(mixed, targets, strict=True):
        first, *second = target.nonzero().flatten().tolist()
        if not second:  # mixed with itself
            torch.testing.assert_close(row, x[first], atol=1e-5, rtol=0)
    # what is added is no louder than what is there: the peak rises, and all else sinks below it, by 3 dB at most
    assert (mixed - x).min() > -10 * math.log10(2) / audio.top_db - 1e-5 and (mixed != x).any()


def test_exclusive_labels_are_shared(audio, batch):
    _, targets = mixup(*batch(), 1.0, False, audio)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(targets)))
    assert ((targets > 0).sum(dim=1) <= 2).all() and ((targets > 0).sum(dim=1) == 2).any()


def test_windows_that_stay_alone_are_neither_mixed_nor_mixed_into_others(audio, batch):
    x, y = batch()
    alone = torch.arange(len(x)) % 2 == 0
    for _ in range(10):
        mixed, targets = mixup(x, y, 1.0, True, audio, alone)
        assert torch.equal(mixed[alone], x[alone]) and torch.equal(targets[alone], y[alone])
        assert not targets[~alone][:, alone].any()


def test_the_share_of_windows_that_are_mixed_is_the_probability(audio, batch):
    x = torch.cat([batch(seed)[0] for seed in range(40)])
    _, targets = mixup(x, torch.eye(len(x)), 0.5, True, audio)
    assert 0.4 < (targets.sum(dim=1) > 1).float().mean() < 0.6
