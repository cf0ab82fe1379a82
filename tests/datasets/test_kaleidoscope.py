import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets.kaleidoscope import rows_of
from lib.datasets.label_files import Finder

CLUSTERS = "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,Fmean,Fmax,DATE,TIME,HOUR,TOP1MATCH*,TOP1DIST*,MANUAL ID*"


def table(*rows: str, header: str = CLUSTERS) -> str:
    return "\n".join([header, *rows]) + "\n"


ROW = "C:\\field,2024,a.wav,0,0.5,0.75,2000,3000,4000,2024-05-12,05:30:00,05,cluster 1,0.4,wren"


@pytest.mark.parametrize("format", ["auto", "kaleidoscope"])
@pytest.mark.parametrize("file", ["cluster.csv", "annotations/cluster.csv"])
def test_rows_are_read_with_their_band(data_set, read, rows, file, format):
    contents = read(data_set(files={file: table(ROW)}), format=format)
    assert rows(contents) == [("a", "wren", 0.5, 1.25)] and contents.problems == []
    assert contents.annotations[["low_freq", "high_freq"]].values.tolist() == [[2000.0, 4000.0]]
    assert set(contents.recordings) == {"a", "b"}


def test_without_a_manual_id_the_match_is_taken(data_set, read, rows):
    assert rows(read(data_set(files={"c.csv": table(ROW.removesuffix("wren"))})))[0][1] == "cluster 1"


def test_a_table_of_bats_is_about_recordings_from_their_start(data_set, read, rows):
    header = "INDIR,FOLDER,IN FILE,DURATION,DATE,TIME,AUTO ID*,PULSES,MATCH RATIO,Fc,Fmax,Fmin,MANUAL ID"
    content = table("/f,,a.wav,5.5,,,MYLU,7,0.8,40,60,38,", "/f,,b.wav,2,,,MYLU,7,0.8,40,60,38,EPFU", header=header)
    contents = read(data_set(files={"id.csv": content}))
    assert rows(contents) == [("a", "MYLU", 0.0, 5.5), ("b", "EPFU", 0.0, 2.0)]
    assert "low_freq" not in contents.annotations


def test_a_table_of_birdnet_in_this_form_is_read_with_its_confidence(data_set, read, rows):
    header = (
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence,lat,lon,week,overlap,sensitivity"
    )
    contents = read(
        data_set(files={"r.csv": table("/f,x,a.wav,3.0,3.0,Troglodytes,Wren,0.61,-1,-1,-1,0,1", header=header)})
    )
    assert rows(contents) == [("a", "Wren", 3.0, 6.0)] and contents.annotations["confidence"].tolist() == [0.61]


def test_recordings_of_one_name_are_told_apart_by_their_folders(data_set, read, rows):
    content = table(
        "C:\\data,x,1.wav,0,0,1,,,,,,,m,0,wren",
        "C:\\data,y,1.wav,0,0,1,,,,,,,m,0,owl",
        "D:,z,1.wav,0,0,1,,,,,,,m,0,owl",
    )
    folder = data_set(("x/1.wav", "y/1.wav"), {"annotations/c.csv": content})
    contents = read(folder)
    assert rows(contents) == [("x/1", "wren", 0.0, 1.0), ("y/1", "owl", 0.0, 1.0)]
    assert [problem.subject for problem in contents.problems] == [f"{folder}/annotations/c.csv:4"]


def test_faults_are_named_with_file_and_line_and_the_rest_is_used(data_set, read, rows):
    bad = [
        ROW.replace("0.75", "long"),
        ROW.replace("a.wav", "none.wav"),
        ROW.replace(",2000,", ",low,").replace("0.5", "3"),
    ]
    folder = data_set(
        files={"1.csv": table(ROW, *bad), "2.csv": "IN FILE,DURATION\na.wav,1\n", "notes.csv": "a,b\n1,2\n"}
    )
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.5, 1.25), ("a", "wren", 3.0, 3.75)]
    assert {problem.subject: problem.reason for problem in contents.problems} == {
        f"{folder}/1.csv:3": "a time is not a number (a, wren)",
        f"{folder}/1.csv:4": "no such recording (none, wren)",
        f"{folder}/1.csv:5": "low_freq = 'low' is not a number",
        f"{folder}/2.csv": "lacks DURATION, or MANUAL ID or another column of classes",
    }


NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1e5), st.floats(0.01, 99), NAMES), max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory, entries):
    file = tmp_path_factory.mktemp("kaleidoscope") / "c.csv"
    with file.open("w", encoding="utf-8", newline="") as content:
        writer = csv.writer(content)
        writer.writerow(["INDIR", "FOLDER", "IN FILE", "OFFSET", "DURATION", "MANUAL ID"])
        writer.writerows(
            ["/field", "", f"{name}.wav", repr(start), repr(length), label] for name, start, length, label in entries
        )
    found = rows_of(file, Finder({"a": Path("a.wav"), "b": Path("b.wav")}))
    assert [(row["recording"], float(row["start_time"]), float(row["end_time"]), row["class"]) for row in found] == [
        (name, start, start + length, label) for name, start, length, label in entries
    ]
