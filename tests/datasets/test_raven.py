import math
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets.label_files import Finder
from lib.datasets.raven import rows_of

REAL = Path(__file__).parents[3] / "shared/data/annotations"
HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies"


def table(*selections: tuple, header: str = HEADER) -> str:
    return "\n".join([header, *("\t".join(map(str, selection)) for selection in selections)]) + "\n"


WREN = (1, "Spectrogram 1", 1, 0.5, 1.25, 2000, 4000, "wren")


@pytest.mark.parametrize("format", ["auto", "raven"])
@pytest.mark.parametrize(
    "file",
    [
        "a.txt",
        "a.Table.1.selections.txt",
        "annotations/a.selections.txt",
        "sub/a.wav.txt",
        "a.BirdNET.selection.table.txt",
    ],
)
def test_a_table_is_about_the_recording_that_it_is_called_after(data_set, read, rows, file, format):
    contents = read(data_set(files={file: table(WREN)}), format=format)
    assert rows(contents) == [("a", "wren", 0.5, 1.25)] and contents.problems == []
    assert contents.annotations[["low_freq", "high_freq"]].values.tolist() == [[2000.0, 4000.0]]
    assert set(contents.recordings) == {"a", "b"}


def test_recordings_may_lie_anywhere(data_set, read, rows):
    folder = data_set(
        ("recordings/2024/a.wav", "recordings/b.wav"), {"annotations/a.Table.1.selections.txt": table(WREN)}
    )
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.5, 1.25)] and set(contents.recordings) == {"a", "b"}


def test_a_table_of_many_recordings_counts_from_the_start_of_each_file(data_set, read, rows):
    header = f"{HEADER}\tBegin File\tFile Offset (s)"
    content = table(
        (1, "Spectrogram 1", 1, 0.5, 1.0, 0, 1, "wren", "a.wav", 0.5),
        (2, "Spectrogram 1", 1, 60.5, 61.5, 0, 1, "owl", "b.wav", 0.25),
        header=header,
    )
    assert rows(read(data_set(files={"all.txt": content}))) == [("a", "wren", 0.5, 1.0), ("b", "owl", 0.25, 1.25)]


def test_without_an_offset_begin_times_are_those_of_the_file(data_set, read, rows):
    content = table((*WREN, "C:\\field\\b.wav"), header=f"{HEADER}\tBegin Path")
    assert rows(read(data_set(files={"a.txt": content}))) == [("b", "wren", 0.5, 1.25)]


def test_two_views_of_a_selection_are_one_annotation_with_the_band_of_the_spectrogram(data_set, read, rows):
    wave = (1, "Waveform 1", 1, 0.5, 1.25, 0, 4000, "wren")
    other = (2, "Waveform 1", 1, 2, 3, 0, 4000, "owl")
    for views in ([wave, WREN, other], [WREN, wave, other]):
        contents = read(data_set(files={"a.txt": table(*views)}))
        assert rows(contents) == [("a", "owl", 2.0, 3.0), ("a", "wren", 0.5, 1.25)] and contents.problems == []
        assert contents.annotations["low_freq"].tolist() == [0.0, 2000.0]


def test_a_repeated_row_of_one_view_is_a_problem(data_set, read):
    folder = data_set(files={"a.txt": table(WREN, WREN)})
    (problem,) = read(folder).problems
    assert problem.subject == f"{folder}/a.txt:3" and "stands above already" in problem.reason


@pytest.mark.parametrize("column", ["Species", "Annotation", "Label", "class", "Common Name", "Species Code"])
def test_the_class_may_stand_in_columns_of_several_names(data_set, read, rows, column):
    assert rows(read(data_set(files={"a.txt": table(WREN, header=HEADER.replace("Species", column))})))[0][1] == "wren"


def test_confidence_and_annotator_are_kept(data_set, read):
    content = table((*WREN, 0.75, "me"), header=f"{HEADER}\tConfidence\tAnnotator")
    annotations = read(data_set(files={"a.txt": content})).annotations
    assert annotations[["annotator", "confidence"]].values.tolist() == [["me", 0.75]]


def test_faults_are_named_with_file_and_line_and_the_rest_is_used(data_set, read, rows):
    bad = [
        (2, "Spectrogram 1", 1, "x", 2, 0, 1, "wren"),
        (3, "Spectrogram 1", 1, 3, 4, "low", 1, "wren"),
        (4, "S", 1, 5, 6),
    ]
    folder = data_set(
        files={"a.txt": table(WREN, *bad), "none.txt": table(WREN), "b.txt": table(WREN, header=HEADER[:-8])}
    )
    (folder / "c.txt").write_bytes((HEADER + "\n1\tSpectrogram 1\t1\t0\t1\t0\t1\tb\xfcsch").encode("latin-1"))
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.5, 1.25), ("a", "wren", 3.0, 4.0)]
    assert math.isnan(contents.annotations["low_freq"][1])
    found = {problem.subject: (problem.reason, problem.lost) for problem in contents.problems}
    assert found == {
        f"{folder}/a.txt:3": ("a time is not a number (a, wren)", True),
        f"{folder}/a.txt:4": ("low_freq = 'low' is not a number", False),
        f"{folder}/a.txt:5": ("unknown class (a, no class)", True),
        f"{folder}/none.txt:2": ("no such recording (none, wren)", True),
        f"{folder}/b.txt": ("has no column of classes", True),
        f"{folder}/c.txt": ("is not UTF-8", True),
    }


def test_recordings_of_one_name_are_told_apart_by_their_folders(data_set, read, rows):
    recordings = ("x/1.wav", "y/1.wav")
    files = {"annotations/x/1.txt": table(WREN), "y/1.txt": table((1, "S", 1, 2, 3, 0, 1, "owl"))}
    assert rows(read(data_set(recordings, files))) == [("x/1", "wren", 0.5, 1.25), ("y/1", "owl", 2.0, 3.0)]


def test_tables_of_recordings_that_are_left_out_are_passed_over_without_a_word(data_set, read, rows):
    folder = data_set(files={"a.Table.1.selections.txt": table(WREN), "b.selections.txt": table(WREN)})
    contents = read(folder, include="b*")
    assert rows(contents) == [("b", "wren", 0.5, 1.25)] and contents.problems == []


def test_a_table_of_classes_names_them_and_a_csv_table_goes_before(data_set, read, rows):
    files = {"a.txt": table(WREN), "classes.csv": "name,code\nWinter Wren,wren\n"}
    assert rows(read(data_set(files=files))) == [("a", "Winter Wren", 0.5, 1.25)]
    files = {"annotations.csv": "recording,class,start_time,end_time\na,wren,3,4\n", "a.txt": table(WREN)}
    assert rows(read(data_set(("recordings/a.wav",), files))) == [("a", "Winter Wren", 3.0, 4.0)]


TEXT = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
TIMES = st.floats(0, 1e5).flatmap(
    lambda start: st.tuples(st.just(start), st.floats(0.001, 100).map(lambda d: start + d))
)


@given(st.lists(st.tuples(TIMES, st.integers(0, 20000), TEXT), max_size=6, unique_by=lambda row: row[0]))
def test_what_is_written_is_read_back(tmp_path_factory, selections):
    file = tmp_path_factory.mktemp("raven") / "a.Table.1.selections.txt"
    rows = [
        (k, "Spectrogram 1", 1, *map(repr, times), low, low + 9, name)
        for k, (times, low, name) in enumerate(selections)
    ]
    file.write_text(table(*rows), encoding="utf-8")
    found = rows_of(file, Finder({"a": Path("a.wav")}))
    assert [
        (float(row["start_time"]), float(row["end_time"]), int(row["low_freq"]), row["class"]) for row in found
    ] == [(*times, low, name) for times, low, name in selections]
    assert [row["line"] for row in found] == [f"{file}:{k}" for k in range(2, len(selections) + 2)]


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/annotations is missing")
def test_real_tables(data_set, read, rows):
    stems = ("MSD-0003_20180427_2minstart00", "raven_with_Annotation_col", "EmptyExample")
    folder = data_set(tuple(f"{stem}.wav" for stem in stems))
    shutil.copytree(REAL, folder / "annotations")
    contents = read(folder)
    assert set(contents.recordings) == set(stems)
    (problem,) = contents.problems  # a selection that nobody has named
    assert problem.reason == f"unknown class ({stems[0]}, no class)"
    assert (stems[0], "WOTH", 1.897648165999982, 4.110570810999974) in rows(contents)
    assert contents.annotations["recording"].value_counts().to_dict() == {stems[0]: 9, stems[1]: 1}
    assert rows(contents)[-1][:2] == (stems[1], "CSWA")
