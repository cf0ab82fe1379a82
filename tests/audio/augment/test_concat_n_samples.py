import torch

from tests.audio.augment.listening import band_power


def parts_heard(mixed):
    """Which tone is heard in each third of windows: (n, 3)."""
    thirds = [mixed[:, 0:2667], mixed[:, 2667:5333], mixed[:, 5333:]]
    powers = [torch.stack([band_power(part, 200 * k - 50, 200 * k + 50) for k in range(1, 13)]) for part in thirds]
    return torch.stack([power.argmax(dim=0) for power in powers], dim=1)


def test_windows_consist_of_parts_of_several_and_have_all_their_labels(sounds, augmented):
    x, y = sounds
    mixed, targets = augmented("concat_n_samples", x, y, probability=1.0, n=3)
    heard = parts_heard(mixed)
    for row, (window, target) in enumerate(zip(heard.tolist(), targets, strict=True)):
        assert row in window and set(window) == set(target.nonzero().flatten().tolist())
    assert max(len(set(window)) for window in heard.tolist()) == 3


def test_exclusive_labels_are_shared_by_time(sounds, augmented):
    x, y = sounds
    mixed, targets = augmented("concat_n_samples", x, y, probability=1.0, n=3, multi_label=False)
    expected = torch.zeros(12, 12).scatter_add(1, parts_heard(mixed), torch.full((12, 3), 1 / 3))
    torch.testing.assert_close(targets, expected)


def test_windows_that_stay_alone_give_no_part_and_get_none(sounds, augmented):
    x, y = sounds
    alone = torch.arange(12) % 3 == 0
    mixed, targets = augmented("concat_n_samples", x, y, probability=1.0, alone=alone)
    assert torch.equal(mixed[alone], x[alone]) and torch.equal(targets[alone], y[alone])
    assert not targets[~alone][:, alone].any() and (targets.sum(dim=1) > 1).any()
