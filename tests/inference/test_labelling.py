import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.config.schema import InferSettings
from lib.core.errors import SettingsError
from lib.inference.labelling import WindowLabeller, frame_labeller, window_labels
from lib.sound.labels import Label

NAMES = ["a", "b"]
HALF = np.array([0.5, 0.5], np.float32)
LEVELS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def labels_of(windows, length, names, merge=True, cuts=()):
    """Labels of windows of (start, class, score), which come in some pieces; by start and class."""
    starts = np.array(sorted({start for start, _, _ in windows}), float)
    scores = np.zeros((len(starts), len(names)))
    for start, column, score in windows:
        scores[np.searchsorted(starts, start), column] = score
    labeller = WindowLabeller(names, np.full(len(names), 0.1), length, merge)
    pieces = zip(np.split(starts, cuts), np.split(scores, cuts), strict=True)
    labels = [label for piece in pieces for label in labeller.add(*piece)] + labeller.finish()
    return sorted(labels, key=lambda label: (label.start_time, label.name))


def test_each_window_and_class_that_scores_high_enough_is_a_label():
    scores = np.array([[0.5, 0.49], [0.1, 0.9]])
    labels = list(window_labels(np.array([0.0, 1.5]), scores, np.array([0.5, 0.5]), 3.0, ["a", "b"]))
    assert labels == [Label("a", 0.0, 3.0, 0.5), Label("b", 1.5, 4.5, 0.9)]


def test_overlapping_and_touching_windows_of_a_class_become_one_label():
    windows = [(0, 1, 0.6), (1.5, 1, 0.9), (4.5, 1, 0.7), (9, 1, 0.8), (1.5, 0, 0.5)]
    assert labels_of(windows, 3.0, ["a", "b"]) == [
        Label("b", 0.0, 7.5, 0.9),
        Label("a", 1.5, 4.5, 0.5),
        Label("b", 9.0, 12.0, 0.8),
    ]


def test_without_merging_each_window_is_a_label():
    assert labels_of([(1.5, 1, 0.9), (0, 1, 0.6), (1.5, 0, 0.5)], 3.0, ["a", "b"], merge=False) == [
        Label("b", 0.0, 3.0, 0.6),
        Label("a", 1.5, 4.5, 0.5),
        Label("b", 1.5, 4.5, 0.9),
    ]


def test_a_label_comes_as_soon_as_it_is_final():
    labeller = WindowLabeller(["a"], np.array([0.5]), 3.0, merge=True)
    assert labeller.add(np.array([0.0, 1.5]), np.array([[0.9], [0.6]])) == []
    assert labeller.add(np.array([6.0]), np.array([[0.7]])) == [Label("a", 0.0, 4.5, 0.9)]
    assert labeller.finish() == [Label("a", 6.0, 9.0, 0.7)]


def test_nothing_found_is_no_label():
    assert labels_of([(0.0, 0, 0.05)], 3.0, ["a"]) == []


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), unique=True, max_size=30),
    st.integers(1, 6),
    st.lists(st.integers(0, 30), max_size=3).map(sorted),
    st.randoms(use_true_random=False),
)
def test_labels_cover_what_the_windows_cover(windows, length, cuts, rng):
    """Compared with painting the windows on a grid of tenths of a second and reading off the stretches."""
    windows = [(start, column, rng.choice([0.3, 0.6, 0.9])) for start, column in windows]
    expected = []
    for column in range(3):
        inside = {start + k for start, c, _ in windows if c == column for k in range(length)}
        borders = {start for start, c, _ in windows if c == column}
        for first in sorted(tenth for tenth in borders if tenth - 1 not in inside):
            last = first
            while last in inside:
                last += 1
            score = max(s for start, c, s in windows if c == column and first <= start < last)
            expected.append((first, "abc"[column], last, score))
    windows = [(start / 10, column, score) for start, column, score in windows]
    labels = labels_of(windows, length / 10, "abc", cuts=cuts)
    found = [(round(start * 10), name, round(end * 10), score) for name, start, end, score in labels]
    assert found == sorted(expected)


# Frames


@st.composite
def maps(draw):
    """A frame map (n_frames, 2), and where to cut it into pieces."""
    n = draw(st.integers(0, 40))
    frames = np.array(draw(st.lists(LEVELS, min_size=2 * n, max_size=2 * n)), np.float32).reshape(n, 2)
    return frames, sorted(draw(st.lists(st.integers(0, n), max_size=5)))


def frame_labels(frames, cuts=(), first=0, **settings):
    labeller = frame_labeller(NAMES, HALF, 4.0, InferSettings(**settings), first)
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
    assert frame_labels(frames, cuts) == expected


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
    found = frame_labels(frames, cuts, segment_len=length, quantile=quantile)
    assert [label[:3] for label in found] == [label[:3] for label in expected]
    np.testing.assert_allclose([label[3] for label in found], [label[3] for label in expected], atol=1e-6)


def test_each_class_has_its_own_threshold():
    frames = np.array([[0.6, 0.6], [0.3, 0.3]], np.float32)
    labeller = frame_labeller(NAMES, np.array([0.3, 0.61], np.float32), 1.0, InferSettings())
    assert [*labeller.add(frames), *labeller.finish()] == [Label("a", 0.0, 2.0, pytest.approx(0.6))]


@pytest.mark.parametrize("length", [None, 1.0])
def test_frames_may_begin_later_in_the_recording(length):
    frames = np.ones((6, 2), np.float32)
    labels = frame_labels(frames, segment_len=length, first=10)
    assert {label.name for label in labels} == {"a", "b"}
    assert min(label.start_time for label in labels) == (2.5 if length is None else 2.0)
    assert max(label.end_time for label in labels) == 4.0


def test_a_segment_shorter_than_a_frame_is_refused():
    with pytest.raises(SettingsError, match=r"infer\.segment_len = 0\.2: must be at least .* \(0\.25 s\)"):
        frame_labeller(NAMES, HALF, 4.0, InferSettings(segment_len=0.2))
