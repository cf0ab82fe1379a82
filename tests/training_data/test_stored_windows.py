import pickle

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.core.incremental import Item, Source
from lib.training.batches import load_batches
from lib.training_data import training_tables as tables
from lib.training_data.extraction import ExtractedWindows, read_windows
from lib.training_data.spectrogram_codec import decode
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_database import TrainingDatabase
from tests.training_data.builders import AUDIO, EXTRACT, contents_of, extract_folder, write_data_set


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
    extracted = []
    for index, name in enumerate(["a01", "r00"]):
        events = contents.annotations[contents.annotations["recording"] == name]
        inputs = ["", events[["start_time", "end_time"]].to_numpy().tolist(), list(events["class"])]
        source = Source(Item(name, contents.recordings[name], inputs), "0" * 32)
        pieces = [piece for piece in read_windows(source, AUDIO, EXTRACT) if isinstance(piece, ExtractedWindows)]
        extracted += [(index, window) for piece in pieces for window in piece.windows]
    assert len(windows) == len(extracted) > 12
    spectrograms = windows.spectrograms(np.arange(len(windows)))
    assert spectrograms.dtype == np.uint8
    for row, (index, window) in enumerate(extracted):
        assert windows.recording[row] == index
        assert tuple(windows.classes["name"][windows.labels[row]]) == window.classes
        assert np.array_equal(spectrograms[row], decode(window.value, AUDIO.spec_height))


def test_spectrograms_come_in_the_order_asked_for(windows):
    whole = windows.spectrograms(np.arange(len(windows)))
    order = np.array([7, 0, 7, len(windows) - 1])
    assert np.array_equal(windows.spectrograms(order), whole[order])


@pytest.mark.parametrize("workers", [0, 2])
def test_other_processes_load_the_same_windows(windows, workers):
    expected = windows.spectrograms(np.arange(12))  # and this process has the database open
    windows = pickle.loads(pickle.dumps(windows))  # as for a process that is not forked
    loaded = list(load_batches(windows, [np.arange(0, 5), np.arange(5, 12)], workers))
    assert np.array_equal(np.concatenate([x.numpy() for x, _ in loaded]), expected)
    assert np.array_equal(np.concatenate([y.numpy() for _, y in loaded]), windows.labels[:12])


def test_missing_and_damaged_databases_are_named(folder, tmp_path):
    with pytest.raises(EarshotError, match=r"none\.db: no such file; run the extract stage"):
        StoredWindows(tmp_path / "none.db")
    content = (folder / "training.db").read_bytes()
    (tmp_path / "damaged.db").write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(EarshotError, match=r"damaged\.db: cannot be .*remove it and run the extract stage"):
        StoredWindows(tmp_path / "damaged.db")


def test_a_group_that_lacks_segments_is_named_in_the_log(folder, tmp_path, caplog):
    (tmp_path / "training.db").write_bytes((folder / "training.db").read_bytes())
    with TrainingDatabase(tmp_path / "training.db") as db:
        small = db.insert_specgroup("small", tables.settings_text(AUDIO))
        rows = db.get_specvalue({"SpecGroup": "default"})
        for row in rows[3:]:
            db.insert_specvalue(row.value, small, row.segment_id)
    assert len(StoredWindows(tmp_path / "training.db")) == len(rows) and not caplog.records
    assert len(StoredWindows(tmp_path / "training.db", "small")) == len(rows) - 3
    (record,) = caplog.records
    assert f"group small lacks 3 of {len(rows)} segments" in record.message and "--spec_group small" in record.message
