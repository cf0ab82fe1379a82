import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import SettingsError
from lib.inference.frames import FrameGrid, make_labeller, to_global_frames
from lib.inference.labels import Label

NAMES = ["a", "b"]
HALF = np.array([0.5, 0.5], np.float32)
LEVELS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])  # sums of these are exact


@st.composite
def windows(draw):
    """Frame scores (n, 2, length), start times, duration and frames a second."""
    n, length = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    scores = draw(st.lists(LEVELS, min_size=n * 2 * length, max_size=n * 2 * length))
    starts = draw(st.lists(st.floats(-3, 12), min_size=n, max_size=n))
    return np.array(scores, np.float32).reshape(n, 2, length), starts, draw(st.floats(0, 12)), draw(st.floats(0.5, 9))


@st.composite
def maps(draw):
    """A frame map (n_frames, 2), and where to cut it into pieces."""
    n = draw(st.integers(0, 40))
    frames = np.array(draw(st.lists(LEVELS, min_size=2 * n, max_size=2 * n)), np.float32).reshape(n, 2)
    return frames, sorted(draw(st.lists(st.integers(0, n), max_size=5)))


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


def labels_of(frames, cuts=(), **settings):
    labeller = make_labeller(NAMES, HALF, settings.pop("fps", 4.0), **settings)
    pieces = np.split(frames, cuts)
    labels = [label for piece in pieces for label in labeller.add(piece)] + labeller.finish()
    return sorted(labels, key=lambda label: (label.name, label.start_time))


@settings(deadline=None)
@given(maps())
def test_labels_are_as_long_as_frames_score_high_enough(case):
    frames, cuts = case
    expected = []
    for column, name in enumerate(NAMES):
        k = 0
        while k < len(frames):
            end = k
            while end < len(frames) and frames[end, column] >= 0.5:
                end += 1
            if end > k:
                expected.append(Label(name, k / 4, end / 4, float(max(frames[k:end, column]))))
            k = end + 1
    assert labels_of(frames, cuts) == expected


@settings(deadline=None)
@given(maps(), st.sampled_from([0.25, 0.4, 1.0, 1.6]), st.sampled_from([None, 0.0, 0.5, 0.9]))
def test_labels_of_fixed_length_score_the_maximum_or_quantile_of_their_frames(case, length, quantile):
    frames, cuts = case
    expected = []
    for column, name in enumerate(NAMES):
        for k in range(100):
            inside = [i for i in range(400) if k * length - 1e-9 <= (i + 0.5) / 4 < (k + 1) * length - 1e-9]
            heard = [float(frames[i, column]) if i < len(frames) else 0.0 for i in inside]
            if not any(i < len(frames) for i in inside):
                continue
            score = max(heard) if quantile is None else float(np.quantile(heard, quantile))
            if score >= 0.5:
                expected.append((name, k * length, (k + 1) * length, score))
    found = labels_of(frames, cuts, segment_len=length, quantile=quantile)
    assert [label[:3] for label in found] == [label[:3] for label in expected]
    np.testing.assert_allclose([label[3] for label in found], [label[3] for label in expected], atol=1e-6)


def test_each_class_has_a_threshold_of_its_own():
    frames = np.array([[0.6, 0.6], [0.3, 0.3]], np.float32)
    labeller = make_labeller(NAMES, np.array([0.3, 0.61], np.float32), 1.0)
    assert [*labeller.add(frames), *labeller.finish()] == [Label("a", 0.0, 2.0, pytest.approx(0.6))]


@pytest.mark.parametrize("length", [None, 1.0])
def test_frames_may_begin_later_in_the_recording(length):
    frames = np.ones((6, 2), np.float32)
    labels = labels_of(frames, segment_len=length, first=10)
    assert {label.name for label in labels} == {"a", "b"}
    assert min(label.start_time for label in labels) == (2.5 if length is None else 2.0)
    assert max(label.end_time for label in labels) == 4.0


def test_a_segment_shorter_than_a_frame_is_refused():
    with pytest.raises(SettingsError, match=r"infer\.segment_len = 0\.2: must be at least .* \(0\.25 s\)"):
        make_labeller(NAMES, HALF, 4.0, segment_len=0.2)
