import csv
from pathlib import Path

import pytest

CLUSTERS = "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,Fmean,Fmax,DATE,TIME,HOUR,TOP1MATCH*,TOP1DIST*,MANUAL ID*"
ROW = "C:\\field,2024,a.wav,0,0.5,0.75,2000,3000,4000,2024-05-12,05:30:00,05,cluster 1,0.4,wren"


def table(*rows: str, header: str = CLUSTERS) -> str:
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize("format", ["auto", "kaleidoscope"])
@pytest.mark.parametrize("file", ["cluster.csv", "annotations/cluster.csv"])
def test_rows_are_read_with_their_band(data_set, read, rows, file, format):
    contents = read(data_set(files={file: table(ROW)}), format=format)
    assert rows(contents) == [("a", "wren", 0.5, 1.25)] and contents.problems == []
    assert contents.annotations[["low_freq", "high_freq"]].values.tolist() == [[2000.0, 4000.0]]
    assert set(contents.recordings) == {"a", "b"}


def test_without_a_manual_id_the_match_is_used(data_set, read, rows):
    assert rows(read(data_set(files={"c.csv": table(ROW.removesuffix("wren"))})))[0][1] == "cluster 1"


def test_a_table_of_bats_is_about_recordings_from_their_start(data_set, read, rows):
    header = "INDIR,FOLDER,IN FILE,DURATION,DATE,TIME,AUTO ID*,PULSES,MATCH RATIO,Fc,Fmax,Fmin,MANUAL ID"
    content = table("/f,,a.wav,5.5,,,MYLU,7,0.8,40,60,38,", "/f,,b.wav,2,,,MYLU,7,0.8,40,60,38,EPFU", header=header)
    contents = read(data_set(files={"id.csv": content}))
    assert rows(contents) == [("a", "MYLU", 0.0, 5.5), ("b", "EPFU", 0.0, 2.0)]
    assert "low_freq" not in contents.annotations


def test_a_table_of_birdnet_in_this_form_is_read_with_its_confidence(data_set, read, rows):
    header = "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence,lat,lon,week,overlap"
    content = table("/f,x,a.wav,3.0,3.0,Troglodytes,Wren,0.61,-1,-1,-1,0", header=header)
    contents = read(data_set(files={"r.csv": content}))
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


def test_faults_name_file_and_line_and_the_rest_is_used(data_set, read, rows, faults):
    bad = [
        ROW.replace("0.75", "long"),
        ROW.replace("a.wav", "none.wav"),
        ROW.replace(",2000,", ",low,").replace("0.5", "3"),
    ]
    files = {"1.csv": table(ROW, *bad), "2.csv": "IN FILE,DURATION\na.wav,1\n", "notes.csv": "a,b\n1,2\n"}
    folder = data_set(files=files)
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.5, 1.25), ("a", "wren", 3.0, 3.75)]
    assert faults(contents) == {
        f"{folder}/1.csv:3": "a time is not a number (a, wren)",
        f"{folder}/1.csv:4": "no such recording (none, wren)",
        f"{folder}/1.csv:5": "low_freq = 'low' is not a number",
        f"{folder}/2.csv": "lacks DURATION, or MANUAL ID or another column of classes",
    }


def test_written_rows_have_folder_file_offset_and_duration(write_labels):
    with write_labels("kaleidoscope", field="codes").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [Path(row["INDIR"], row["FOLDER"], row["IN FILE"]) for row in written] == [
        Path(f"field/{x}/r01.wav").absolute() for x in "aab"
    ]
    assert [(float(row["OFFSET"]), float(row["DURATION"])) for row in written] == [(0, 4.5), (2, 3), (1.5, 1.5)]
    assert [row["TOP1MATCH"] for row in written] == ["TF", "WIWR", "WIWR"]
    assert [1 - float(row["TOP1DIST"]) for row in written] == pytest.approx([0.98765, 0.5, 0.25], abs=1e-4)
    assert {tuple(row[key] for key in ("Fmin", "Fmean", "Fmax", "MANUAL ID")) for row in written} == {
        ("50", "7525", "15000", "")
    }
