import numpy as np
import pytest

from lib.audio.spectrograms import recording_windows
from lib.core.errors import EarshotError
from lib.training_data.spec_groups import reextract
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_database import TrainingDatabase
from tests.training_data.builders import AUDIO, extract_folder, write_data_set

TALL = AUDIO.model_copy(update={"spec_height": 24})


@pytest.fixture
def folder(tmp_path):
    return write_data_set(tmp_path / "set", 4)


@pytest.fixture
def database(tmp_path, folder):
    extract_folder(folder, tmp_path / "training.db")
    return tmp_path / "training.db"


def test_all_segments_get_spectrograms_of_other_settings_beside_the_first(database, folder):
    with TrainingDatabase(database) as db:
        n = db.get_segment_count()
        assert reextract(db, TALL, "tall", folder) == (n, [])
        assert reextract(db, TALL, "tall", folder) == (0, [])
    first, tall = StoredWindows(database), StoredWindows(database, "tall")
    assert tall.audio == TALL and first.audio == AUDIO
    np.testing.assert_array_equal(tall.labels, first.labels)
    with TrainingDatabase(database) as db:
        starts = [row.offset for row in sorted(db.get_segment({"FileName": "r00.wav"}), key=lambda row: row.offset)]
    (windows,) = recording_windows(folder / "recordings/r00.wav", TALL, 0.25, 100)
    chosen = windows.inputs[np.searchsorted(windows.starts, starts)]
    np.testing.assert_allclose(tall.spectrograms(np.arange(len(starts))) / 255, chosen, atol=0.5 / 255 + 1e-6)


def test_what_was_added_since_is_added_to_the_group(database, folder):
    with TrainingDatabase(database) as db:
        before, _ = reextract(db, TALL, "tall", folder)
    write_data_set(folder, 5)
    extract_folder(folder, database)
    with TrainingDatabase(database) as db:
        made, _ = reextract(db, TALL, "tall", folder)
        assert made == db.get_segment_count() - before > 0


def test_group_with_other_settings_is_only_replaced_if_asked_to(database, folder):
    wide = AUDIO.model_copy(update={"hop_length": 100})
    with TrainingDatabase(database) as db:
        n, _ = reextract(db, TALL, "other", folder)
        with pytest.raises(EarshotError, match="hop_length 50 instead of 100"):
            reextract(db, wide, "other", folder)
        assert reextract(db, wide, "other", folder, replace=True) == (n, [])
    assert StoredWindows(database, "other").audio == wide


def test_recordings_that_are_missing_are_named_and_the_others_are_made(database, folder):
    (folder / "recordings/r01.wav").unlink()
    (folder / "recordings/r02.wav").write_bytes(b"damaged")
    with TrainingDatabase(database) as db:
        made, problems = reextract(db, TALL, "tall", folder)
        assert [problem.subject for problem in problems] == [
            str(folder / f"recordings/{name}.wav") for name in ("r01", "r02")
        ]
        stored = db.get_segment_count({"FileName": "r00.wav"}) + db.get_segment_count({"FileName": "r03.wav"})
        assert made == stored


def test_segments_of_an_interrupted_extraction_get_no_spectrograms(database, folder):
    with TrainingDatabase(database) as db:
        (group,) = db.get_specgroup({"Name": "default"})
        db.update_specgroup(group.id, "Unfinished", 1)
        with pytest.raises(
            EarshotError, match="its segments are not complete, since the extract stage was interrupted"
        ):
            reextract(db, TALL, "tall", folder)
        db.update_specgroup(group.id, "Unfinished", None)
        assert reextract(db, TALL, "tall", folder)[0] > 0


def test_rows_do_not_depend_on_the_number_of_workers(database, folder, tmp_path):
    for workers in (1, 3):
        (tmp_path / f"{workers}.db").write_bytes(database.read_bytes())
        with TrainingDatabase(tmp_path / f"{workers}.db") as db:
            reextract(db, TALL, "tall", folder, workers=workers)
    assert (tmp_path / "1.db").read_bytes() == (tmp_path / "3.db").read_bytes()


def test_the_stage_alone_decides_whether_its_own_windows_have_sound(database, folder):
    before = database.read_bytes()
    with TrainingDatabase(database) as db:
        assert reextract(db, AUDIO, "default", folder, sound=True) == (0, [])
    extract_folder(folder, database)
    assert database.read_bytes() == before
