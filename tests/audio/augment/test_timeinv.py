import pytest
import torch


@pytest.mark.parametrize("domain", ["batch", "sounds"])
def test_windows_are_played_backwards_with_the_probability(domain, request, augmented):
    windows = request.getfixturevalue(domain)
    x = (windows() if domain == "batch" else windows)[0].repeat(*([20] + [1] * (2 if domain == "batch" else 1)))
    result, _ = augmented("timeinv", x, probability=0.3)
    backwards = (result == x.flip(-1)).flatten(1).all(dim=1)
    assert ((result == x).flatten(1).all(dim=1) ^ backwards).all()
    assert 0.2 < backwards.float().mean() < 0.4
    assert torch.equal(augmented("timeinv", x, probability=1.0)[0], x.flip(-1))
