import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import lib
from lib.config.schema import DataSetSettings, InferSettings, Settings
from lib.core import code_digest
from lib.core.errors import EarshotError
from lib.formats.data_sets import read_data_set
from lib.training_data.extraction import extract_windows, label_windows
from lib.training_data.extractor import Extractor
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_database import TrainingDatabase
from tests.training_data.builders import AUDIO, EXTRACT, RATE, contents_of, dump, extract_folder, tones, write_data_set


@pytest.fixture
def folder(tmp_path):
    return write_data_set(tmp_path / "set", 5)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "training.db"


def extract(folder, database, **settings):
    """Extract a folder; returns the report and the problems."""
    report, _, problems = extract_windows(
        contents_of(folder), AUDIO, EXTRACT.model_copy(update={"workers": 2} | settings), database
    )
    return report, problems


def annotate(folder, *lines):
    (folder / "annotations.csv").write_text("\n".join(["recording,class,start_time,end_time", *lines]) + "\n")


def silence(folder, name):
    soundfile.write(folder / f"recordings/{name}.wav", np.zeros(3 * RATE), RATE)


def offsets_in(database):
    with sqlite3.connect(database) as connection:
        return {offset for (offset,) in connection.execute("SELECT Offset FROM Segment")}


def test_windows_without_any_part_of_an_event_are_empty():
    events = np.array([[2.7, 5.0], [2.8, 2.9], [11.5, 11.9], [11.5, np.inf]])
    present, is_empty = label_windows(np.array([0.0, 3.0, 6.0, 9.0]), 11.0, events, 3.0, 3.0, 0.5)
    assert present.tolist() == [
        [False, True, False, False],  # 0.3 s of the first event is too little
        [True, False, False, False],
        [False, False, False, False],
        [False, False, False, False],  # the recording ends before the last two events
    ]
    assert is_empty.tolist() == [False, False, True, True]


milliseconds = st.integers(0, 5000)
events_in_ms = st.lists(st.tuples(milliseconds, st.integers(0, 3000)).map(lambda e: (e[0], e[0] + e[1])), max_size=4)


@given(st.integers(200, 3000), st.integers(100, 1000), events_in_ms, st.integers(1, 1500), st.integers(1, 60))
def test_labels_do_not_depend_on_how_many_windows_are_labelled_at_once(length, hop, events, needed, batch):
    starts = np.arange(0, 6000, hop) / 1000
    times, seconds = np.array(events, float).reshape(-1, 2) / 1000, 6.0 + length / 1000
    rest = seconds, times, length / 1000, hop / 1000, needed / 1000
    present, is_empty = label_windows(starts, *rest)
    parts = [label_windows(starts[i : i + batch], *rest) for i in range(0, len(starts), batch)]
    assert np.array_equal(np.concatenate([part for part, _ in parts]), present)
    assert np.array_equal(np.concatenate([part for _, part in parts]), is_empty)
    for start, row, empty in zip(starts * 1000, present, is_empty, strict=True):
        touches = [start < last and first < start + length for first, last in events if last > first]
        assert not (empty and (any(touches) or row.any()))


def test_report_counts_what_the_events_imply(tmp_path, database):
    folder = write_data_set(tmp_path / "set", 2, seconds=3.0)
    annotate(folder, "r00,low,1.0,1.5", "r01,mid,0.0,0.1", "r01,low,0.0,0.25")
    report, n_new = extract_folder(folder, database)
    # 11 windows of 0.5 s, one every 0.25 s, per recording. r00: 0.75, 1.0, 1.25 hold 0.2 s or more of the event, and no
    # others any of it. r01: 0.0 holds both events, and no other window any of them.
    assert (n_new, report.recordings, report.windows) == (2, 2, 22)
    assert report.windows_per_class == {"low": 4, "mid": 1}
    assert report.background_windows == 8 + 10
    assert report.failed == [] and report.warnings == []


def test_windows_that_hold_too_little_of_an_event_are_not_stored(folder, database):
    annotate(folder, "r00,low,1.0,1.1", "r00,mid,1.45,2.0")
    report, _ = extract_folder(folder, database, include="r00")
    assert {1.0, 1.25} <= offsets_in(database)  # all of low; 0.3 s of mid
    assert report.windows == 11
    annotate(folder, "r00,low,1.0,1.7", "r00,mid,2.45,3.0")
    extract_folder(folder, database, include="r00")
    assert 2.25 in offsets_in(database)
    assert 2.0 not in offsets_in(database)  # 0.05 s of mid


def test_chosen_share_of_the_windows_without_events_is_background(tmp_path):
    folder = write_data_set(tmp_path / "set", 30, seconds=2.0)
    annotate(folder, *(f"r{number:02},low,0.0,1.0" for number in range(30)))
    counts = {}
    for share in (1.0, 0.4, 0.1, 0.0):
        report, _ = extract_folder(folder, tmp_path / f"{share}.db", background=share)
        counts[share] = report.background_windows
        assert report.windows - report.background_windows == 30 * 4
    assert counts[1.0] == 30 * 3  # those that start at 1, 1.25 and 1.5 s
    assert counts[0.4] == pytest.approx(36, abs=12)
    assert counts[0.1] == pytest.approx(9, abs=8.5)  # some, though no recording has ten
    assert counts[0.0] == 0


def test_recordings_without_annotations_are_named_and_left_out(folder, database):
    lines = (folder / "annotations.csv").read_text().splitlines()
    (folder / "annotations.csv").write_text("\n".join(line for line in lines if not line.startswith("r03")) + "\n")
    report, problems = extract(folder, database)
    assert report.recordings == 4
    assert [problem for problem in problems if "r03.wav" in problem.subject and problem.lost]


def test_event_after_the_end_labels_nothing_and_is_named(folder, database):
    annotate(folder, "r00,low,0.0,1.0", "r00,mid,7.0,8.0", "r00,low,2.5,9.0")
    report, problems = extract(folder, database)
    assert report.windows_per_class["mid"] == 0
    (after,) = [problem for problem in problems if "mid" in problem.fault]
    assert after.lost and "7 to 8 s" in after.fault and "3.00 s" in after.fault
    (cut,) = [problem for problem in problems if "low" in problem.fault]
    assert not cut.lost
    assert report.warnings == [str(problem) for problem in problems]


def test_event_behind_the_last_window_labels_nothing_and_is_named(folder, database):
    samples, _ = tones(0, 3.2, ("low",))  # windows of 0.5 s: the last 0.2 s are in none
    soundfile.write(folder / "recordings/r00.wav", samples, RATE)
    annotate(folder, "r00,low,0.0,1.0", "r00,high,2.9,3.2", "r00,mid,3.05,3.2")
    report, problems = extract(folder, database, overlap=0.0)
    assert report.windows_per_class["mid"] == 0 < report.windows_per_class["high"]
    (behind,) = [problem for problem in problems if "r00" in problem.subject]
    assert behind.lost and "mid at 3.05 to 3.2 s lies behind the last window" in behind.fault


def test_bytes_of_the_database_depend_neither_on_workers_nor_folder_nor_interruptions(tmp_path):
    folder = write_data_set(tmp_path / "set", 40, seconds=2.0)
    (folder / "classes.csv").write_text("name\nhigh\nlow\nmid\n")
    (folder / "recordings/r07.wav").write_bytes(b"nothing that sounds")
    for workers in (1, 3):
        extract_folder(folder, tmp_path / f"{workers}.db", workers=workers)
    shutil.copytree(folder, tmp_path / "elsewhere/other")
    extract_folder(tmp_path / "elsewhere/other", tmp_path / "elsewhere/training.db")
    for include in ("r0*", "r[01]*", None):  # as if interrupted twice
        extract_folder(folder, tmp_path / "resumed.db", include=include)
    content = (tmp_path / "1.db").read_bytes()
    for name in ("3.db", "elsewhere/training.db", "resumed.db"):
        assert (tmp_path / name).read_bytes() == content, name


def test_bytes_of_the_database_follow_from_its_content_and_not_from_its_history(folder, tmp_path, database):
    extract_folder(folder, tmp_path / "fresh.db")
    fresh = (tmp_path / "fresh.db").read_bytes()
    extract_folder(folder, database)
    extract_folder(folder, database, overlap=0.0)
    extract_folder(folder, database)
    assert database.read_bytes() == fresh  # a setting was changed and set back
    write_data_set(folder, 7)
    extract_folder(folder, database)
    assert database.read_bytes() != fresh
    for name in ("r05", "r06"):
        (folder / f"recordings/{name}.wav").unlink()
    annotations = (folder / "annotations.csv").read_text().splitlines(keepends=True)
    (folder / "annotations.csv").write_text("".join(line for line in annotations if line[:3] not in ("r05", "r06")))
    extract_folder(folder, database)
    assert database.read_bytes() == fresh  # recordings were added and removed
    (folder / "recordings/r00.wav").rename(tmp_path / "r00.wav")
    extract_folder(folder, database)
    (tmp_path / "r00.wav").rename(folder / "recordings/r00.wav")
    extract_folder(folder, database)
    assert database.read_bytes() == fresh  # the first one was removed and added again


def test_an_open_session_writes_no_more_once_the_stage_has_renumbered_the_rows(folder, database):
    extract_folder(folder, database)
    with TrainingDatabase(database) as session:
        source = session.get_source()[0].id
        extract_folder(folder, database)  # which changes nothing
        session.insert_recording(source, "x.wav", "x.wav", 1.0)
        extract_folder(folder, database, overlap=0.0)
        uses = (
            lambda: session.insert_recording(source, "y.wav", "y.wav", 1.0),
            session.get_recording,
            lambda: session.delete_source({"ID": source}),
            session.optimize,
        )
        for use in uses:
            with pytest.raises(EarshotError, match="has renumbered its rows since it was opened; open it again"):
                use()
    with TrainingDatabase(database) as session:
        assert [row.filename for row in session.get_recording({"Key": None})] == ["x.wav"]
        session.insert_recording(session.get_source()[0].id, "y.wav", "y.wav", 1.0)


def test_an_extractor_that_was_made_before_the_stage_ran_inserts_nothing_under_other_classes(
    folder, database, tmp_path
):
    extract_folder(folder, database)
    with TrainingDatabase(database) as session:
        cfg = Settings(audio=AUDIO, extract=EXTRACT, infer={"overlap": 0.0})
        first, last = (Extractor(session, name, cfg=cfg) for name in ("aaa", "zzz"))
        last.extract_all(folder / "recordings/r00.wav")
        extract_folder(folder, database)
        with pytest.raises(EarshotError, match="open it again"):
            first.extract_all(folder / "recordings/r01.wav")
    with TrainingDatabase(database) as session:
        assert {row.filename for row in session.get_recording({"Key": None})} == {"r00.wav"}


def test_an_interrupted_extraction_cannot_be_trained_with(folder, tmp_path, database):
    extract_folder(folder, database)
    code = f"""
import os, signal
from lib.core import incremental
from tests.training_data.builders import *
from tests.training_data import builders
from lib.training_data import extraction

incremental.COMMIT_SECONDS = 0.0
write = extraction._WindowStore.write
n = 0
def dies_at_the_third(*arguments):
    global n
    n += 1
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)
extraction._WindowStore.write = dies_at_the_third
builders.AUDIO = AUDIO.model_copy(update={{"db_power": 2.0}})
extract_folder(Path({str(folder)!r}), Path({str(database)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(EarshotError, match="group default is not complete, since the extract stage was interrupted"):
        StoredWindows(database)
    extract_folder(folder, database)
    extract_folder(folder, tmp_path / "fresh.db")
    assert database.read_bytes() == (tmp_path / "fresh.db").read_bytes() and len(StoredWindows(database))


def test_windows_inserted_by_hand_take_the_place_of_those_of_the_stage(folder, tmp_path, database):
    (folder / "classes.csv").write_text("name\nhigh\nlow\nmid\n")
    annotate(folder, "r00,low,1.0,1.5", "r01,mid,0.5,1.0")
    extract_folder(folder, database)
    before = windows_of(database, "r00")
    assert before[0.0] == [set()] and before[1.0] == [{"low"}] and set(before) == set(np.arange(11) / 4)

    insert(folder, database, "high", 1.0, 2.1)
    expected = before | {1.0: [{"low", "high"}], 2.1: [{"high"}]}
    for offset in (1.75, 2.0, 2.25, 2.5):  # background that overlaps the window at 2.1 s
        del expected[offset]
    assert windows_of(database, "r00") == expected
    for _ in range(2):
        extract_folder(folder, database)
        assert windows_of(database, "r00") == expected
    extract_folder(folder, database, overlap=0.0)
    assert {1.0: [{"low", "high"}], 2.1: [{"high"}]}.items() <= windows_of(database, "r00").items()
    with TrainingDatabase(database) as db:
        db.delete_recording({"Key": None})
    extract_folder(folder, database)
    assert windows_of(database, "r00") == before
    extract_folder(folder, tmp_path / "fresh.db")
    assert dump(database) == dump(tmp_path / "fresh.db")


def test_classes_that_windows_inserted_by_hand_have_of_the_annotations_go_with_these(folder, tmp_path, database):
    (folder / "classes.csv").write_text("name\nhigh\nlow\nmid\n")
    annotate(folder, "r00,low,1.0,1.5", "r00,mid,2.5,3.0", "r01,mid,0.5,1.0")
    extract_folder(folder, database)
    insert(folder, database, "owl", 1.0)
    insert(folder, database, "owl", 1.0)  # twice, once the annotated window is gone
    assert windows_of(database, "r00")[1.0] == [{"low", "owl"}]
    insert(folder, database, "low", 1.0)  # by hand, too
    annotate(folder, "r00,mid,2.5,3.0", "r01,mid,0.5,1.0")
    extract_folder(folder, database)
    assert windows_of(database, "r00")[1.0] == [{"low", "owl"}]
    with TrainingDatabase(database) as db:
        db.delete_class({"Name": "low"})
    annotate(folder, "r00,high,1.0,1.5", "r01,mid,0.5,1.0")
    extract_folder(folder, database)
    assert windows_of(database, "r00")[1.0] == [{"high", "owl"}]
    annotate(folder, "r01,mid,0.5,1.0")  # the recording is not annotated any more
    extract_folder(folder, database)
    assert windows_of(database, "r00") == {1.0: [{"owl"}]}
    annotate(folder, "r00,high,1.0,1.5", "r01,mid,0.5,1.0")
    extract_folder(folder, database)
    with TrainingDatabase(database) as db:
        db.delete_class({"Name": "owl"})
    extract_folder(folder, database)
    extract_folder(folder, tmp_path / "fresh.db")
    assert windows_of(database, "r00") == windows_of(tmp_path / "fresh.db", "r00")


def insert(folder, database, class_name: str, *offsets: float) -> None:
    with TrainingDatabase(database) as db:
        settings = Settings().model_copy(update={"audio": AUDIO, "extract": EXTRACT})
        Extractor(db, class_name, cfg=settings).insert_spectrograms(folder / "recordings/r00.wav", offsets)


def windows_of(database, recording):
    """The classes of the windows of a recording, by offset; the windows of a database that training uses."""
    windows, found = StoredWindows(database), {}
    with sqlite3.connect(database) as connection:
        offsets = connection.execute(
            "SELECT s.Offset FROM Segment s JOIN Recording r ON r.ID = s.RecordingID"
            " JOIN SpecValue v ON v.SegmentID = s.ID ORDER BY r.Name, s.Offset"
        ).fetchall()
    for index, (offset,) in enumerate(offsets):
        if windows.recordings[windows.recording[index]] == recording:
            found.setdefault(offset, []).append(set(windows.classes["name"][windows.labels[index]]))
    return found


def test_an_extraction_that_resumes_with_other_settings_keeps_nothing_of_the_first(folder, tmp_path, database):
    extract_folder(folder, database, include="r0[0-2]", overlap=0.0, background=0.5)  # as if interrupted
    report, n_new = extract_folder(folder, database)
    assert n_new == 5
    assert report == extract_folder(folder, tmp_path / "fresh.db")[0]
    assert dump(database) == dump(tmp_path / "fresh.db")


def test_rows_do_not_depend_on_how_the_database_came_about(tmp_path, database):
    folder = write_data_set(tmp_path / "set", 10)
    first, _ = extract_folder(folder, database)
    write_data_set(folder, 14)
    second, n_new = extract_folder(folder, database)
    assert n_new == 4
    fresh, n_all = extract_folder(folder, tmp_path / "fresh.db")
    assert n_all == 14
    assert dump(database) == dump(tmp_path / "fresh.db")
    assert second == fresh

    annotations = (folder / "annotations.csv").read_text()
    assert "r05,mid" in annotations
    (folder / "annotations.csv").write_text(annotations.replace("r05,mid", "r05,high"))
    changed, n_new = extract_folder(folder, database)
    assert n_new == 1
    assert changed.digest != fresh.digest
    (folder / "annotations.csv").write_text(annotations)
    assert extract_folder(folder, database) == (fresh, 1)
    assert dump(database) == dump(tmp_path / "fresh.db")

    for number in range(10, 14):
        (folder / f"recordings/r{number:02}.wav").unlink()
    write_data_set(folder, 10)
    assert extract_folder(folder, database) == (first, 0)
    extract_folder(folder, tmp_path / "ten.db")
    assert dump(database) == dump(tmp_path / "ten.db")


def test_rows_follow_settings_classes_and_content(folder, database, tmp_path):
    extract_folder(folder, database)
    steps = [
        lambda: (folder / "classes.csv").write_text("name,code,category\nhigh,HI,flute\nlow,LO,bass\nmid,MI,\n"),
        lambda: (folder / "classes.csv").write_text("name,code\nhigh,HI\nlow,LOW\nmid,MI\nnew,NE\n"),
        lambda: silence(folder, "r02"),
        lambda: (folder / "recordings/r03.wav").rename(folder / "recordings/r03.flac"),
    ]
    for number, step in enumerate(steps):
        step()
        report, _ = extract_folder(folder, database)
        fresh, _ = extract_folder(folder, tmp_path / f"{number}.db")
        assert report == fresh
        assert dump(database) == dump(tmp_path / f"{number}.db")
    _, n_new = extract_folder(folder, database, min_seconds=0.3)
    assert n_new == 5


@pytest.mark.parametrize(
    ("before", "after", "n_expected"),
    [
        ("background_due >= 1", "background_due > 1", 2),
        ('"ClassID": self._ids.classes[name]', '"ClassID": max(self._ids.classes.values())', 2),
        ("The windows of a recording that are stored", "All that is stored of a recording", 0),
    ],
)
def test_recordings_are_extracted_again_once_the_code_that_makes_their_rows_changes(
    tmp_path, database, monkeypatch, before, after, n_expected
):
    folder = write_data_set(tmp_path / "set", 2)
    extract_folder(folder, database)
    shutil.copytree(code_digest.PROJECT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "lib/training_data/extraction.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    monkeypatch.setattr(code_digest, "PROJECT", tmp_path)
    for name in ("_known_digest", "_module"):  # which remember the project's own code
        monkeypatch.setattr(code_digest, name, cache(getattr(code_digest, name).__wrapped__))
    assert extract_folder(folder, database)[1] == n_expected


def insert_by_hand(folder, database, class_name="owl", name="by_hand.wav"):
    """A recording of one window, as Extractor puts it into the database."""
    path = folder.parent / name
    soundfile.write(path, tones(99, 0.5, ("low",))[0], RATE)
    sections = {"audio": AUDIO.model_dump(), "extract": EXTRACT.model_dump(), "infer": {"overlap": 0.0}}
    settings = Settings.model_validate(sections)
    with TrainingDatabase(database) as db:
        Extractor(db, class_name, cat_name="birds", cfg=settings).extract_all(path)


def test_recordings_inserted_by_hand_stay_and_change_nothing_of_the_others(folder, database, tmp_path):
    insert_by_hand(folder, database)
    insert_by_hand(folder, database, name="r01.wav")  # called like one of the data set
    report, n_new = extract_folder(folder, database)
    assert n_new == 5 and report.windows_per_class["owl"] == 2 and report.recordings == 7
    assert extract_folder(folder, database) == (report, 0)
    with TrainingDatabase(database) as db:
        (owl, *_) = db.get_spectrogram_by_class("owl")
        db.insert_segment_class(owl.segment_id, db.get_class({"Name": "low"})[0].id)
    changed, _ = extract_folder(folder, database)
    assert changed.digest != report.digest != extract_folder(folder, tmp_path / "without.db")[0].digest
    (folder / "recordings/r01.wav").write_bytes(b"")
    (folder / "recordings/r02.wav").write_bytes(b"no longer")
    extract_folder(folder, database)
    extract_folder(folder, tmp_path / "fresh.db")
    rows, fresh = dump(database), dump(tmp_path / "fresh.db")
    assert set(fresh) - set(rows) <= {row for row in fresh if len(row) == 1}  # all rows, apart from counts
    with TrainingDatabase(database) as db:
        assert sorted(row.name for row in db.get_recording({"Key": None})) == ["by_hand", "r01"]
        assert len(db.get_spectrogram_by_class("owl")) == 2
        assert db.get_recording_count({"Key": ""}) == 0
    StoredWindows(database).spectrograms(np.arange(3))


def test_spectrograms_inserted_by_hand_with_other_settings_stop_the_extraction(folder, database):
    insert_by_hand(folder, database)
    before = database.read_bytes()
    with pytest.raises(EarshotError, match=r"1 spectrogram .* --spec_group default --replace"):
        extract_windows(contents_of(folder), AUDIO.model_copy(update={"spec_height": 24}), EXTRACT, database)
    assert database.read_bytes() == before


def test_neither_opening_the_database_nor_a_second_run_changes_a_byte(folder, database):
    (folder / "classes.csv").write_text("name,code,category\nhigh,HI,flute\nlow,LO,bass\nmid,MI,bass\n")
    extract_folder(folder, database)
    before = database.read_bytes()
    with TrainingDatabase(database) as db:
        assert db.get_recording_count() == 5
    assert database.read_bytes() == before
    report, n_new = extract_folder(folder, database)
    assert n_new == 0 and report.windows > 0
    assert database.read_bytes() == before


def test_file_that_cannot_be_read_is_named_and_the_others_are_in(folder, database):
    (folder / "recordings/r01.wav").write_bytes(b"")
    content = (folder / "recordings/r02.wav").read_bytes()
    (folder / "recordings/r02.wav").write_bytes(random.Random(1).randbytes(len(content)))
    for _ in range(2):
        report, problems = extract(folder, database)
        assert [entry["recording"] for entry in report.failed] == ["r01", "r02"]
        assert "empty" in report.failed[0]["reason"]
        assert report.recordings == 3
        assert [problem.subject for problem in problems] == [str(folder / f"recordings/r0{i}.wav") for i in (1, 2)]
        assert all(problem.lost for problem in problems)


def test_recording_that_is_no_longer_readable_leaves_the_database(folder, database):
    extract_folder(folder, database)
    (folder / "recordings/r01.wav").write_bytes(b"")
    report, n_new = extract_folder(folder, database)
    assert (report.recordings, n_new) == (4, 0)


def test_problems_of_unchanged_recordings_are_reported_again(folder, database):
    content = (folder / "recordings/r01.wav").read_bytes()
    (folder / "recordings/r01.wav").write_bytes(content[: len(content) // 2])
    silence(folder, "r02")
    first, problems = extract(folder, database)
    assert {problem.subject[-7:] for problem in problems} == {"r01.wav", "r02.wav"}
    assert any("silent" in problem.fault for problem in problems)
    assert extract(folder, database) == (first, problems)


def test_strict_stops_at_what_is_lost_and_names_it_but_not_at_what_is_only_unusual(folder, database):
    silence(folder, "r02")
    assert extract_folder(folder, database, strict=True)[0].warnings
    (folder / "recordings/r01.wav").write_bytes(b"")
    with pytest.raises(EarshotError, match=r"r01\.wav: the file is empty.*\n.*extract\.strict"):
        extract_folder(folder, database, strict=True)


def test_data_set_without_any_window_is_an_error_that_tells_why(folder, database):
    for path in (folder / "recordings").iterdir():
        path.write_bytes(b"")
    with pytest.raises(EarshotError, match=r"r04\.wav: the file is empty.*\n.*training\.db: no window"):
        extract_folder(folder, database)


def test_file_that_is_no_database_is_named_in_one_line(folder, database):
    database.write_bytes(random.Random(1).randbytes(5000))
    with pytest.raises(EarshotError) as caught:
        extract_folder(folder, database)
    assert str(caught.value).startswith(f"{database}: ")
    assert "\n" not in str(caught.value)


def test_a_recording_much_shorter_than_a_window_is_used_and_named(folder, database):
    soundfile.write(folder / "recordings/r02.wav", np.full(4, 0.1), RATE)
    annotate(folder, "r00,low,0.0,1.0", "r02,low,0.0,inf")
    report, problems = extract(folder, database)
    (short,) = [problem for problem in problems if "tenth of a window" in problem.fault]
    assert short.subject.endswith("r02.wav") and not short.lost and report.recordings == 2


def test_extract_makes_the_stage_s_database_of_a_folder_or_of_recordings_and_a_table(folder, tmp_path, capsys):
    cfg = Settings(audio=AUDIO, extract=EXTRACT, infer=InferSettings(overlap=0.25))
    (tmp_path / "table.csv").write_text((folder / "annotations.csv").read_text() + "nowhere,high,0,1\n")
    of_folder = lib.extract(folder, database=tmp_path / "folder.db", cfg=cfg)
    assert capsys.readouterr().err == ""
    of_table = lib.extract(folder / "recordings", tmp_path / "table.csv", tmp_path / "table.db", cfg)
    assert "table.csv:" in (warning := capsys.readouterr().err) and "no such recording (nowhere, high)" in warning
    assert extract(folder, tmp_path / "stage.db")[0] == of_folder
    assert of_table.windows_per_class == of_folder.windows_per_class and of_table.windows == of_folder.windows > 0
    with pytest.raises(EarshotError, match="no such folder"):
        lib.extract(tmp_path / "none", database=tmp_path / "none.db", cfg=cfg)


def test_asking_for_sound_reads_recordings_again_and_doing_without_drops_it(folder, database, tmp_path):
    extract(folder, database)
    without = database.read_bytes()
    report, n_new = extract_folder(folder, database, sound=True)
    assert n_new == 5 and report.digest != extract(folder, tmp_path / "without.db")[0].digest
    assert extract_folder(folder, database, sound=True)[1] == 0
    extract_folder(folder, tmp_path / "several.db", sound=True, workers=3)
    assert database.read_bytes() == (tmp_path / "several.db").read_bytes()
    with sqlite3.connect(database) as connection:
        rates = connection.execute("SELECT DISTINCT SamplingRate, Audio IS NULL FROM Segment").fetchall()
    assert rates == [(RATE, 0)]
    assert extract_folder(folder, database)[1] == 5
    assert database.read_bytes() == without


def test_windows_of_the_clips_that_a_table_lists_are_extracted(folder, database):
    table = folder / "recordings/hello.csv"
    table.write_text("file,high,low\nr00.wav,1,0\nr01.wav,0,1\n")
    data_set = read_data_set(DataSetSettings(path=str(table), format="csv"))
    _, _, problems = extract_windows(data_set, AUDIO, EXTRACT, database)
    assert problems == []
    windows = StoredWindows(database)
    assert list(windows.classes["name"]) == ["high", "low"] and list(windows.recordings) == ["r00", "r01"]
    assert windows.labels.sum(axis=1).tolist() == [1] * len(windows.labels)
