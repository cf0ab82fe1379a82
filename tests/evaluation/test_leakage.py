import shutil
from pathlib import Path

import pytest

from lib import TrainingDatabase
from lib.core.digests import digest_file
from lib.core.errors import EarshotError
from lib.evaluation.leakage import find_leakage
from tests.recordings import noise, write
from tests.training_data.builders import contents_of, extract_folder, write_data_set


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """Of recordings r00 to r03."""
    folder = tmp_path_factory.mktemp("trained")
    extract_folder(write_data_set(folder / "set", 4), folder / "training.db")
    return folder / "training.db"


def test_test_recordings_that_the_training_database_holds_are_named_whatever_they_are_called(database, tmp_path):
    folder = write_data_set(tmp_path / "set", 7)
    for number in (0, 4, 5, 6):  # three new ones, one of them under the name of an old one, which is called otherwise
        (folder / f"recordings/r{number:02}.wav").rename(folder / f"recordings/{number}.wav")
    (folder / "recordings/4.wav").rename(folder / "recordings/r00.wav")
    [problem] = find_leakage(contents_of(folder), database)
    assert str(problem) == (
        f"{folder}: the training database holds 4 of its 7 recordings, so the figures may be too good "
        "(0, r01, r02, r03); test with other recordings; python -m stages.split makes two sets of one"
    )
    assert not problem.lost


def test_other_recordings_are_no_leakage_nor_is_a_missing_database(database, tmp_path):
    folder = write_data_set(tmp_path / "set", 6)
    for number in range(4):
        (folder / f"recordings/r{number:02}.wav").unlink()
    data_set = contents_of(folder)
    assert find_leakage(data_set, database) == find_leakage(data_set, tmp_path / "none.db") == []
    (tmp_path / "bad.db").write_bytes(b"no database" * 100)
    with pytest.raises(EarshotError, match=r"bad\.db"):
        find_leakage(data_set, tmp_path / "bad.db")


def test_a_recording_with_windows_inserted_by_hand_is_leakage(database, tmp_path):
    database = Path(shutil.copy(database, tmp_path / "training.db"))
    folder = write_data_set(tmp_path / "set", 1)
    path = write(folder / "recordings/r00.wav", noise(3, 4000), 4000)
    assert find_leakage(contents_of(folder), database) == []
    with TrainingDatabase(database) as db:
        number = db.insert_recording(db.insert_source("by hand"), path.name, str(path), 3.0)
        db.update_recording(number, "Content", digest_file(path))
    [problem] = find_leakage(contents_of(folder), database)
    assert problem.fault == "the training database holds 1 of its 1 recording, so the figures may be too good (r00)"
