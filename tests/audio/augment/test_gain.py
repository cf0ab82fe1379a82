import torch

from lib.audio.augment.gain import random_gain


def test_all_levels_of_a_window_move_alike_and_silence_stays(audio):
    x = torch.full((12, 24, 100), 0.5)
    x[:, 0] = 0
    torch.manual_seed(1)
    louder = random_gain(x, 8.0, audio)
    change = louder[:, 1:] - 0.5
    assert (louder[:, 0] == 0).all()
    assert (change == change[:, :1, :1]).all() and change.abs().max() <= 8 / 80 + 1e-6
    assert change.min() < -0.02 and change.max() > 0.02
