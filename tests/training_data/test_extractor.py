import numpy as np
import pytest
import soundfile
from sqlalchemy import event

from lib.audio.spectrograms import recording_windows
from lib.config.schema import Settings
from lib.core.errors import AudioError, EarshotError, SettingsError
from lib.training_data.extractor import Extractor
from lib.training_data.spec_groups import reextract
from lib.training_data.spectrogram_codec import decode
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_database import TrainingDatabase
from tests.training_data.builders import AUDIO, RATE, tones

N = 7
"""Windows of 0.5 s, one every 0.25 s, in a recording of 2 s."""


def config(workers=2, **audio) -> Settings:
    extract = {"overlap": 0.25, "min_seconds": 0.2, "workers": workers}
    return Settings.model_validate({"audio": AUDIO.model_dump() | audio, "extract": extract, "infer": {"overlap": 0.0}})


def write(folder, *names, seconds=2.0):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, tones(number, seconds, ("low",))[0], RATE)
    return folder


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture
def db(tmp_path):
    with TrainingDatabase(tmp_path / "training.db") as db:
        yield db


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "sounds", "XC1.wav", "b.flac", "c.wav")


@pytest.fixture
def extractor(db):
    return Extractor(db, "Wren", "WREN", cfg=config())


@pytest.fixture
def table(tmp_path):
    """A function that writes a CSV file of windows."""

    def make(*lines):
        (tmp_path / "picked.csv").write_text("\n".join(["recording,offset", *lines]) + "\n")
        return tmp_path / "picked.csv"

    return make


def offsets(db, **filters):
    return sorted(row.offset for row in db.get_segment(filters or None))


def faults(extractor):
    return {problem.subject: problem.fault for problem in extractor.problems}


def test_extract_all_inserts_every_window_of_every_recording(db, folder, extractor, tmp_path):
    assert extractor.extract_all(str(folder)) == 3 * N
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
        for row, expected in zip(rows, windows.inputs, strict=True):
            np.testing.assert_allclose(decode(row.value, 16) / 255, expected, atol=0.5 / 255 + 1e-6)
    assert extractor.problems == []
    windows = StoredWindows(tmp_path / "training.db")  # it can be trained with
    assert windows.audio == AUDIO and windows.classes["name"].tolist() == ["Wren"] and windows.labels.all()


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


def test_extract_all_again_only_adds_new_recordings(db, folder, extractor):
    extractor.extract_all(folder)
    write(folder, "deeper/d.wav")
    again = Extractor(db, "Wren", cfg=config())
    assert again.extract_all(folder) == N
    assert again.extract_all(folder) == 0
    assert db.get_recording_count() == 4


def test_same_recordings_as_another_class_share_their_segments(db, folder, extractor):
    n = extractor.extract_all(folder)
    assert Extractor(db, "Toad", cfg=config()).extract_all(folder) == 0
    assert db.get_segment_count() == db.get_specvalue_count() == n
    assert [row.count for row in db.get_all_segment_counts()] == [n, n]


def test_files_of_one_name_in_different_folders_are_different_recordings(db, tmp_path):
    write(tmp_path / "wren", "a.wav")
    write(tmp_path / "toad", "x.wav", "a.wav")
    n = sum(Extractor(db, name, cfg=config()).extract_all(tmp_path / name) for name in ("wren", "toad"))
    assert db.get_recording_count() == 3 and db.get_specvalue_count() == n == 3 * N


def test_settings_live_side_by_side_in_groups(db, folder, extractor):
    n = extractor.extract_all(folder)
    tall = Extractor(db, "Wren", spec_group="tall", cfg=config(spec_height=24))
    assert tall.extract_all(folder) == n
    assert db.get_segment_count() == n and db.get_specvalue_count() == 2 * n
    (row, *_) = db.get_spectrogram_by_class("Wren", spec_group="tall", limit=1)
    assert decode(row.value, 24).shape == (24, 40)


def test_group_with_other_settings_is_an_error_that_names_the_difference(db, folder, extractor):
    extractor.extract_all(folder)
    with pytest.raises(EarshotError, match=r"group default .*spec_height 16 instead of 24.*; choose another group"):
        Extractor(db, "Toad", cfg=config(spec_height=24))
    assert db.get_class_count({"Name": "Toad"}) == 0


def test_group_of_unknown_settings_is_an_error(db):
    (group,) = db.get_specgroup()
    recording = db.insert_recording(db.get_source()[0].id, "a.wav", "a.wav")
    db.insert_specvalue(b"x", group.id, db.insert_segment(recording, 0.0))
    with pytest.raises(EarshotError, match="not known"):
        Extractor(db, "Toad", cfg=config())


def test_overlap_must_be_shorter_than_the_window(db):
    with pytest.raises(SettingsError, match=r"overlap = 0\.5"):
        Extractor(db, "Wren", overlap=0.5, cfg=config())


def test_bad_recordings_are_left_out_with_a_line_each(db, folder, extractor, caplog):
    touch(folder, "bad.wav")
    (folder / "worse.wav").write_bytes(b"this is no sound")
    assert extractor.extract_all(folder) == 3 * N
    assert list(faults(extractor)) == [str(folder / name) for name in ("bad.wav", "worse.wav")]
    assert [record.message for record in caplog.records] == [str(problem) for problem in extractor.problems]
    assert db.get_recording_count() == 3


def test_missing_folders_and_a_missing_column_are_named(extractor, folder, tmp_path, table):
    with pytest.raises(EarshotError, match="none: no such"):
        extractor.extract_all(tmp_path / "none")
    with pytest.raises(EarshotError, match="none: no such folder"):
        extractor.extract_by_image(folder, tmp_path / "none")
    with pytest.raises(EarshotError, match="none: no such folder"):
        extractor.extract_by_csv(tmp_path / "none", table("c,0"))
    (tmp_path / "picked.csv").write_text("recording,start\nXC1,0.5\n")
    with pytest.raises(EarshotError, match=r"picked\.csv: lacks the column offset"):
        extractor.extract_by_csv(folder, tmp_path / "picked.csv")


def test_insert_spectrograms_at_any_offsets(db, folder, extractor):
    assert extractor.insert_spectrograms(str(folder / "c.wav"), [1.0, 0.333, 0.1]) == 3
    assert offsets(db) == [0.1, 0.333, 1.0]
    assert extractor.insert_spectrograms(str(folder / "c.wav"), [0.1, 0.33, 1.4]) == 1  # 0.33 is 0.333, rounded
    assert offsets(db) == [0.1, 0.333, 1.0, 1.4]
    assert db.get_recording()[0].seconds == pytest.approx(2.0)
    with pytest.raises(AudioError, match=r"none\.wav: cannot be read"):
        extractor.insert_spectrograms(folder / "none.wav", [0.0])


def test_recordings_may_be_given_by_relative_paths(db, folder, extractor, monkeypatch):
    monkeypatch.chdir(folder)
    assert extractor.insert_spectrograms("c.wav", [0.5]) == 1
    assert db.get_recording()[0].path == str(folder / "c.wav")
    with pytest.raises(AudioError, match=r"^none\.wav: cannot be read"):
        extractor.insert_spectrograms("none.wav", [0.0])


def test_windows_outside_of_the_recording_are_left_out(db, folder, extractor):
    assert extractor.insert_spectrograms(folder / "c.wav", [1.9, 2.5, -0.1]) == 1
    assert offsets(db) == [1.9]
    assert ["no sound at -0.1 s" in str(problem) for problem in extractor.problems] == [True, False]
    assert extractor.insert_spectrograms(folder / "b.flac", [99]) == 0
    assert db.get_recording_count() == 1


def test_extract_by_csv(db, folder, extractor, table):
    picked = table("XC1,0.5", "b.flac,1.0", "XC1,1.25", "none,1", "b,soon", "XC1,0.5")
    assert extractor.extract_by_csv(str(folder), str(picked)) == 3
    assert offsets(db, FileName="XC1.wav") == [0.5, 1.25] and offsets(db, FileName="b.flac") == [1.0]
    assert list(faults(extractor)) == [f"{picked}:5", f"{picked}:6"]
    assert db.get_recording()[0].path == str(folder / "XC1.wav")
    assert extractor.extract_by_csv(folder, picked) == 0


def test_extract_by_image(db, folder, extractor, tmp_path):
    write(folder, "20240512_053000-A.wav")
    names = ["XC1-0.50.png", "XC1-1.3.jpeg", "3~b-1.25~0.123.jpeg", "c_0.75.jpg", "c-0.25-seg17.png"]
    names += ["20240512_053000-A-1.00.png", "no number.png", "other-1.00.png", "notes.txt"]
    pictures = touch(tmp_path / "pictures", *names)
    assert extractor.extract_by_image(str(folder), str(pictures)) == 6
    assert offsets(db, FileName="XC1.wav") == [0.5, 1.3]
    assert offsets(db, FileName="b.flac") == [1.25]
    assert offsets(db, FileName="c.wav") == [0.25, 0.75]
    assert offsets(db, FileName="20240512_053000-A.wav") == [1.0]
    assert faults(extractor).keys() == {str(pictures / name) for name in ("no number.png", "other-1.00.png")}


def test_a_folder_without_pictures_is_named(extractor, folder):
    assert extractor.extract_by_image(folder, folder) == 0
    assert faults(extractor) == {str(folder): "holds no pictures"}


@pytest.mark.parametrize("way", ["csv", "image"])
def test_used_recordings_are_copied_to_another_folder(db, folder, extractor, tmp_path, table, way):
    dest = tmp_path / "kept" / "sounds"
    if way == "csv":
        n = extractor.extract_by_csv(folder, table("c,0.5"), dest_dir=str(dest))
    else:
        n = extractor.extract_by_image(folder, touch(tmp_path / "pictures", "c-0.5.png"), dest_dir=str(dest))
    assert n == 1
    assert [file.name for file in dest.iterdir()] == ["c.wav"]
    assert (dest / "c.wav").read_bytes() == (folder / "c.wav").read_bytes()
    assert db.get_recording()[0].path == str(dest / "c.wav")


def test_another_file_in_the_other_folder_is_neither_used_nor_overwritten(db, folder, extractor, tmp_path, table):
    dest = write(tmp_path / "kept", "x.wav", "c.wav")
    before = (dest / "c.wav").read_bytes()
    assert before != (folder / "c.wav").read_bytes()
    picked = table("c,0.5", "b,0.5", "XC1,99")
    assert extractor.extract_by_csv(folder, picked, dest) == 1
    assert [row.filename for row in db.get_recording()] == ["b.flac"] and db.get_segment_count() == 1
    assert f"{dest / 'c.wav'} is another recording" in faults(extractor)[str(folder / "c.wav")]
    assert (dest / "c.wav").read_bytes() == before
    assert sorted(file.name for file in dest.iterdir()) == ["b.flac", "c.wav", "x.wav"]  # not XC1, which is not used
    assert extractor.extract_by_csv(folder, picked, dest) == 0


def test_other_folder_that_is_a_file_is_named_and_nothing_is_inserted(db, folder, extractor, table):
    picked = table("c,0.5")
    with pytest.raises(EarshotError, match=r"picked\.csv/c\.wav: cannot be written .*check that dest_dir is a folder"):
        extractor.extract_by_csv(folder, picked, picked)
    assert db.get_recording_count() == 0


def test_rows_do_not_depend_on_the_number_of_workers(tmp_path):
    folder = write(tmp_path / "sounds", *(f"r{number}.wav" for number in range(9)))
    for workers in (1, 4):
        with TrainingDatabase(tmp_path / f"{workers}.db") as db:
            Extractor(db, "Wren", cfg=config(workers)).extract_all(folder)
    assert (tmp_path / "1.db").read_bytes() == (tmp_path / "4.db").read_bytes()


def test_recordings_of_one_name_are_told_apart_by_their_folders(db, extractor, tmp_path, table):
    folder = write(tmp_path / "sounds", "s0/n.wav", "s1/n.wav", "s1/one.wav")
    picked = table("s0/n.wav,0.5", "s1/n,1", "n,0", "n.wav,0", "s0/one.wav,1.5", "s1/none.wav,0")
    assert extractor.extract_by_csv(folder, picked) == 3
    stored = {row.path: offsets(db, RecordingID=row.id) for row in db.get_recording()}
    places = {"s0/n.wav": [0.5], "s1/n.wav": [1.0], "s1/one.wav": [1.5]}
    assert stored == {str(folder / name): at for name, at in places.items()}
    assert faults(extractor) == {
        f"{picked}:4": "several recordings are called n",
        f"{picked}:5": "several recordings are called n",
        f"{picked}:7": "no such recording (none)",
    }


def test_pictures_in_folders_are_of_the_recordings_there(db, extractor, tmp_path):
    folder = write(tmp_path / "sounds", "s0/n.wav", "s1/n.wav", "one.wav")
    pictures = touch(tmp_path / "pictures", "s0/n-0.50.png", "s1/n-1.00.png", "n-0.00.png", "kept/one-1.50.png")
    assert extractor.extract_by_image(folder, pictures) == 3
    assert {(row.path, *offsets(db, RecordingID=row.id)) for row in db.get_recording()} == {
        (str(folder / "s0/n.wav"), 0.5),
        (str(folder / "s1/n.wav"), 1.0),
        (str(folder / "one.wav"), 1.5),
    }
    assert faults(extractor) == {str(pictures / "n-0.00.png"): "several recordings are called n"}


def test_recordings_that_were_moved_are_known_where_they_are(db, folder, extractor, tmp_path):
    n = extractor.extract_all(folder)
    moved = folder.rename(tmp_path / "moved")
    assert Extractor(db, "Wren", cfg=config()).extract_all(moved) == 0
    assert {row.path for row in db.get_recording()} == {str(file) for file in moved.iterdir()}
    assert reextract(db, AUDIO.model_copy(update={"hop_length": 100}), "wide") == (n, [])


def test_recordings_that_lack_windows_get_them(db, tmp_path, extractor):
    folder = write(tmp_path / "sounds", "c.wav")
    assert extractor.insert_spectrograms(folder / "c.wav", [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 1.0, 1.5]) == 8
    assert extractor.extract_all(folder) == N - 3
    assert extractor.extract_all(folder) == 0
    assert Extractor(db, "Wren", overlap=0.0, cfg=config()).extract_all(folder) == 0


def test_a_recording_much_shorter_than_a_window_is_used_and_named(extractor, tmp_path):
    assert extractor.extract_all(write(tmp_path / "sounds", "short.wav", seconds=4 / RATE)) == 1
    (problem,) = extractor.problems
    assert "less than a tenth of a window" in problem.fault and not problem.lost


def test_new_windows_are_inserted_without_looking_for_each(db, folder, extractor):
    statements = []
    event.listen(db._engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    n = extractor.extract_all(folder)
    assert sum(statement.startswith("SELECT") for statement in statements) < n
