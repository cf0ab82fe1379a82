"""What extract makes of decisions: recordings that are annotated, and others of which only stretches are known."""

import shutil
import sqlite3

import pytest

from lib.config.schema import DataSettings
from lib.formats.data_sets import read_test_set, read_training_set
from lib.sound.decisions import Decision, append_decisions, last_decisions, undo_decisions
from lib.training_data.extraction import extract_windows
from tests.training_data.builders import AUDIO, EXTRACT, dump, write_data_set


@pytest.fixture
def data(tmp_path):
    """Two annotated recordings for training, r00 and r01; in data.reviewed others without annotations, u02 and u03."""
    write_data_set(tmp_path / "set", 2)
    write_data_set(tmp_path / "others", 4)
    (tmp_path / "reviewed").mkdir()
    for number in (2, 3):
        shutil.move(tmp_path / f"others/recordings/r0{number}.wav", tmp_path / f"reviewed/u0{number}.wav")
    paths = {"path": str(tmp_path / "set")}
    files = {"decisions": str(tmp_path / "decisions.csv"), "reviewed": str(tmp_path / "reviewed")}
    return DataSettings(train=paths, test=paths, **files)


def windows(data, database, **settings):
    """Extract; returns (recording, start, classes) of each window, and the faults that were found."""
    chosen = EXTRACT.model_copy(update={"background": 0.0} | settings)
    _, _, problems = extract_windows(read_training_set(data), AUDIO, chosen, database)
    query = """SELECT r.Name, s.Offset, group_concat(c.Name) FROM Segment s JOIN Recording r ON r.ID = s.RecordingID
        LEFT JOIN SegmentClass sc ON sc.SegmentID = s.ID LEFT JOIN Class c ON c.ID = sc.ClassID
        GROUP BY s.ID ORDER BY r.Name, s.Offset"""
    with sqlite3.connect(database) as connection:
        rows = {(name, start): classes or "" for name, start, classes in connection.execute(query)}
    return rows, {problem.fault for problem in problems}


def test_of_a_recording_without_annotations_only_what_was_judged_is_used(data, tmp_path):
    before, _ = windows(data, tmp_path / "training.db")
    assert {name for name, _ in before} == {"r00", "r01"}
    append_decisions(
        data.decisions, [Decision("u02", 0.5, 1.0, "high", "accept"), Decision("u03", 1, 2, "low", "reject")]
    )
    after, faults = windows(data, tmp_path / "training.db")
    added = {key: after[key] for key in after.keys() - before.keys()}
    background = {("u03", start): "" for start in (1.0, 1.25, 1.5)}
    assert added == {("u02", 0.5): "high"} | background and not faults
    assert before.items() <= after.items()


def test_an_accepted_stretch_that_is_shorter_than_a_window_gives_those_that_hold_it(data, tmp_path):
    append_decisions(data.decisions, [Decision("u02", 0.6, 0.7, "high", "accept")])
    after, _ = windows(data, tmp_path / "training.db")
    assert [start for name, start in after if name == "u02"] == [0.25, 0.5]


def test_stretches_that_were_judged_one_by_one_are_known_together(data, tmp_path):
    decisions = [Decision("u02", start, start + 0.5, "low", "reject") for start in (1.0, 1.5)]
    append_decisions(data.decisions, [*decisions, Decision("u03", 1.0, 1.1, "low", "reject")])
    after, _ = windows(data, tmp_path / "training.db")
    assert [start for name, start in after if name == "u02"] == [1.0, 1.25, 1.5]
    assert "u03" not in {name for name, _ in after}  # the rest of a window there is unknown


def test_a_class_that_was_relabelled_away_is_none_of_the_model(data):
    append_decisions(data.decisions, [Decision(name, 0, 9, "low", "relabel", "deep") for name in ("r00", "r01")])
    assert list(read_training_set(data).classes["name"]) == ["deep", "high", "mid"]


def test_a_rejected_annotation_becomes_background_and_comes_back_when_that_is_undone(data, tmp_path):
    before, _ = windows(data, tmp_path / "training.db")
    content = dump(tmp_path / "training.db")
    is_low = [start for (name, start), classes in before.items() if (name, classes) == ("r00", "low")]
    append_decisions(data.decisions, [Decision("r00", 0, 3, "low", "reject", by="me")])
    after, _ = windows(data, tmp_path / "training.db")
    assert is_low and all("low" not in after[name, start] for name, start in after if name == "r00")
    assert {after["r00", start] for start in is_low} <= {"", "high", "mid"}
    assert "" in after.values()
    undo_decisions(data.decisions, last_decisions(data.decisions, "me"))
    assert windows(data, tmp_path / "training.db")[0] == before
    assert dump(tmp_path / "training.db") == content


def test_a_recording_whose_annotations_were_all_rejected_is_known_to_be_silent(data, tmp_path):
    decisions = [Decision("r00", 0, 3, name, "reject") for name in ("high", "low", "mid")]
    append_decisions(data.decisions, decisions)
    after, faults = windows(data, tmp_path / "training.db")
    assert {classes for (name, _), classes in after.items() if name == "r00"} == {""} and not faults


def test_a_decision_that_changes_nothing_reads_no_other_recording_again(data, tmp_path):
    read = extract_windows(read_training_set(data), AUDIO, EXTRACT, tmp_path / "training.db")[1]
    append_decisions(data.decisions, [Decision("r01", 0, 3, "mid", "reject")])
    again = extract_windows(read_training_set(data), AUDIO, EXTRACT, tmp_path / "training.db")[1]
    assert (read, again) == (2, 1)


def test_a_class_that_only_a_decision_names_is_trained_unless_classes_are_listed(data, tmp_path):
    append_decisions(data.decisions, [Decision("u02", 0.5, 1.0, "siren", "accept")])
    after, faults = windows(data, tmp_path / "training.db")
    assert after["u02", 0.5] == "siren" and not faults
    (tmp_path / "set/classes.csv").write_text("name\nhigh\nlow\nmid\n")
    after, faults = windows(data, tmp_path / "training.db")
    assert ("u02", 0.5) not in after and faults == {"unknown class (u02, siren)"}


def test_a_reviewed_recording_that_is_called_as_one_of_training_is_named_and_left_out(data, tmp_path):
    shutil.copy(tmp_path / "reviewed/u02.wav", tmp_path / "reviewed/r00.wav")
    append_decisions(data.decisions, [Decision("r00", 0, 3, "low", "reject")])
    _, faults = windows(data, tmp_path / "training.db")
    assert faults == {f"{tmp_path / 'set'} has a recording of this name"}


def test_the_test_set_is_corrected_too(data):
    append_decisions(data.decisions, [Decision("r00", 0, 3, "low", "relabel", "mid")])
    annotations = read_test_set(data).annotations
    assert set(annotations.loc[annotations["recording"] == "r00", "class"]) == {"high", "mid"}
