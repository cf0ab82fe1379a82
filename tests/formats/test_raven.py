import csv
import math
import shutil
from pathlib import Path

import pytest

REAL = Path(__file__).parents[3] / "shared/data/annotations"
HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies"
WREN = (1, "Spectrogram 1", 1, 0.5, 1.25, 2000, 4000, "wren")


def table(*selections: tuple, header: str = HEADER) -> str:
    return "\n".join([header, *("\t".join(map(str, selection)) for selection in selections)]) + "\n"


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
def test_a_table_is_about_the_recording_that_it_is_named_after(data_set, read, rows, file, format):
    contents = read(data_set(("recordings/2024/a.wav", "b.wav"), {file: table(WREN)}), format=format)
    assert rows(contents) == [("a", "wren", 0.5, 1.25)] and contents.problems == []
    assert contents.annotations[["low_freq", "high_freq"]].values.tolist() == [[2000.0, 4000.0]]
    assert set(contents.recordings) == {"a", "b"}


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


def test_a_repeated_row_of_one_view_is_a_problem(data_set, read, faults):
    folder = data_set(files={"a.txt": table(WREN, WREN)})
    assert faults(read(folder)) == {f"{folder}/a.txt:3": "repeats an earlier row (a, wren)"}


@pytest.mark.parametrize("column", ["Species", "Annotation", "Label", "class", "Common Name", "Species Code"])
def test_the_column_of_the_class_may_have_several_names(data_set, read, rows, column):
    assert rows(read(data_set(files={"a.txt": table(WREN, header=HEADER.replace("Species", column))})))[0][1] == "wren"


def test_confidence_and_annotator_are_kept(data_set, read):
    content = table((*WREN, 0.75, "me"), header=f"{HEADER}\tConfidence\tAnnotator")
    annotations = read(data_set(files={"a.txt": content})).annotations
    assert annotations[["annotator", "confidence"]].values.tolist() == [["me", 0.75]]


def test_faults_name_file_and_line_and_the_rest_is_used(data_set, read, rows):
    bad = [
        (2, "Spectrogram 1", 1, "x", 2, 0, 1, "wren"),
        (3, "Spectrogram 1", 1, 3, 4, "low", 1, "wren"),
        (4, "S", 1, 5, 6),
    ]
    files = {"a.txt": table(WREN, *bad), "none.txt": table(WREN), "b.txt": table(WREN, header=HEADER[:-8])}
    folder = data_set(files=files)
    (folder / "c.txt").write_bytes((HEADER + "\n1\tSpectrogram 1\t1\t0\t1\t0\t1\tb\xfcsch").encode("latin-1"))
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.5, 1.25), ("a", "wren", 3.0, 4.0)]
    assert math.isnan(contents.annotations["low_freq"][1])
    assert {problem.subject: (problem.fault, problem.lost) for problem in contents.problems} == {
        f"{folder}/a.txt:3": ("a time is not a number (a, wren)", True),
        f"{folder}/a.txt:4": ("low_freq = 'low' is not a number", False),
        f"{folder}/a.txt:5": ("unknown class (a, no class)", True),
        f"{folder}/none.txt:2": ("no such recording (none, wren)", True),
        f"{folder}/b.txt": ("has no column of classes", True),
        f"{folder}/c.txt": ("is not UTF-8", True),
    }


def test_tables_of_recordings_that_are_not_included_are_skipped_silently(data_set, read, rows):
    folder = data_set(files={"a.Table.1.selections.txt": table(WREN), "b.selections.txt": table(WREN)})
    contents = read(folder, include="b*")
    assert rows(contents) == [("b", "wren", 0.5, 1.25)] and contents.problems == []


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/annotations is missing")
def test_real_tables(data_set, read, rows, faults):
    stems = ("MSD-0003_20180427_2minstart00", "raven_with_Annotation_col", "EmptyExample")
    folder = data_set(tuple(f"{stem}.wav" for stem in stems))
    shutil.copytree(REAL, folder / "annotations")
    contents = read(folder)
    assert set(contents.recordings) == set(stems)
    assert list(faults(contents).values()) == [f"unknown class ({stems[0]}, no class)"]  # nobody named this selection
    assert (stems[0], "WOTH", 1.897648165999982, 4.110570810999974) in rows(contents)
    assert contents.annotations["recording"].value_counts().to_dict() == {stems[0]: 9, stems[1]: 1}
    assert rows(contents)[-1][:2] == (stems[1], "CSWA")


def test_a_written_table_finds_the_recordings_and_lays_them_out_one_after_the_other(write_labels):
    with write_labels("raven").open(encoding="utf-8") as file:
        written = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [row["Selection"] for row in written] == ["1", "2", "3"]
    assert [float(row["Begin Time (s)"]) for row in written] == [0, 2, 91.5]
    assert [float(row["End Time (s)"]) for row in written] == [4.5, 5, 93]
    assert [float(row["File Offset (s)"]) for row in written] == [0, 2, 1.5]
    assert [row["Begin File"] for row in written] == ["r01.wav", "r01.wav", "r01.wav"]
    assert [Path(row["Begin Path"]) for row in written] == [Path(f"field/{x}/r01.wav").absolute() for x in "aab"]
    assert {(row["Low Freq (Hz)"], row["High Freq (Hz)"], row["Channel"]) for row in written} == {("50", "15000", "1")}
    assert [row["Annotation"] for row in written] == ["Tree frog", "Wren, winter", "Wren, winter"]
    assert float(written[0]["Score"]) == pytest.approx(0.98765, abs=1e-4)
