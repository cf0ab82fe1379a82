import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from lib.core.errors import EarshotError
from lib.curation.frames.spectrogram_masks import decoded_mask, encoded_mask, mask_of_picture, mask_regions


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_a_mask_is_decoded_as_it_was_encoded(mask):
    assert (decoded_mask(encoded_mask(mask)) == mask).all()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"shape": [2, 2], "runs": [[0, 3]]},
        {"shape": [2, 2], "runs": [[0, 5], [1, -1]]},
        {"shape": [-1, -4], "runs": []},
        {"shape": [10**9, 10**9], "runs": [[0, 10**18]]},
        {"shape": "ab", "runs": 3},
        {"shape": [1, 1], "runs": [[2**70, 1]]},
        {"shape": [1, 4], "runs": [[1, 2**63 - 1], [2, 2**63 - 1], [3, 6]]},  # whose sum wraps around to 4
    ],
)
def test_a_damaged_mask_is_refused(content):
    with pytest.raises(EarshotError):
        decoded_mask(content)


def test_regions_are_the_smallest_boxes_around_values():
    mask = np.zeros((4, 10), int)
    mask[1:3, 2:5] = 7
    background, region = mask_regions(mask)
    assert background == (0, 0.0, 1.0, 0.0, 1.0)
    assert region == (7, 0.2, 0.5, 0.25, 0.75)


def test_the_top_row_of_a_picture_is_the_highest_frequency(tmp_path):
    Image.fromarray(np.array([[5, 5], [0, 1]], np.uint8)).save(tmp_path / "mask.png")
    assert mask_of_picture(str(tmp_path / "mask.png")).tolist() == [[0, 1], [5, 5]]
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "missing.png"):
        with pytest.raises(EarshotError, match=name):
            mask_of_picture(str(tmp_path / name))
