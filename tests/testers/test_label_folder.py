import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.errors import DataSetError
from lib.testers.label_folder import read_label_folder
from tests.evaluation.example import write_results
from tests.evaluation.folders import write_labels, write_manifest


def rows(labels):
    """Recording, class, start and score of each label, sorted."""
    segments = labels.segments
    row, column = np.nonzero(segments.scores)
    names = ([segments.recordings[index] for index in segments.recording[row]], [labels.classes[i] for i in column])
    numbers = segments.start_time[row].tolist(), segments.scores[row, column].astype(float).round(4).tolist()
    return sorted(zip(*names, *numbers, strict=True))


@pytest.mark.parametrize("suffix", ["", "_scores", "_labels", ".BirdNET.results"])
def test_label_files_may_have_a_suffix_behind_the_name_of_a_known_recording(tmp_path, suffix):
    write_labels(tmp_path, {"site_1": [(0, "a", 0.5), (3, "a", 0.25)]}, suffix=suffix)
    assert rows(read_label_folder(tmp_path, ["site_1"])) == [("site_1", "a", 0, 0.5), ("site_1", "a", 3, 0.25)]


def test_of_unknown_recordings_only_scores_is_taken_for_a_suffix(tmp_path):
    write_labels(tmp_path, {"site_1": [(0, "a", 0.5)]})
    write_labels(tmp_path, {"site_2": [(0, "a", 0.5)]}, suffix="")
    assert {row[0] for row in rows(read_label_folder(tmp_path))} == {"site_1", "site_2"}


def test_other_programs_lines_and_frequencies_are_understood(tmp_path):
    text = "0\t3\tTurdus merula, Common Blackbird\t0.75\r\n\\\t100\t8000\n\n3\t6\tWren; winter;0.5\n"
    (tmp_path / "r.txt").write_text(text, newline="")
    assert rows(read_label_folder(tmp_path)) == [("r", "Common Blackbird", 0, 0.75), ("r", "Wren; winter", 3, 0.5)]


def test_a_table_goes_before_label_files(tmp_path):
    write_labels(tmp_path, {"007": [(0, "a", 0.5)]})
    header = "recording,name,start_time,end_time,score\n"
    (tmp_path / "scores.csv").write_text(header + "007,NA,0,3,0.9\n007,NA,1.5,4.5,0.001\n")
    (tmp_path / "recordings.csv").write_text("recording,seconds,status,reason\n007,60,ok,\nbad,,failed,empty\n")
    labels = read_label_folder(tmp_path)
    assert rows(labels) == [("007", "NA", 0, 0.9), ("007", "NA", 1.5, 0.001)]
    assert labels.seconds == {"007": 60} and labels.failed == {"bad": "empty"}
    assert (labels.segment_len, labels.overlap) == (3, 1.5)


def test_results_of_infer_go_before_a_table(tmp_path):
    scores = [("007", "b", 1.5, 0.9), ("007", "a", 0, 0.25)]
    with write_results(tmp_path, {"007": 6, "quiet": 3}, scores, failed={"bad": "is empty"}, overlap=1.5):
        pass
    (tmp_path / "scores.csv").write_text("recording,name,start_time,end_time,score\nx,NA,0,3,0.9\n")
    labels = read_label_folder(tmp_path, entries=[{"name": "a", "alt_name": "Ahorn"}, {"name": "z"}])
    assert rows(labels) == [("007", "a", 0, 0.25), ("007", "b", 1.5, 0.9)]
    segments = labels.segments
    assert segments.scores.dtype == np.float32 and segments.recordings == ["007", "quiet"]
    assert segments.recording.tolist() == [0, 0, 0, 1] and segments.end_time.tolist() == [3, 4.5, 6, 3]
    assert labels.classes == ["a", "b"] and labels.aliases == {"a": "a", "A": "a", "Ahorn": "a", "b": "b", "B": "b"}
    assert labels.seconds == {"007": 6, "quiet": 3} and labels.failed == {"bad": "is empty"}
    assert (labels.segment_len, labels.overlap, labels.is_complete, labels.problems) == (3, 1.5, True, [])


def test_recordings_that_results_lack_were_not_analyzed(tmp_path):
    with write_results(tmp_path, {"r": 6}):
        pass
    assert read_label_folder(tmp_path, {"r", "new"}).failed == {"new": "was not analyzed"}


def test_results_begin_where_infer_began(tmp_path):
    with write_results(tmp_path, {"r": 6}, start_seconds=2.0):
        pass
    labels = read_label_folder(tmp_path)
    assert labels.origin == 2 and labels.segments.start_time.tolist() == [2, 3.5, 5]


def test_labels_of_both_kinds_have_their_scores_in_the_order_of_the_classes(tmp_path):
    scores = [("r", "b", 0, 0.25), ("r", "a", 1.5, 0.5)]
    with write_results(tmp_path / "store", {"r": 4.5}, scores, classes=("b", "a")):
        pass
    write_labels(tmp_path / "text", {"r": [(0, "b", 0.25), (1.5, "a", 0.5)]})
    for folder in ("store", "text"):
        labels = read_label_folder(tmp_path / folder)
        assert labels.classes == ["a", "b"] and labels.segments.scores.tolist() == [[0, 0.25], [0.5, 0]]


def test_results_in_which_nothing_was_found_have_no_labels(tmp_path):
    with write_results(tmp_path, {"r": 6}):
        pass
    labels = read_label_folder(tmp_path)
    assert rows(labels) == [] and labels.classes == ["a", "b"]


def test_without_a_manifest_labels_tell_classes_length_and_overlap(tmp_path):
    write_labels(tmp_path, {"r": [(0, "b", 0.5), (2.5, "a", 0.1)], "s": [(0, "a", 0.1), (1.25, "a", 0.1)]}, length=5)
    labels = read_label_folder(tmp_path)
    assert (labels.classes, labels.segment_len, labels.overlap) == (["a", "b"], 5, 3.75)


@given(hop=st.sampled_from([0.25, 1 / 3, 0.5, 2 / 3, 1.0, 1.1]), n=st.integers(2, 900))
@settings(max_examples=20, deadline=None)
def test_rounded_times_do_not_add_up(tmp_path_factory, hop, n):
    folder = tmp_path_factory.mktemp("labels")
    write_labels(folder, {"r": [(index * hop, "a", 0.5) for index in range(n)]}, length=2.0)
    found = read_label_folder(folder)
    hop_found = found.segment_len - found.overlap
    assert abs(hop_found * (n - 1) - hop * (n - 1)) < 0.01


@pytest.mark.parametrize("field", ["name", "code", "alt_name", "alt_code"])
def test_classes_are_called_what_the_labels_call_them(tmp_path, field):
    entries = [
        {"name": "Rusty Jay", "code": "RUJA", "alt_name": "Rostiger", "alt_code": "ROST"},
        {"name": "Pond Creaker", "code": "POCR", "alt_name": "Knarrer", "alt_code": "KNAR"},
    ]
    write_labels(tmp_path, {"r": [(0, entries[0][field], 0.5)]})
    write_manifest(tmp_path, [], classes=entries)
    labels = read_label_folder(tmp_path)
    assert labels.classes == sorted(entry[field] for entry in entries)
    assert all(labels.aliases[label] == entry[field] for entry in entries for label in entry.values())


def test_entries_name_classes_but_do_not_add_any(tmp_path):
    write_labels(tmp_path, {"r": [(0, "a", 0.5)]})
    labels = read_label_folder(tmp_path, entries=[{"name": "A frog", "code": "a"}, {"name": "B frog", "code": "b"}])
    assert labels.classes == ["a"] and labels.aliases["A frog"] == "a"


JUNCOS = [
    {"name": "Slate Junco", "code": "SCJU", "alt_name": "Junco hyemalis"},
    {"name": "Oregon Junco", "code": "ORJU", "alt_name": "Junco hyemalis"},
]


def test_a_name_that_classes_share_makes_none_of_them_another(tmp_path):
    write_labels(tmp_path, {"r": [(0, "Slate Junco", 0.5)]})
    labels = read_label_folder(tmp_path, entries=JUNCOS)
    assert labels.classes == ["Slate Junco"]
    assert labels.aliases == {"Slate Junco": "Slate Junco", "SCJU": "Slate Junco"}
    (problem,) = labels.problems
    assert "several classes" in problem.fault and "Junco hyemalis" in problem.fault
    write_manifest(tmp_path, [], classes=JUNCOS)
    labels = read_label_folder(tmp_path, entries=[{"name": "Oregon Junco", "alt_code": "o"}])
    assert labels.classes == ["Oregon Junco", "Slate Junco"]
    assert labels.aliases["o"] == labels.aliases["ORJU"] == "Oregon Junco" and "Junco hyemalis" not in labels.aliases


def test_a_name_that_other_classes_share_is_no_problem_of_the_model(tmp_path):
    write_labels(tmp_path, {"r": [(0, "Wren", 0.5)]})
    labels = read_label_folder(tmp_path, entries=[*JUNCOS, {"name": "Wren"}])
    assert labels.classes == ["Wren"] and not labels.problems


def test_labels_that_call_classes_by_a_shared_name_know_one_class(tmp_path):
    write_labels(tmp_path, {"r": [(0, "Junco hyemalis", 0.5)]})
    write_manifest(tmp_path, [], classes=JUNCOS)
    labels = read_label_folder(tmp_path)
    assert labels.classes == ["Junco hyemalis"] and set(labels.aliases.values()) == {"Junco hyemalis"}
    assert labels.aliases["SCJU"] == labels.aliases["ORJU"] and not labels.problems


def test_lines_that_are_no_labels_are_reported_once_a_file(tmp_path):
    write_labels(tmp_path, {"r": [(0, "a", 0.5)]})
    with (tmp_path / "r_scores.txt").open("a") as file:
        file.write("3\t6\ta\n6\t5\ta;0.5\n9\t12\ta;1.5\nx\t12\ta;0.5\n9\t12\ta;nan\n")
    labels = read_label_folder(tmp_path)
    assert rows(labels) == [("r", "a", 0, 0.5)]
    (problem,) = labels.problems
    assert problem.subject.endswith("r_scores.txt:2") and "4 more" in problem.fault


def test_empty_label_files_are_recordings_in_which_nothing_was_found(tmp_path):
    write_labels(tmp_path, {"r": [(0, "a", 0.5)], "s": []})
    assert {row[0] for row in rows(read_label_folder(tmp_path))} == {"r"}
    only_empty = write_labels(tmp_path / "empty", {"s": []})
    write_manifest(only_empty, ["a"])
    labels = read_label_folder(only_empty)
    assert labels.classes == ["a"] and rows(labels) == [] and labels.by_infer


LINE, HEADER = "0\t3\ta;0.5\n", "recording,name,start_time,end_time,score\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "no such folder"),
        ({}, "holds neither label files"),
        ({"r.txt": ""}, "holds no labels"),
        ({"r.txt": LINE, "s.txt": "0\t6\ta;1\n"}, "different lengths"),
        (dict.fromkeys(["a_labels.csv", "b_labels.csv"], HEADER), "a_labels.csv, b_labels.csv"),
        ({"scores.csv": f"{HEADER}r,a,zero,3,1\n"}, "scores.csv"),
        ({"r.txt": LINE, "manifest.yaml": "segment_len: ["}, "manifest.yaml"),
        ({"r.txt": LINE, "manifest.yaml": "segment_len: long"}, "manifest.yaml: .* must be numbers; "),
        ({"r.txt": LINE, "manifest.yaml": "overlap: 3"}, "must be 0 or more and below"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path, files, said):
    for name, content in (files or {}).items():
        (tmp_path / name).write_text(content)
    with pytest.raises(DataSetError, match=said) as error:
        read_label_folder(tmp_path if files is not None else tmp_path / "nowhere")
    assert "\n" not in str(error.value) and ";" in str(error.value)


def test_reading_gives_the_same_whether_from_files_or_a_table(tmp_path):
    rng = np.random.default_rng(1)
    labels = {
        name: [(1.5 * i, label, round(rng.random(), 3)) for i in range(20) for label in "abc"] for name in ("r", "s")
    }
    files = read_label_folder(write_labels(tmp_path / "files", labels))
    (tmp_path / "table").mkdir()
    table = pd.DataFrame(rows(files), columns=["recording", "name", "start_time", "score"])
    table.assign(end_time=table["start_time"] + 3).to_csv(tmp_path / "table" / "x_labels.csv", index=False)
    table = read_label_folder(tmp_path / "table")
    assert rows(files) == rows(table) and files.overlap == table.overlap == 1.5
    assert files.classes == table.classes
