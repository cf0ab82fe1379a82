import torch


def test_sums_hold_that_many_windows_and_all_of_their_labels(sounds, augmented):
    x, y = sounds
    mixed, targets = augmented("sum_n_samples", x, y, probability=1.0, n=4, max_db=6.0)
    assert 3 <= targets.sum(dim=1).max() <= 4 and (targets >= y).all()
    powers = torch.fft.rfft(mixed).abs().square()[:, 200:2401:200]  # of the tone of each window
    db = 10 * torch.log10(powers / powers[y.bool()][:, None])
    assert db[targets == 1].min() > -16 and db[targets == 0].max() < -30


def test_exclusive_labels_are_shared_by_power(sounds, augmented):
    x, y = sounds
    mixed, targets = augmented("sum_n_samples", x, y, probability=1.0, multi_label=False)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(12))
    powers = torch.fft.rfft(mixed).abs().square()[:, 200:2401:200]
    once = (targets > 0).sum(dim=1) == 3  # no window was added to itself, or twice
    assert once.any()
    torch.testing.assert_close(targets[once], (powers / powers.sum(dim=1, keepdim=True))[once], atol=0.02, rtol=0)


def test_windows_that_stay_alone_are_in_no_sum(sounds, augmented):
    x, y = sounds
    alone = torch.arange(12) % 3 == 0
    mixed, targets = augmented("sum_n_samples", x, y, probability=1.0, alone=alone)
    assert torch.equal(mixed[alone], x[alone]) and torch.equal(targets[alone], y[alone])
    assert not targets[~alone][:, alone].any() and (targets.sum(dim=1) > 1).any()


def test_others_stay_with_the_probability(sounds, augmented):
    x = sounds[0].repeat(20, 1)
    mixed, _ = augmented("sum_n_samples", x, probability=0.3)
    assert 0.2 < (mixed != x).any(dim=1).float().mean() < 0.4
