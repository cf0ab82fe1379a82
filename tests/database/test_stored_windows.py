import multiprocessing

import numpy as np
import pytest

from lib.audio.spectrogram import recording_windows
from lib.database import schema
from lib.database.codec import decode, encode
from lib.database.extraction import label_windows
from lib.database.stored_windows import StoredWindows
from lib.database.training_database import TrainingDatabase
from lib.errors import EarshotError
from lib.training.batches import load_batches
from tests.database.builders import AUDIO, EXTRACT, contents_of, extract_folder, write_data_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "set"
    write_data_set(folder, 2)
    extract_folder(folder, folder / "training.db")  # so that the order of insertion is not that of the names
    (folder / "recordings/r01.wav").rename(folder / "recordings/a01.wav")
    annotations = folder / "annotations.csv"
    annotations.write_text(annotations.read_text().replace("r01", "a01"))
    extract_folder(folder, folder / "training.db")
    return folder


@pytest.fixture(scope="module")
def windows(folder):
    return StoredWindows(folder / "training.db")


def test_windows_are_in_order_with_the_labels_and_spectrograms_that_were_extracted(folder, windows):
    contents = contents_of(folder)
    assert windows.recordings.tolist() == ["a01", "r00"]
    assert windows.classes["name"].tolist() == ["high", "low", "mid"]
    assert windows.audio == AUDIO
    row = 0
    for index, name in enumerate(["a01", "r00"]):
        events = contents.annotations[contents.annotations["recording"] == name]
        times = events[["start_time", "end_time"]].to_numpy()
        for starts, spectrograms, _ in recording_windows(contents.recordings[name], AUDIO, 0.25, 4):
            labelled, empty = label_windows(starts, AUDIO.spec_duration, times, EXTRACT.min_seconds)
            for spectrogram, has, is_empty in zip(spectrograms, labelled, empty, strict=True):
                if not (has.any() or is_empty):
                    continue
                names = set(windows.classes["name"][windows.labels[row]])
                assert names == set(events["class"][has])
                assert windows.recording[row] == index
                stored = windows.spectrograms(np.array([row]))[0]
                assert stored.dtype == np.uint8
                np.testing.assert_allclose(stored / 255, spectrogram, atol=0.5 / 255 + 1e-6)
                row += 1
    assert row == len(windows) > 12


def test_spectrograms_come_in_the_order_asked_for(windows):
    whole = windows.spectrograms(np.arange(len(windows)))
    order = np.array([7, 0, 7, len(windows) - 1])
    assert np.array_equal(windows.spectrograms(order), whole[order])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_other_processes_load_the_same_windows(windows, context):
    expected = windows.spectrograms(np.arange(12))  # and this process has the database open
    batches = [np.arange(0, 5), np.arange(5, 12)]
    loader = load_batches(windows, batches, workers=2 if context == "fork" else 1)
    loader.multiprocessing_context = multiprocessing.get_context(context)
    loaded = list(loader)
    assert np.array_equal(np.concatenate([x.numpy() for x, _ in loaded]), expected)
    assert np.array_equal(np.concatenate([y.numpy() for _, y in loaded]), windows.labels[:12])


def test_missing_database_is_named(tmp_path):
    with pytest.raises(EarshotError, match=r"none\.db: no such file; run the extract stage"):
        StoredWindows(tmp_path / "none.db")


def test_codec_keeps_all_levels():
    spectrogram = np.linspace(0, 1, 256, dtype=np.float32).reshape(8, 32)
    assert np.array_equal(decode(encode(spectrogram), 8).ravel(), np.arange(256))


def test_a_group_that_lacks_segments_is_named_in_the_log(folder, tmp_path, caplog):
    (tmp_path / "training.db").write_bytes((folder / "training.db").read_bytes())
    with TrainingDatabase(tmp_path / "training.db") as db:
        small = db.insert_specgroup("small", schema.settings_text(AUDIO))
        rows = db.get_specvalue({"SpecGroup": "default"})
        for row in rows[3:]:
            db.insert_specvalue(row.value, small, row.segment_id)
    assert len(StoredWindows(tmp_path / "training.db")) == len(rows) and not caplog.records
    assert len(StoredWindows(tmp_path / "training.db", "small")) == len(rows) - 3
    (record,) = caplog.records
    assert f"group small lacks 3 of {len(rows)} segments" in record.message and "--spec_group small" in record.message
