import torch


def test_masks_blank_whole_frames_up_to_their_length(augmented):
    masked = augmented("time_mask", torch.ones(12, 24, 100), seconds=0.2)[0] == 0
    frames = masked.all(dim=1)
    assert torch.equal(masked.any(dim=1), frames)
    assert 1 <= frames.sum(dim=1).max() <= 20 and len(set(frames.sum(dim=1).tolist())) > 1


def test_masks_larger_than_the_window_are_no_error(augmented):
    assert (augmented("time_mask", torch.ones(12, 24, 100), seconds=30.0, masks=2)[0] == 0).any()


def test_waveforms_lose_stretches_of_the_same_length(augmented):
    silent = augmented("time_mask", torch.ones(200, 8000), seconds=0.2)[0] == 0
    assert 1500 < silent.sum(dim=1).max() <= 1600
    assert (silent[:, 1:] != silent[:, :-1]).sum(dim=1).max() <= 2
