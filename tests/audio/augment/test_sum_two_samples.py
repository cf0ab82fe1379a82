def test_windows_hold_two_sounds(sounds, augmented):
    x, y = sounds
    mixed, targets = augmented("sum_two_samples", x, y, probability=1.0)
    assert targets.sum(dim=1).max() == 2 and targets.sum(dim=1).float().mean() > 1.7
    assert (mixed != x).any(dim=1).all()
