import pickle

import numpy as np
import pytest
import soundfile
import torch

from lib.audio.spectrogram_tensors import spectrograms_of
from lib.config.schema import Settings
from lib.core.databases import renumber
from lib.core.errors import EarshotError, SettingsError
from lib.core.incremental import Item, Source
from lib.training.batches import load_batches
from lib.training_data import training_tables as tables
from lib.training_data.extraction import ExtractedWindows, read_windows
from lib.training_data.extractor import Extractor
from lib.training_data.spec_groups import reextract
from lib.training_data.spectrogram_codec import decode
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_database import TrainingDatabase
from tests.training_data.builders import AUDIO, EXTRACT, RATE, contents_of, extract_folder, tones, write_data_set


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


def test_windows_stay_the_same_while_an_extraction_renumbers_them_or_reading_ends(tmp_path):
    write_data_set(tmp_path / "set", 3)
    database = tmp_path / "training.db"
    extract_folder(tmp_path / "set", database)
    windows = StoredWindows(database)
    before = windows.spectrograms(np.arange(len(windows)))
    with TrainingDatabase(database) as db:
        group = db.insert_specgroup("a", tables.settings_text(AUDIO))
        for row in db.get_specvalue({"SpecGroup": "default"}):
            db.insert_specvalue(row.value, group, row.segment_id)
    renumber(database, tables.FILE, tables.ORDER)
    assert not np.array_equal(StoredWindows(database)._values, windows._values)
    assert np.array_equal(windows.spectrograms(np.arange(len(windows))), before)
    sound = tmp_path / "set/recordings/r02.wav"
    was = sound.read_bytes()
    soundfile.write(sound, tones(9, 3.0, ("low", "mid"))[0], RATE)
    extract_folder(tmp_path / "set", database)
    with pytest.raises(EarshotError, match="was changed while it was read"):
        windows.spectrograms(np.arange(3))
    sound.write_bytes(was)
    extract_folder(tmp_path / "set", database)
    assert np.array_equal(windows.spectrograms(np.arange(3)), before[:3])
    (tmp_path / "set/recordings/r01.wav").rename(tmp_path / "set/recordings/a01.wav")
    annotations = tmp_path / "set/annotations.csv"
    annotations.write_text(annotations.read_text().replace("r01", "a01"))
    extract_folder(tmp_path / "set", database)
    with pytest.raises(EarshotError, match=r"training\.db: was changed while it was read; run the same command again"):
        windows.spectrograms(np.arange(3))


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


def samples_at(folder, name, start):
    samples, _ = soundfile.read(folder / f"recordings/{name}.wav", dtype="float32")
    first = round(start * AUDIO.frame_rate) * AUDIO.hop_length
    padded = np.pad(samples, (AUDIO.margin, RATE))
    return padded[first : first + AUDIO.window_samples + 2 * AUDIO.margin]


@pytest.fixture(scope="module")
def with_sound(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "training.db"
    extract_folder(folder, path, sound=True)
    return path


def test_sounds_are_those_of_the_recordings_and_of_the_spectrograms(folder, windows, with_sound):
    stored = StoredWindows(with_sound)
    indices = np.array([7, 0, 7, len(stored) - 1])
    sounds = stored.sounds(indices)
    assert sounds.dtype == np.float32 and sounds.shape == (4, 2000 + 128)
    for index, sound in zip(indices, sounds, strict=True):
        name = stored.recordings[stored.recording[index]]
        np.testing.assert_array_equal(sound, samples_at(folder, name, stored.starts[index]))
    spectrograms = stored.spectrograms(np.arange(len(stored)))
    np.testing.assert_array_equal(spectrograms, windows.spectrograms(np.arange(len(windows))))
    made = spectrograms_of(torch.from_numpy(stored.sounds(np.arange(len(stored)))), AUDIO).numpy()
    is_before_the_end = stored.starts < 2.5
    np.testing.assert_allclose(made[is_before_the_end], spectrograms[is_before_the_end] / 255, atol=0.5 / 255 + 1e-4)


def test_a_database_without_sound_says_how_to_get_it(windows):
    with pytest.raises(SettingsError, match=r"extract\.sound: .*holds no sound.*; set it to true and run the extract"):
        windows.sounds(np.arange(3))


def test_sound_of_hand_picked_windows_is_stored_and_can_be_added_later(folder, with_sound, tmp_path):
    path = tmp_path / "training.db"
    path.write_bytes(with_sound.read_bytes())
    extract = EXTRACT.model_dump()
    for sound in (False, True):
        cfg = Settings.model_validate(
            {"audio": AUDIO.model_dump(), "extract": extract | {"sound": sound}, "infer": {"overlap": 0.0}}
        )
        with TrainingDatabase(path) as db:
            Extractor(db, "low", cfg=cfg).insert_spectrograms(folder / "recordings/r00.wav", [0.25 + sound, 1.0])
    windows = StoredWindows(path)  # 1.0 got its sound the second time
    match = r"holds no sound of 1 window; .*run the extract stage, then again with --spec_group default"
    with pytest.raises(SettingsError, match=match):
        windows.sounds(np.arange(3))
    with TrainingDatabase(path) as db:
        assert reextract(db, AUDIO, "default", folder, sound=True) == (1, [])
    windows = StoredWindows(path)
    for index in np.flatnonzero(np.isin(windows.starts, [0.25, 1.0, 1.25])):
        name = windows.recordings[windows.recording[index]]
        (sound,) = windows.sounds(np.array([index]))
        np.testing.assert_array_equal(sound, samples_at(folder, name, windows.starts[index]))


def test_a_group_of_other_windows_does_not_take_their_sound(folder, with_sound, tmp_path):
    path = tmp_path / "training.db"
    path.write_bytes(with_sound.read_bytes())
    finer, longer = (AUDIO.model_copy(update=changes) for changes in ({"spec_height": 24}, {"win_length": 256}))
    with TrainingDatabase(path) as db:
        reextract(db, finer, "finer", folder)
        reextract(db, longer, "longer", folder)
    np.testing.assert_array_equal(
        StoredWindows(path, "finer").sounds(np.arange(3)), StoredWindows(path).sounds(np.arange(3))
    )
    with pytest.raises(
        SettingsError, match=r"train\.spec_group = 'longer': the sound .* cut with other audio settings"
    ):
        StoredWindows(path, "longer").sounds(np.arange(3))
