import torch


def test_all_levels_of_a_window_move_alike_and_silence_stays(audio, augmented):
    x = torch.full((12, 24, 100), 0.5)
    x[:, 0] = 0
    louder, _ = augmented("gain", x, max_db=8.0)
    change = louder[:, 1:] - 0.5
    assert (louder[:, 0] == 0).all()
    assert (change == change[:, :1, :1]).all() and change.abs().max() <= 8 / 80 + 1e-6
    assert change.min() < -0.02 and change.max() > 0.02


def test_waveforms_change_by_one_factor_each(sounds, augmented):
    x, _ = sounds
    louder, _ = augmented("gain", x, max_db=6.0)
    db = 20 * torch.log10(louder / x)
    assert (db.amax(dim=1) - db.amin(dim=1)).max() < 0.01
    assert db.abs().max() < 6.01 and db.min() < -1 and db.max() > 1
    assert augmented("gain", 5 * x, max_db=40.0)[0].abs().max() == 1
