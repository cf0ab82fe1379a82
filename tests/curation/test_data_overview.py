import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from lib.config.schema import DataSetSettings
from lib.curation.data_overview import annotations_overview, seconds_together, summarize
from lib.formats.data_sets import read_data_set
from lib.sound.decisions import Decision, append_decisions

RATE = 1000


def data_set(folder, lines, durations):
    (folder / "recordings").mkdir(parents=True)
    for name, seconds in durations.items():
        soundfile.write(folder / f"recordings/{name}.wav", np.zeros(round(seconds * RATE)), RATE)
    (folder / "annotations.csv").write_text("recording,class,start_time,end_time\n" + "\n".join(lines) + "\n")
    (folder / "classes.csv").write_text("name\nWren\nToad\nCrow\n")
    return read_data_set(DataSetSettings(path=str(folder)))


@pytest.fixture
def contents(tmp_path):
    lines = ["a,Wren,0,2", "a,Wren,1,4", "a,Toad,3,5", "b,Toad,0.5,1.5", "b,Toad,8,99"]
    return data_set(tmp_path / "set", lines, {"a": 10.0, "b": 10.0, "c": 5.0})


def test_classes_are_summed_up_and_all_named(contents):
    summary, problems = summarize(contents)
    assert problems == []
    assert list(summary.classes.columns) == [
        *("class", "events", "recordings", "seconds", "shortest", "median", "longest"),
    ]
    crow, toad, wren = summary.classes.values.tolist()
    assert toad == ["Toad", 3, 2, 5.0, 1.0, 2.0, 2.0]  # the last ends with its recording
    assert wren == ["Wren", 2, 1, 5.0, 2.0, 2.5, 3.0]
    assert crow[:4] == ["Crow", 0, 0, 0.0] and np.isnan(crow[4:]).all()


def test_what_was_decided_is_counted(contents, tmp_path):
    decisions = tmp_path / "decisions.csv"
    append_decisions(decisions, [Decision("a", 0, 6, "Wren", "relabel", "Crow"), Decision("x", 0, 3, "Wren", "accept")])
    text, tables, problems = annotations_overview(str(contents.folder), decisions=str(decisions))
    assert problems == [] and "after decisions about 1 recording\n" in text
    assert dict(tables["annotation_summary"][["class", "events"]].values) == {"Crow": 2, "Toad": 3, "Wren": 0}


def test_recordings_are_listed_with_what_they_hold(contents):
    summary, _ = summarize(contents)
    assert list(summary.recordings.columns) == ["recording", "duration", "classes", "events", "annotated"]
    assert summary.recordings.values.tolist() == [["a", 10.0, 2, 3, 5.0], ["b", 10.0, 1, 2, 3.0], ["c", 5.0, 0, 0, 0.0]]
    assert summary.details.values.tolist() == [["a", "Toad", 1, 2.0], ["a", "Wren", 2, 5.0], ["b", "Toad", 2, 3.0]]


def test_classes_that_occur_together(contents):
    summary, _ = summarize(contents)
    assert summary.together.values.tolist() == [["Toad", "Wren", 1, 1.0]]  # from 3 to 4 s


def test_clips_of_one_class_last_as_long_as_their_files(tmp_path):
    (tmp_path / "Wren").mkdir()
    for number, seconds in enumerate((1.0, 2.0)):
        soundfile.write(tmp_path / f"Wren/{number}.wav", np.zeros(round(seconds * RATE)), RATE)
    summary, _ = summarize(read_data_set(DataSetSettings(path=str(tmp_path))))
    assert summary.classes.values.tolist() == [["Wren", 2, 2, 3.0, 1.0, 1.5, 2.0]]
    assert len(summary.together) == 0


def test_recording_that_cannot_be_read_is_named_and_its_events_count(tmp_path):
    contents = data_set(tmp_path / "set", ["a,Wren,0,2"], {"a": 10.0})
    contents.recordings["a"].write_bytes(b"")
    summary, (problem,) = summarize(contents)
    assert "a.wav" in problem.subject and "empty" in problem.fault
    assert summary.classes["seconds"].sum() == 2.0 and np.isnan(summary.recordings["duration"][0])


times = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=8)


@given(times, times)
def test_time_that_is_shared_is_counted_once(first, second):
    rows = [(name, a, a + n) for name, events in (("x", first), ("y", second)) for a, n in events]
    unknown = [("x", 0, np.inf), ("y", 0, np.inf)]  # both classes are there, but take no time
    table = pd.DataFrame([*rows, *unknown], columns=["class", "start_time", "end_time"])
    x, y = ({second for a, n in events for second in range(a, a + n)} for events in (first, second))
    classes, total, shared = seconds_together(table)
    assert list(classes) == ["x", "y"] and total == len(x | y)
    assert shared.tolist() == [[len(x), len(x & y)], [len(x & y), len(y)]]
