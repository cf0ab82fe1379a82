from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import SettingsError
from lib.training.batches import epoch_order, set_noise_apart, split_folds, split_recordings


@st.composite
def stored(draw):
    """What the split looks at of stored windows: recording and labels of each."""
    n_recordings, n_classes = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    recording = np.concatenate([np.arange(n_recordings), rng.integers(0, n_recordings, 20)])
    labels = rng.random((len(recording), n_classes)) < draw(st.sampled_from([0.02, 0.1, 0.5]))
    recordings = np.array([f"r{i}" for i in range(n_recordings)])
    return SimpleNamespace(recordings=recordings, recording=recording, labels=labels)


@given(stored(), st.sampled_from([0.0, 0.1, 0.3, 0.9]), st.integers(0, 5))
def test_split_keeps_recordings_whole_and_every_class_in_training(windows, fraction, seed):
    training, validating = split_recordings(windows, fraction, seed)
    assert sorted([*training, *validating]) == list(range(len(windows.recording)))
    assert not set(windows.recording[training]) & set(windows.recording[validating])
    assert np.array_equal(windows.labels[training].any(axis=0), windows.labels.any(axis=0))
    assert len(set(windows.recording[validating])) <= round(fraction * len(windows.recordings))
    again = split_recordings(windows, fraction, seed)
    assert np.array_equal(training, again[0]) and np.array_equal(validating, again[1])


def test_asked_for_share_of_the_recordings_validates_and_the_seed_decides_which():
    recording = np.repeat(np.arange(40), 3)
    windows = SimpleNamespace(recordings=np.arange(40), recording=recording, labels=np.ones((120, 1), bool))
    chosen = [tuple(split_recordings(windows, 0.25, seed)[1]) for seed in range(3)]
    assert all(len(set(recording[list(indices)])) == 10 for indices in chosen)
    assert len(set(chosen)) == 3


@given(stored(), st.integers(2, 5), st.integers(0, 5))
def test_folds_keep_recordings_whole_and_every_class_in_training(windows, n, seed):
    if len(windows.recordings) < n:
        with pytest.raises(SettingsError, match=f"train.num_folds = {n}"):
            split_folds(windows, n, seed)
        return
    folds = split_folds(windows, n, seed)
    validated = np.concatenate([validating for _, validating in folds])
    assert len(folds) == n and len(set(validated)) == len(validated)
    for training, validating in folds:
        assert sorted([*training, *validating]) == list(range(len(windows.recording)))
        assert not set(windows.recording[training]) & set(windows.recording[validating])
        assert np.array_equal(windows.labels[training].any(axis=0), windows.labels.any(axis=0))
    again = split_folds(windows, n, seed)
    assert [[part.tolist() for part in fold] for fold in folds] == [[part.tolist() for part in fold] for fold in again]


@pytest.mark.parametrize("seed", range(5))
def test_folds_get_as_many_recordings_of_each_class(seed):
    has = np.zeros((60, 3), bool)
    has[:30, 0] = has[25:49, 1] = has[54:, 2] = True  # 30, 24 and 6 recordings; some have two classes, some none
    windows = SimpleNamespace(recordings=np.arange(60), recording=np.arange(60), labels=has)
    for _, validating in split_folds(windows, 6, seed):
        assert has[validating].sum(axis=0) == pytest.approx([5, 4, 1], abs=1)
        assert has[validating, 2].sum() == 1
        assert len(validating) == pytest.approx(10, abs=1)


def test_recording_that_alone_has_a_class_trains_in_every_fold():
    labels = np.array([[1, 0], [1, 1], [1, 0], [1, 0]], bool)
    windows = SimpleNamespace(recordings=np.arange(4), recording=np.arange(4), labels=labels)
    folds = split_folds(windows, 4, seed=1)
    assert all(1 in training for training, _ in folds)
    assert sorted(np.concatenate([validating for _, validating in folds])) == [0, 2, 3]


def test_noise_is_set_apart_where_it_is_alone():
    classes = pd.DataFrame({"name": ["a", "noise", "z"], "code": ["A", "N", "Z"]})
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]], bool)
    windows = SimpleNamespace(classes=classes, labels=labels)
    others, noise = set_noise_apart(windows, "noise")
    assert list(others.classes["code"]) == ["A", "Z"]
    assert others.labels.tolist() == [[1, 0], [1, 0], [0, 0], [0, 0], [0, 1]]
    assert noise.tolist() == [False, False, True, False, False]
    assert windows.labels.shape == (5, 3)
    assert set_noise_apart(windows, None)[0] is windows


@given(st.integers(1, 50), st.integers(0, 200), st.integers(2, 40))
def test_epoch_shows_every_window_and_as_many_as_asked_for(n, at_least, batch_size):
    indices = np.arange(100, 100 + n)
    batches = epoch_order(indices, at_least, batch_size, seed=1, epoch=0)
    shown, counts = np.unique(np.concatenate(batches), return_counts=True)
    assert np.array_equal(shown, indices)
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == max(n, at_least)
    smallest, largest = min(map(len, batches)), max(map(len, batches))
    assert largest <= batch_size and largest <= smallest + 1


def test_order_follows_from_seed_and_epoch():
    indices = np.arange(60)
    orders = [
        np.concatenate(epoch_order(indices, 100, 8, seed, epoch)).tolist()
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
