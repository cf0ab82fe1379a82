import copy
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.digests import digest_file
from lib.core.errors import EarshotError, SettingsError
from lib.training.training_tasks import (
    QUICK_WINDOWS,
    make_tasks,
    reduce_split,
    set_noise_apart,
    split_folds,
    split_recordings,
)
from lib.training_data.stored_windows import StoredWindows
from tests.models.builders import save_random_model
from tests.training.builders import with_settings
from tests.training_data.builders import AUDIO, extract_folder, write_data_set


@st.composite
def stored(draw):
    """What a split depends on of stored windows: recording and labels of each."""
    n_recordings, n_classes = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    recording = np.concatenate([np.arange(n_recordings), rng.integers(0, n_recordings, 20)])
    labels = rng.random((len(recording), n_classes)) < draw(st.sampled_from([0.02, 0.1, 0.5]))
    recordings = np.array([f"r{i}" for i in range(n_recordings)])
    return SimpleNamespace(recordings=recordings, recording=recording, labels=labels)


def assert_keeps_recordings_together_and_every_class_in_training(windows, split):
    training, validating = split
    assert sorted([*training, *validating]) == list(range(len(windows.recording)))
    assert not set(windows.recording[training]) & set(windows.recording[validating])
    assert np.array_equal(windows.labels[training].any(axis=0), windows.labels.any(axis=0))


@given(stored(), st.sampled_from([0.0, 0.1, 0.3, 0.9]), st.integers(0, 5))
def test_split_keeps_recordings_together_and_every_class_in_training(windows, fraction, seed):
    training, validating = split_recordings(windows, fraction, seed)
    assert_keeps_recordings_together_and_every_class_in_training(windows, (training, validating))
    assert len(set(windows.recording[validating])) <= round(fraction * len(windows.recordings))
    again = split_recordings(windows, fraction, seed)
    assert np.array_equal(training, again[0]) and np.array_equal(validating, again[1])


@given(stored(), st.sampled_from([0.0, 0.3]), st.integers(0, 5), st.integers(1, 20))
def test_a_reduced_split_keeps_a_few_windows_of_each_class_and_of_background(windows, fraction, seed, n_copies):
    windows.recording, windows.labels = np.tile(windows.recording, n_copies), np.tile(windows.labels, (n_copies, 1))
    split = split_recordings(windows, fraction, seed)
    for part, reduced in zip(split, reduce_split(windows, split, seed), strict=True):
        assert set(reduced) <= set(part) and np.array_equal(reduced, np.unique(reduced))
        before, after = (np.count_nonzero(windows.labels[chosen], axis=0) for chosen in (part, reduced))
        assert (after >= np.minimum(before, QUICK_WINDOWS)).all()
        backgrounds = [np.count_nonzero(~windows.labels[chosen].any(axis=1)) for chosen in (part, reduced)]
        assert backgrounds[1] == min(backgrounds[0], QUICK_WINDOWS)
        assert len(reduced) <= QUICK_WINDOWS * (windows.labels.shape[1] + 1)


def test_asked_for_share_of_the_recordings_validates_and_the_seed_decides_which():
    recording = np.repeat(np.arange(40), 3)
    windows = SimpleNamespace(recordings=np.arange(40), recording=recording, labels=np.ones((120, 1), bool))
    chosen = [tuple(split_recordings(windows, 0.25, seed)[1]) for seed in range(3)]
    assert all(len(set(recording[list(indices)])) == 10 for indices in chosen)
    assert len(set(chosen)) == 3


@given(stored(), st.integers(2, 5), st.integers(0, 5))
def test_folds_keep_recordings_together_and_every_class_in_training(windows, n, seed):
    if len(windows.recordings) < n:
        with pytest.raises(SettingsError, match=f"train.num_folds = {n}"):
            split_folds(windows, n, seed)
        return
    folds = split_folds(windows, n, seed)
    validated = np.concatenate([validating for _, validating in folds])
    assert len(folds) == n and len(set(validated)) == len(validated)
    for fold in folds:
        assert_keeps_recordings_together_and_every_class_in_training(windows, fold)
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


def test_noise_class_is_background_and_not_recognized(windows):
    [task], _ = make_tasks(windows, with_settings(noise_class="low", val_fraction=0.0))
    column = list(windows.classes["name"]).index("low")
    alone = windows.labels[:, column] & (windows.labels.sum(axis=1) == 1)
    assert np.array_equal(task.noise, alone) and alone.any()
    assert set(np.flatnonzero(alone)) <= set(task.background)
    assert task.describe(1).class_names == ["high", "mid"]


def test_windows_without_the_noise_class_are_read_on_when_the_file_is_written_anew(folder, tmp_path):
    database = tmp_path / "training.db"
    shutil.copyfile(folder / "training.db", database)
    [task], _ = make_tasks(StoredWindows(database), with_settings(noise_class="low"))
    before = task.windows.spectrograms(task.training)
    os.utime(database, (0, 0))
    assert np.array_equal(task.windows.spectrograms(task.training), before)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"noise_class": "lo"}, r"train\.noise_class = 'lo': .* no such class; low"),
        ({"num_folds": 13}, r"train\.num_folds = 13: there are only 12 recordings"),
        ({"val_fraction": 0.0, "threshold_precision": 0.9}, r"train\.threshold_precision = 0\.9: no window validates"),
    ],
)
def test_settings_that_the_data_cannot_meet_are_refused(windows, changes, match):
    with pytest.raises(SettingsError, match=match):
        make_tasks(windows, with_settings(**changes))


def test_description_tells_what_the_model_takes_and_gives(windows, tmp_path):
    save_random_model(tmp_path / "known.pt", AUDIO)
    settings = with_settings(head="sed", sed_fps=12.0, load_checkpoint=str(tmp_path / "known.pt"))
    [task], _ = make_tasks(windows, settings)
    description = task.describe(3)
    assert description.class_names == ["high", "low", "mid"] and description.audio == AUDIO
    assert (description.head, description.sed_fps, description.multi_label) == ("sed", 12.0, True)
    training = description.training
    assert training["windows"] + training["validation_windows"] == len(windows)
    assert 0.1 < training["validation_windows"] / len(windows) < 0.4
    assert (training["epochs"], training["load_checkpoint"]) == (3, digest_file(tmp_path / "known.pt"))


def database_of(folder, tmp_path, annotations, classes=None, **settings):
    """The recordings of a data set with other annotations, and classes if given."""
    shutil.copytree(folder / "recordings", tmp_path / "set/recordings")
    (tmp_path / "set/annotations.csv").write_text(annotations)
    if classes:
        (tmp_path / "set/classes.csv").write_text(classes)
    extract_folder(tmp_path / "set", tmp_path / "set.db", **settings)
    return StoredWindows(tmp_path / "set.db")


HEADER = "recording,class,start_time,end_time\n"


def test_fold_that_validates_nothing_is_a_problem(folder, tmp_path):
    """Two recordings with the same class, and two that are the only ones with theirs."""
    windows = database_of(folder, tmp_path, f"{HEADER}r00,low,0,3\nr01,low,0,3\nr02,mid,0,3\nr03,high,0,3\n")
    tasks, problems = make_tasks(windows, with_settings(num_folds=4))
    expected = {f"fold {task.fold}" for task in tasks if not len(task.validating)}
    assert expected
    assert {problem.subject for problem in problems} == expected | {"mid", "high"}


def test_classes_that_cannot_be_learnt_or_judged_are_named(folder, tmp_path):
    """One class has no window, another a single recording, together with a third."""
    annotations = (folder / "annotations.csv").read_text() + "r00,rare,0.0,3.0\n"
    classes = "name,code\nhigh,h\nlow,l\nmid,m\nnever,n\nrare,r\n"
    windows = database_of(folder, tmp_path, annotations, classes)
    _, problems = make_tasks(windows, with_settings())
    never, rare = sorted(problems)
    assert (never.subject, never.lost, rare.subject, rare.lost) == ("never", True, "rare", False)
    assert "no window" in never.fault and "only one recording" in rare.fault
    with pytest.raises(EarshotError, match=r"train\.multi_label = False: \d+ windows with more than one class"):
        make_tasks(windows, with_settings(multi_label=False))


def test_windows_without_any_class_cannot_be_trained_with(folder, tmp_path):
    windows = database_of(folder, tmp_path, f"{HEADER}r00,low,9.0,9.5\n")
    with pytest.raises(EarshotError, match="no window has a class"):
        make_tasks(windows, with_settings())


def test_a_single_class_cannot_be_trained_with_a_single_label(tmp_path):
    folder = write_data_set(tmp_path / "set", 4, classes=("low",))
    extract_folder(folder, tmp_path / "one.db")
    windows = StoredWindows(tmp_path / "one.db")
    assert make_tasks(windows, with_settings())[1] == []
    with pytest.raises(EarshotError, match=r"train\.multi_label = False: needs two classes"):
        make_tasks(windows, with_settings(multi_label=False))


@pytest.mark.parametrize("changes", [{"keep": "best"}, {"stop_after": 2}, {"schedule": "plateau"}])
def test_a_fold_that_nothing_validates_cannot_compare_epochs(folder, tmp_path, changes):
    extract_folder(folder, tmp_path / "training.db", include="r0[0-2]")
    windows = StoredWindows(tmp_path / "training.db")
    windows.labels[:] = windows.recording[:, None] == np.arange(3)  # so that no recording can be done without
    assert any(not len(task.validating) for task in make_tasks(windows, with_settings(num_folds=2))[0])
    with pytest.raises(SettingsError, match=r"no window validates the model of fold \d; lower train\.num_folds"):
        make_tasks(windows, with_settings(num_folds=2, **changes))


def test_noise_of_the_training_data_that_there_is_none_of_is_one_clear_line(windows, folder):
    eventful = copy.copy(windows)
    eventful.labels = np.ones_like(windows.labels)
    noise = {"name": "background_noise"}
    with pytest.raises(SettingsError, match=r"background_noise: no window that trains .*; set its folder, or raise"):
        make_tasks(eventful, with_settings(augmentations=[noise]))
    for entry in (noise | {"probability": 0.0}, noise | {"folder": str(folder / "recordings")}, "background_mix"):
        make_tasks(eventful, with_settings(augmentations=[entry]))
    make_tasks(windows, with_settings(augmentations=[noise]))
