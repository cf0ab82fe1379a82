import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.inference.frames import FrameGrid, to_global_frames

LEVELS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])  # sums of these are exact


@st.composite
def windows(draw):
    """Frame scores (n, 2, length), start times, duration and frames a second."""
    n, length = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    scores = draw(st.lists(LEVELS, min_size=n * 2 * length, max_size=n * 2 * length))
    starts = draw(st.lists(st.floats(-3, 12), min_size=n, max_size=n))
    return np.array(scores, np.float32).reshape(n, 2, length), starts, draw(st.floats(0, 12)), draw(st.floats(0.5, 9))


@settings(deadline=None)
@given(windows())
def test_global_frames_are_the_mean_of_the_windows_that_cover_them(case):
    scores, starts, seconds, fps = case
    expected = np.zeros((round(fps * seconds), 2), np.float32)
    for frame in range(len(expected)):
        covering = []
        for window, start in zip(scores, starts, strict=True):
            within = frame - int(np.rint(start * fps))
            if 0 <= within < window.shape[1]:
                covering.append(window[:, within])
        if covering:
            expected[frame] = np.mean(covering, axis=0)
    found = to_global_frames(scores, np.array(starts), seconds, fps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_two_windows_on_a_grid_computed_by_hand():
    scores = np.array([[[0.2, 0.4, 0.6, 0.8]], [[1.0, 0.0, 1.0, 0.0]]], np.float32)
    found = to_global_frames(scores, np.array([0.0, 1.0]), 3.5, 2.0)
    np.testing.assert_allclose(found[:, 0], [0.2, 0.4, 0.8, 0.4, 1.0, 0.0, 0.0], atol=1e-6)


def test_without_windows_or_sound_there_are_no_frames():
    assert to_global_frames(np.zeros((0, 3, 4)), np.array([]), 5.0, 2.0).shape == (0, 3)
    assert to_global_frames(np.zeros((1, 3, 4)), np.array([0.0]), 0.0, 2.0).shape == (0, 3)


@settings(deadline=None)
@given(windows(), st.integers(0, 20))
def test_grid_gives_the_same_frames_piece_by_piece(case, first):
    scores, starts, seconds, fps = case
    order = np.argsort(starts, kind="stable")
    scores, starts = scores[order], np.array(starts)[order]
    grid, pieces = FrameGrid(fps, 2, first), []
    for k in range(len(starts)):
        grid.add(scores[k : k + 1], starts[k : k + 1])
        following = starts[k + 1] if k + 1 < len(starts) else np.inf
        pieces.append(grid.take(int(min(np.rint(min(following, seconds) * fps), round(seconds * fps)))))
    pieces.append(grid.take(round(seconds * fps)))
    np.testing.assert_allclose(
        np.concatenate(pieces), to_global_frames(scores, starts, seconds, fps)[first:], atol=1e-6
    )


def test_weight_says_how_many_models_a_window_stands_for():
    grid = FrameGrid(1.0, 1)
    grid.add(np.array([[[1.0, 1.0]]]), np.array([0.0]), weight=3)
    grid.add(np.array([[[0.0, 0.0]]]), np.array([1.0]))
    np.testing.assert_allclose(grid.take(4)[:, 0], [1.0, 0.75, 0.0, 0.0])
