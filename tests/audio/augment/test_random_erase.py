import torch


def test_a_rectangle_of_the_area_and_the_aspect_that_are_set_is_silenced(augmented):
    x = torch.ones(300, 64, 300)
    erased = augmented("random_erase", x, probability=1.0, area=[0.05, 0.2], aspect=[0.5, 2.0])[0] == 0
    rows, columns = erased.any(dim=2), erased.any(dim=1)
    assert torch.equal(erased, rows[:, :, None] & columns[:, None, :])
    height, width = rows.sum(dim=1) / 64, columns.sum(dim=1) / 300
    area, aspect = height * width, height / width
    assert 0.045 < area.min() < 0.06 and 0.18 < area.max() < 0.21
    assert 0.45 < aspect.min() < 0.6 and 1.8 < aspect.max() < 2.2
    for edges in (rows, columns):
        assert (edges[:, 1:] != edges[:, :-1]).sum(dim=1).max() <= 2
        assert edges[:, 0].any() and edges[:, -1].any()  # it reaches all of the window


def test_extreme_aspects_keep_the_area(augmented):
    settings = {"area": [0.5, 0.5], "aspect": [50.0, 100.0]}
    erased, _ = augmented("random_erase", torch.ones(50, 64, 300), probability=1.0, **settings)
    torch.testing.assert_close((erased == 0).float().mean(dim=(1, 2)), torch.full((50,), 0.5), atol=0.01, rtol=0)


def test_all_channels_lose_the_same(augmented):
    erased, _ = augmented("random_erase", torch.ones(5, 3, 24, 100), probability=1.0)
    assert (erased == erased[:, :1]).all()
