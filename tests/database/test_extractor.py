import numpy as np
import pytest
import soundfile
from sqlalchemy import event

from lib.audio.spectrogram import recording_windows
from lib.audio.windows import window_starts
from lib.config import Settings
from lib.database.codec import decode
from lib.database.extractor import Extractor
from lib.database.spec_groups import reextract
from lib.database.stored_windows import StoredWindows
from lib.database.training_database import TrainingDatabase
from lib.errors import AudioError, EarshotError, SettingsError
from tests.database.builders import AUDIO, RATE, tones


def config(**audio) -> Settings:
    extract = {"overlap": 0.25, "min_seconds": 0.2, "workers": 2}
    return Settings.model_validate({"audio": AUDIO.model_dump() | audio, "extract": extract, "infer": {"overlap": 0.0}})


def write(folder, *names, seconds=2.0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, tones(number, seconds, ("low",))[0], RATE)
    return folder


@pytest.fixture
def db(tmp_path):
    with TrainingDatabase(tmp_path / "training.db") as db:
        yield db


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "sounds", "XC1.wav", "b.flac", "c.wav")


def offsets(db, **filters):
    return sorted(row.offset for row in db.get_segment(filters or None))


def test_extract_all_inserts_every_window_of_every_recording(db, folder):
    extractor = Extractor(db, "Wren", "WREN", cfg=config())
    starts = window_starts(2.0, 0.5, 0.25)
    assert extractor.extract_all(str(folder)) == 3 * len(starts)
    (row,) = db.get_class()
    assert (row.name, row.code) == ("Wren", "WREN")
    assert db.get_category({"ID": row.category_id})[0].name == "default"
    assert sorted(row.filename for row in db.get_recording()) == ["XC1.wav", "b.flac", "c.wav"]
    assert [row.filename for row in db.get_recording({"SourceName": "Xeno-Canto"})] == ["XC1.wav"]
    assert db.get_recording_count({"SourceName": "default"}) == 2
    assert all(row.seconds == pytest.approx(2.0) for row in db.get_recording())
    for name in ("XC1.wav", "b.flac"):
        (windows,) = recording_windows(folder / name, AUDIO, 0.25, 100)
        assert offsets(db, FileName=name) == pytest.approx(list(windows.starts))
        rows = [row for row in db.get_spectrogram_by_class("Wren") if row.filename == name]
        for row, expected in zip(rows, windows.spectrograms, strict=True):
            np.testing.assert_allclose(decode(row.value, 16) / 255, expected, atol=0.5 / 255 + 1e-6)
    assert extractor.problems == []


def test_names_of_the_constructor_reach_the_database(db, folder):
    extractor = Extractor(db, "Wren", "WREN", "bird", "my garden", 0.0, "wide", cfg=config())
    assert extractor.extract_all(folder) == 3 * 4
    assert db.get_class({"CategoryName": "bird"})[0].name == "Wren"
    assert db.get_recording_count({"SourceName": "my garden"}) == 3
    assert len(db.get_spectrogram_by_class("Wren", spec_group="wide")) == 12
    assert db.get_spectrogram_by_class("Wren") == []
    assert (extractor.db, extractor.class_name, extractor.class_code) == (db, "Wren", "WREN")
    assert (extractor.cat_name, extractor.src_name) == ("bird", "my garden")
    assert (extractor.overlap, extractor.spec_group) == (0.0, "wide")


def test_what_was_extracted_can_be_trained_with(db, folder, tmp_path):
    Extractor(db, "Wren", cfg=config()).extract_all(folder)
    windows = StoredWindows(tmp_path / "training.db")
    assert windows.audio == AUDIO and windows.classes["name"].tolist() == ["Wren"] and windows.labels.all()
    assert windows.spectrograms(np.arange(3)).shape == (3, 16, 40)


def test_extract_all_again_only_adds_new_recordings(db, folder):
    n = Extractor(db, "Wren", cfg=config()).extract_all(folder)
    write(folder, "deeper/d.wav")
    again = Extractor(db, "Wren", cfg=config())
    assert again.extract_all(folder) == n // 3
    assert again.extract_all(folder) == 0
    assert db.get_recording_count() == 4


def test_same_recordings_as_another_class_share_their_segments(db, folder):
    n = Extractor(db, "Wren", cfg=config()).extract_all(folder)
    assert Extractor(db, "Toad", cfg=config()).extract_all(folder) == 0
    assert db.get_segment_count() == db.get_specvalue_count() == n
    assert [row.count for row in db.get_all_segment_counts()] == [n, n]


def test_files_of_one_name_in_different_folders_are_different_recordings(db, tmp_path):
    write(tmp_path / "wren", "a.wav")
    write(tmp_path / "toad", "x.wav", "a.wav")
    n = sum(Extractor(db, name, cfg=config()).extract_all(tmp_path / name) for name in ("wren", "toad"))
    assert db.get_recording_count() == 3 and db.get_specvalue_count() == n == 3 * 7


def test_settings_live_side_by_side_in_groups(db, folder):
    n = Extractor(db, "Wren", cfg=config()).extract_all(folder)
    tall = Extractor(db, "Wren", spec_group="tall", cfg=config(spec_height=24))
    assert tall.extract_all(folder) == n
    assert db.get_segment_count() == n and db.get_specvalue_count() == 2 * n
    (row, *_) = db.get_spectrogram_by_class("Wren", spec_group="tall", limit=1)
    assert decode(row.value, 24).shape == (24, 40)


def test_group_with_other_settings_is_an_error_that_names_the_difference(db, folder):
    Extractor(db, "Wren", cfg=config()).extract_all(folder)
    with pytest.raises(EarshotError, match=r"group default .*spec_height 16 instead of 24.*; choose another group"):
        Extractor(db, "Toad", cfg=config(spec_height=24))
    assert db.get_class_count({"Name": "Toad"}) == 0


def test_group_of_unknown_settings_is_an_error(db):
    (group,) = db.get_specgroup()
    recording = db.insert_recording(db.get_source()[0].id, "a.wav", "a.wav")
    db.insert_specvalue(b"x", group.id, db.insert_segment(recording, 0.0))
    with pytest.raises(EarshotError, match="not known"):
        Extractor(db, "Toad", cfg=config())


def test_bad_recordings_are_passed_over_with_a_line_each(db, folder, caplog):
    (folder / "bad.wav").write_bytes(b"")
    (folder / "worse.wav").write_bytes(b"this is no sound")
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_all(folder) == 3 * 7
    assert [problem.subject for problem in extractor.problems] == [
        str(folder / name) for name in ("bad.wav", "worse.wav")
    ]
    assert [record.message for record in caplog.records] == [str(problem) for problem in extractor.problems]
    assert db.get_recording_count() == 3


def test_missing_folder_is_named(db, tmp_path):
    with pytest.raises(EarshotError, match="none: no such"):
        Extractor(db, "Wren", cfg=config()).extract_all(tmp_path / "none")


def test_insert_spectrograms_at_any_offsets(db, folder):
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.insert_spectrograms(str(folder / "c.wav"), [1.0, 0.333, 0.1]) == 3
    assert offsets(db) == [0.1, 0.333, 1.0]
    assert extractor.insert_spectrograms(str(folder / "c.wav"), [0.1, 0.33, 1.4]) == 1  # 0.33 is 0.333, rounded
    assert offsets(db) == [0.1, 0.333, 1.0, 1.4]
    assert db.get_recording()[0].seconds == pytest.approx(2.0)
    with pytest.raises(AudioError, match=r"none\.wav: cannot be read"):
        extractor.insert_spectrograms(folder / "none.wav", [0.0])


def test_windows_outside_of_the_recording_are_passed_over(db, folder):
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.insert_spectrograms(folder / "c.wav", [1.9, 2.5, -0.1]) == 1
    assert offsets(db) == [1.9]
    assert ["no sound at -0.1 s" in str(problem) for problem in extractor.problems] == [True, False]
    assert extractor.insert_spectrograms(folder / "b.flac", [99]) == 0
    assert db.get_recording_count() == 1


def test_extract_by_csv(db, folder, tmp_path):
    table = tmp_path / "picked.csv"
    table.write_text("recording,offset\nXC1,0.5\nb.flac,1.0\nXC1,1.25\nnone,1\nb,soon\nXC1,0.5\n")
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_by_csv(str(folder), str(table)) == 3
    assert offsets(db, FileName="XC1.wav") == [0.5, 1.25] and offsets(db, FileName="b.flac") == [1.0]
    assert [problem.subject for problem in extractor.problems] == [f"{table}:5", f"{table}:6"]
    assert db.get_recording()[0].path == str(folder / "XC1.wav")
    assert extractor.extract_by_csv(folder, table) == 0


def test_csv_that_lacks_a_column_is_named(db, folder, tmp_path):
    (tmp_path / "picked.csv").write_text("recording,start\nXC1,0.5\n")
    with pytest.raises(EarshotError, match=r"picked\.csv: lacks the column offset"):
        Extractor(db, "Wren", cfg=config()).extract_by_csv(folder, tmp_path / "picked.csv")


def test_extract_by_image(db, folder, tmp_path):
    write(folder, "20240512_053000-A.wav")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    names = [
        "XC1-0.50.png",
        "XC1-1.3.jpeg",
        "3~b-1.25~0.123.jpeg",
        "c_0.75.jpg",
        "c-0.25-seg17.png",
        "20240512_053000-A-1.00.png",
        "no number.png",
        "other-1.00.png",
        "notes.txt",
    ]
    for name in names:
        (pictures / name).touch()
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_by_image(str(folder), str(pictures)) == 6
    assert offsets(db, FileName="XC1.wav") == [0.5, 1.3]
    assert offsets(db, FileName="b.flac") == [1.25]
    assert offsets(db, FileName="c.wav") == [0.25, 0.75]
    assert offsets(db, FileName="20240512_053000-A.wav") == [1.0]
    assert {problem.subject for problem in extractor.problems} == {
        str(pictures / "no number.png"),
        str(pictures / "other-1.00.png"),
    }
    with pytest.raises(EarshotError, match="no such folder"):
        extractor.extract_by_image(folder, tmp_path / "none")


@pytest.mark.parametrize("way", ["csv", "image"])
def test_used_recordings_are_copied_to_another_folder(db, folder, tmp_path, way):
    extractor = Extractor(db, "Wren", cfg=config())
    dest = tmp_path / "kept" / "sounds"
    if way == "csv":
        (tmp_path / "picked.csv").write_text("recording,offset\nc,0.5\n")
        n = extractor.extract_by_csv(folder, tmp_path / "picked.csv", dest_dir=str(dest))
    else:
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures/c-0.5.png").touch()
        n = extractor.extract_by_image(folder, tmp_path / "pictures", dest_dir=str(dest))
    assert n == 1
    assert [file.name for file in dest.iterdir()] == ["c.wav"]
    assert (dest / "c.wav").read_bytes() == (folder / "c.wav").read_bytes()
    assert db.get_recording()[0].path == str(dest / "c.wav")


def test_overlap_must_be_shorter_than_the_window(db):
    with pytest.raises(SettingsError, match=r"overlap = 0\.5"):
        Extractor(db, "Wren", overlap=0.5, cfg=config())


def test_rows_do_not_depend_on_the_number_of_workers(tmp_path):
    folder = write(tmp_path / "sounds", *(f"r{number}.wav" for number in range(9)))
    for workers in (1, 4):
        settings = config()
        settings.extract.workers = workers
        with TrainingDatabase(tmp_path / f"{workers}.db") as db:
            Extractor(db, "Wren", cfg=settings).extract_all(folder)
    assert (tmp_path / "1.db").read_bytes() == (tmp_path / "4.db").read_bytes()


def problems_of(extractor):
    return {problem.subject: problem.reason for problem in extractor.problems}


def test_recordings_of_one_name_are_told_apart_by_their_folders(db, tmp_path):
    folder = write(tmp_path / "sounds", "s0/n.wav", "s1/n.wav", "s1/one.wav")
    table = tmp_path / "picked.csv"
    table.write_text("recording,offset\ns0/n.wav,0.5\ns1/n,1\nn,0\nn.wav,0\ns0/one.wav,1.5\ns1/none.wav,0\n")
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_by_csv(folder, table) == 3
    stored = {row.path: offsets(db, RecordingID=row.id) for row in db.get_recording()}
    places = {"s0/n.wav": [0.5], "s1/n.wav": [1.0], "s1/one.wav": [1.5]}
    assert stored == {str(folder / name): at for name, at in places.items()}
    assert problems_of(extractor) == {
        f"{table}:4": "several recordings are called n",
        f"{table}:5": "several recordings are called n",
        f"{table}:7": "no such recording (none)",
    }


def test_pictures_in_folders_are_of_the_recordings_there(db, tmp_path):
    folder, pictures = write(tmp_path / "sounds", "s0/n.wav", "s1/n.wav", "one.wav"), tmp_path / "pictures"
    for name in ("s0/n-0.50.png", "s1/n-1.00.png", "n-0.00.png", "kept/one-1.50.png"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).touch()
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_by_image(folder, pictures) == 3
    assert {(row.path, *offsets(db, RecordingID=row.id)) for row in db.get_recording()} == {
        (str(folder / "s0/n.wav"), 0.5),
        (str(folder / "s1/n.wav"), 1.0),
        (str(folder / "one.wav"), 1.5),
    }
    assert problems_of(extractor) == {str(pictures / "n-0.00.png"): "several recordings are called n"}


def test_a_folder_without_pictures_is_named(db, folder):
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_by_image(folder, folder) == 0
    assert problems_of(extractor) == {str(folder): "holds no pictures"}


def test_recordings_that_were_moved_are_known_where_they_are(db, folder, tmp_path):
    n = Extractor(db, "Wren", cfg=config()).extract_all(folder)
    moved = folder.rename(tmp_path / "moved")
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_all(moved) == 0
    assert {row.path for row in db.get_recording()} == {str(file) for file in moved.iterdir()}
    wide = AUDIO.model_copy(update={"hop_length": 100})
    assert reextract(db, wide, "wide") == (n, [])


def test_recordings_that_lack_windows_get_them(db, folder):
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.insert_spectrograms(folder / "c.wav", [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 1.0, 1.5]) == 8
    (folder / "XC1.wav").unlink()
    (folder / "b.flac").unlink()
    assert extractor.extract_all(folder) == 7 - 3
    assert extractor.extract_all(folder) == 0
    assert Extractor(db, "Wren", overlap=0.0, cfg=config()).extract_all(folder) == 0


def test_files_in_the_other_folder_are_not_taken_for_others(db, folder, tmp_path):
    dest = write(tmp_path / "kept", "x.wav", "c.wav")
    old = (dest / "c.wav").read_bytes()
    assert old != (folder / "c.wav").read_bytes()
    (tmp_path / "picked.csv").write_text("recording,offset\nc,0.5\nb,0.5\nXC1,99\n")
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_by_csv(folder, tmp_path / "picked.csv", dest) == 1
    assert [row.filename for row in db.get_recording()] == ["b.flac"] and db.get_segment_count() == 1
    assert f"{dest / 'c.wav'} is another recording" in problems_of(extractor)[str(folder / "c.wav")]
    assert (dest / "c.wav").read_bytes() == old
    assert sorted(file.name for file in dest.iterdir()) == [
        "b.flac",
        "c.wav",
        "x.wav",
    ]  # none of XC1, which is not used
    assert extractor.extract_by_csv(folder, tmp_path / "picked.csv", dest) == 0


def test_other_folder_that_is_a_file_is_named_and_nothing_is_inserted(db, folder, tmp_path):
    (tmp_path / "picked.csv").write_text("recording,offset\nc,0.5\n")
    with pytest.raises(EarshotError, match=r"picked\.csv/c\.wav: cannot be written .*check that dest_dir is a folder"):
        Extractor(db, "Wren", cfg=config()).extract_by_csv(folder, tmp_path / "picked.csv", tmp_path / "picked.csv")
    assert db.get_recording_count() == 0


def test_a_recording_that_is_hardly_one_is_used_and_named(db, tmp_path):
    folder = write(tmp_path / "sounds", "short.wav", seconds=4 / RATE)
    extractor = Extractor(db, "Wren", cfg=config())
    assert extractor.extract_all(folder) == 1
    (problem,) = extractor.problems
    assert "less than a tenth of a window" in problem.reason and not problem.lost


def test_new_windows_are_inserted_without_looking_for_each(db, folder):
    extractor, statements = Extractor(db, "Wren", cfg=config()), []
    event.listen(db._engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    n = extractor.extract_all(folder)
    assert sum(statement.startswith("SELECT") for statement in statements) < n
