import torch
from scipy.ndimage import gaussian_filter


def test_each_window_is_blurred_by_a_gaussian_of_its_own(augmented):
    x = torch.rand(12, 24, 100)
    blurred, _ = augmented("blur", x, probability=1.0, sigma=[1.5, 1.5])
    expected = [torch.from_numpy(gaussian_filter(window.numpy(), 1.5, mode="nearest", radius=5)) for window in x]
    torch.testing.assert_close(blurred, torch.stack(expected), atol=1e-5, rtol=0)
    deviations = augmented("blur", x, probability=1.0, sigma=[0.3, 2.0])[0].std(dim=(1, 2))
    assert deviations.max() > 1.5 * deviations.min()


def test_channels_of_a_window_are_blurred_alike(augmented):
    x = torch.rand(4, 1, 24, 100).expand(4, 3, 24, 100)
    blurred, _ = augmented("blur", x, probability=1.0)
    assert (blurred == blurred[:, :1]).all()


def test_images_smaller_than_the_gaussian_are_no_error(augmented):
    assert augmented("blur", torch.rand(2, 3, 4), probability=1.0, sigma=[5.0, 10.0])[0].isfinite().all()
