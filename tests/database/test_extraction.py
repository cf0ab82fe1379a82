import random
import sqlite3

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from lib.config import Settings
from lib.database.extraction import extract, label_windows
from lib.database.extractor import Extractor
from lib.database.stored_windows import StoredWindows
from lib.database.training_database import TrainingDatabase
from lib.errors import EarshotError
from tests.database.builders import (
    AUDIO,
    EXTRACT,
    RATE,
    contents_of,
    dump,
    extract_folder,
    extract_problems,
    tones,
    write_data_set,
)


@pytest.fixture
def folder(tmp_path):
    return write_data_set(tmp_path / "set", 5)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "training.db"


def annotate(folder, *lines):
    (folder / "annotations.csv").write_text("\n".join(["recording,class,start_time,end_time", *lines]) + "\n")


def test_window_gets_a_label_when_enough_of_the_event_lies_in_it():
    events = np.array([[2.7, 5.0], [2.8, 2.9], [3.2, np.inf]])
    labelled, empty = label_windows(np.array([0.0, 1.5, 3.0, 6.0]), 3.0, events, 0.3)
    assert labelled.tolist() == [
        [True, True, False],  # exactly 0.3 s of the first, all of the second, which is shorter, and none of the third
        [True, True, True],
        [True, False, True],
        [False, False, True],
    ]
    assert not empty.any()


def test_window_that_an_event_only_touches_has_neither_label_nor_rest():
    labelled, empty = label_windows(np.array([0.0, 3.0, 6.0]), 3.0, np.array([[2.9, 5.0]]), 0.3)
    assert labelled.ravel().tolist() == [False, True, False]
    assert empty.tolist() == [False, False, True]


def test_event_without_duration_labels_no_window():
    labelled, empty = label_windows(np.array([0.0, 3.0]), 3.0, np.array([[3.0, 3.0]]), 0.3)
    assert not labelled.any()
    assert empty.all()


milliseconds = st.integers(0, 5000)
events_in_ms = st.lists(st.tuples(milliseconds, st.integers(1, 3000)).map(lambda e: (e[0], e[0] + e[1])), max_size=4)


@given(st.integers(200, 3000), st.integers(100, 1000), events_in_ms, st.integers(1, 1500))
def test_labels_follow_their_definition(length, hop, events, needed):
    starts = range(0, 6000, hop)
    array = np.array(events, float).reshape(-1, 2) / 1000
    labelled, empty = label_windows(np.array(starts) / 1000, length / 1000, array, needed / 1000)
    for i, start in enumerate(starts):
        inside = [len(range(max(start, first), min(start + length, last))) for first, last in events]
        expected = [n >= needed or n == last - first for n, (first, last) in zip(inside, events, strict=True)]
        assert labelled[i].tolist() == expected
        assert empty[i] == (sum(inside) == 0)


def test_report_counts_what_the_events_imply(tmp_path, database):
    folder = write_data_set(tmp_path / "set", 2, seconds=3.0)
    annotate(folder, "r00,low,1.0,1.5", "r01,mid,0.0,0.1", "r01,low,0.0,0.25")
    report, n_new = extract_folder(folder, database)
    # windows of 0.5 s every 0.25 s: 11 a recording. r00: 0.75, 1.0, 1.25 hold 0.2 s or more of it, none holds less.
    # r01: 0.0 holds both, and no other window any of them.
    assert (n_new, report.recordings, report.windows) == (2, 2, 22)
    assert report.windows_per_class == {"low": 4, "mid": 1}
    assert report.background_windows == 8 + 10
    assert report.failed == [] and report.warnings == []


def test_windows_that_hold_too_little_of_an_event_are_not_stored(folder, database):
    annotate(folder, "r00,low,1.0,1.1", "r00,mid,1.45,2.0")
    report, _ = extract_folder(folder, database, include="r00")
    with sqlite3.connect(database) as connection:
        stored = {offset for (offset,) in connection.execute("SELECT Offset FROM Segment")}
    assert 1.0 in stored and 1.25 in stored  # all of low; 0.3 s of mid
    assert report.windows == 11
    annotate(folder, "r00,low,1.0,1.7", "r00,mid,2.45,3.0")
    report, _ = extract_folder(folder, database, include="r00")
    with sqlite3.connect(database) as connection:
        stored = {offset for (offset,) in connection.execute("SELECT Offset FROM Segment")}
    assert 2.0 not in stored  # 0.05 s of mid
    assert 2.25 in stored


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
    report, problems = extract_problems(folder, database)
    assert report.recordings == 4
    assert [problem for problem in problems if "r03.wav" in problem.subject and problem.lost]


def test_event_behind_the_end_labels_nothing_and_is_named(folder, database):
    annotate(folder, "r00,low,0.0,1.0", "r00,mid,7.0,8.0", "r00,low,2.5,9.0")
    report, problems = extract_problems(folder, database)
    assert report.windows_per_class["mid"] == 0
    (behind,) = [problem for problem in problems if "mid" in problem.reason]
    assert behind.lost and "7 to 8 s" in behind.reason and "3.00 s" in behind.reason
    (cut,) = [problem for problem in problems if "low" in problem.reason]
    assert not cut.lost
    assert report.warnings == [str(problem) for problem in problems]


def test_database_does_not_depend_on_the_number_of_workers(tmp_path):
    folder = write_data_set(tmp_path / "set", 40, seconds=2.0)
    (folder / "recordings/r07.wav").write_bytes(b"nothing that sounds")
    for workers in (1, 2, 5):
        extract_folder(folder, tmp_path / f"{workers}.db", workers=workers)
    content = (tmp_path / "1.db").read_bytes()
    assert content == (tmp_path / "2.db").read_bytes() == (tmp_path / "5.db").read_bytes()


def test_rows_do_not_depend_on_how_the_database_came_about(tmp_path):
    folder = write_data_set(tmp_path / "set", 10)
    database = tmp_path / "grown.db"
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
    back, n_new = extract_folder(folder, database)
    assert (n_new, back) == (1, fresh)
    assert dump(database) == dump(tmp_path / "fresh.db")

    for number in range(10, 14):
        (folder / f"recordings/r{number:02}.wav").unlink()
    write_data_set(folder, 10)
    shrunk, n_new = extract_folder(folder, database)
    assert (n_new, shrunk) == (0, first)
    extract_folder(folder, tmp_path / "ten.db")
    assert dump(database) == dump(tmp_path / "ten.db")


def test_rows_follow_settings_classes_and_content(folder, database, tmp_path):
    extract_folder(folder, database)
    steps = [
        lambda: (folder / "classes.csv").write_text("name,code,category\nhigh,HI,flute\nlow,LO,bass\nmid,MI,\n"),
        lambda: (folder / "classes.csv").write_text("name,code\nhigh,HI\nlow,LOW\nmid,MI\nnew,NE\n"),
        lambda: soundfile.write(folder / "recordings/r02.wav", np.zeros(3 * RATE), RATE),
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
    ours, fresh = dump(database), dump(tmp_path / "fresh.db")
    assert set(fresh) - set(ours) <= {row for row in fresh if len(row) == 1}  # all rows, apart from counts
    with TrainingDatabase(database) as db:
        assert sorted(row.name for row in db.get_recording({"Key": None})) == ["by_hand", "r01"]
        assert len(db.get_spectrogram_by_class("owl")) == 2
        assert db.get_recording_count({"Key": ""}) == 0
    StoredWindows(database).spectrograms(np.arange(3))


def test_spectrograms_inserted_by_hand_with_other_settings_stop_the_extraction(folder, database):
    insert_by_hand(folder, database)
    before = database.read_bytes()
    with pytest.raises(EarshotError, match=r"1 spectrograms .* --spec_group default --replace"):
        extract(contents_of(folder), AUDIO.model_copy(update={"spec_height": 24}), EXTRACT, database)
    assert database.read_bytes() == before


def test_opening_the_database_by_hand_leaves_it_as_it_was(folder, database):
    (folder / "classes.csv").write_text("name,code,category\nhigh,HI,flute\nlow,LO,bass\nmid,MI,bass\n")
    extract_folder(folder, database)
    before = database.read_bytes()
    with TrainingDatabase(database) as db:
        assert db.get_recording_count() == 5
    assert database.read_bytes() == before


def test_second_run_changes_no_byte(folder, database):
    extract_folder(folder, database)
    before = database.read_bytes()
    report, n_new = extract_folder(folder, database)
    assert n_new == 0 and report.windows > 0
    assert database.read_bytes() == before


def test_file_that_cannot_be_read_is_named_and_the_others_are_in(folder, database):
    (folder / "recordings/r01.wav").write_bytes(b"")
    content = (folder / "recordings/r02.wav").read_bytes()
    (folder / "recordings/r02.wav").write_bytes(random.Random(1).randbytes(len(content)))
    for _ in range(2):
        report, problems = extract_problems(folder, database)
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


def test_oddities_of_unchanged_recordings_are_told_again(folder, database):
    content = (folder / "recordings/r01.wav").read_bytes()
    (folder / "recordings/r01.wav").write_bytes(content[: len(content) // 2])
    soundfile.write(folder / "recordings/r02.wav", np.zeros(3 * RATE), RATE)
    first, problems = extract_problems(folder, database)
    assert {problem.subject[-7:] for problem in problems} == {"r01.wav", "r02.wav"}
    assert any("silent" in problem.reason for problem in problems)
    again, problems_again = extract_problems(folder, database)
    assert problems_again == problems
    assert again == first


def test_strict_stops_at_what_is_lost_and_names_it(folder, database):
    extract_folder(folder, database, strict=True)
    (folder / "recordings/r01.wav").write_bytes(b"")
    with pytest.raises(EarshotError, match=r"r01\.wav: the file is empty.*\n.*extract\.strict"):
        extract_folder(folder, database, strict=True)


def test_strict_lets_pass_what_is_only_odd(folder, database):
    soundfile.write(folder / "recordings/r02.wav", np.zeros(3 * RATE), RATE)
    report, _ = extract_folder(folder, database, strict=True)
    assert report.warnings


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


def test_a_recording_that_is_hardly_one_is_used_and_named(folder, database):
    soundfile.write(folder / "recordings/r02.wav", np.full(4, 0.1), RATE)
    annotate(folder, "r00,low,0.0,1.0", "r02,low,0.0,inf")
    report, problems = extract_problems(folder, database)
    (short,) = [problem for problem in problems if "tenth of a window" in problem.reason]
    assert short.subject.endswith("r02.wav") and not short.lost and report.recordings == 2
