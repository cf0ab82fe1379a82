import csv
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from lib.config import Infer, load_settings
from lib.errors import SettingsError
from lib.inference import label_formats
from lib.inference.label_formats import LABEL_FORMATS, Labelled, make_scheme
from lib.inference.labels import Label

CLASSES = [
    {"name": "Tree frog", "code": "TF", "alt_name": "Hyla arborea", "alt_code": ""},
    {"name": "Wren, winter", "code": "WIWR", "alt_name": "", "alt_code": "wren"},
]
RECORDINGS = [
    Labelled(
        "a/r01", Path("field/a/r01.wav"), 60.0, [Label("Tree frog", 0, 4.5, 0.98765), Label("Wren, winter", 2, 5, 0.5)]
    ),
    Labelled("quiet", Path("field/quiet.flac"), 30.0, []),
    Labelled("b/r01", Path("field/b/r01.wav"), 10.0, [Label("Wren, winter", 1.5, 3.0, 0.25)]),
]


def write(key, path, recordings=RECORDINGS, field="names"):
    LABEL_FORMATS[key].write(path, iter(recordings), make_scheme(CLASSES, field, 50.0, 15000.0))
    return path


def rows_of(path, delimiter=","):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else 0))


def test_audacity_has_tabs_between_start_end_and_text(tmp_path):
    text = write("audacity", tmp_path / "r01.txt", RECORDINGS[:1]).read_text()
    assert text == "0.000\t4.500\tTree frog;0.988\n2.000\t5.000\tWren, winter;0.500\n"


def test_csv_is_a_labels_table(tmp_path):
    lines = write("csv", tmp_path / "l.csv", field="codes").read_text().splitlines()
    assert lines == [
        "recording,name,start_time,end_time,score",
        "a/r01,TF,0.000,4.500,0.98765",
        "a/r01,WIWR,2.000,5.000,0.5",
        "b/r01,WIWR,1.500,3.000,0.25",
    ]


def test_raven_finds_the_recordings_and_places_labels_one_recording_after_the_other(tmp_path):
    rows = rows_of(write("raven", tmp_path / "all.txt"), "\t")
    assert [row["Selection"] for row in rows] == ["1", "2", "3"]
    assert [float(row["Begin Time (s)"]) for row in rows] == [0, 2, 91.5]
    assert [float(row["End Time (s)"]) for row in rows] == [4.5, 5, 93]
    assert [float(row["File Offset (s)"]) for row in rows] == [0, 2, 1.5]
    assert [row["Begin File"] for row in rows] == ["r01.wav", "r01.wav", "r01.wav"]
    assert [Path(row["Begin Path"]) for row in rows] == [Path(f"field/{x}/r01.wav").absolute() for x in "aab"]
    assert {(row["Low Freq (Hz)"], row["High Freq (Hz)"], row["Channel"]) for row in rows} == {("50", "15000", "1")}
    assert [row["Annotation"] for row in rows] == ["Tree frog", "Wren, winter", "Wren, winter"]
    assert float(rows[0]["Score"]) == pytest.approx(0.98765, abs=1e-4)


def test_kaleidoscope_has_folder_file_offset_and_duration(tmp_path):
    rows = rows_of(write("kaleidoscope", tmp_path / "k.csv", field="codes"))
    assert [Path(row["INDIR"], row["FOLDER"], row["IN FILE"]) for row in rows] == [
        Path(f"field/{x}/r01.wav").absolute() for x in "aab"
    ]
    assert [(float(row["OFFSET"]), float(row["DURATION"])) for row in rows] == [(0, 4.5), (2, 3), (1.5, 1.5)]
    assert [row["TOP1MATCH"] for row in rows] == ["TF", "WIWR", "WIWR"]
    assert [1 - float(row["TOP1DIST"]) for row in rows] == pytest.approx([0.98765, 0.5, 0.25], abs=1e-4)
    assert {(row["Fmin"], row["Fmean"], row["Fmax"], row["MANUAL ID"]) for row in rows} == {("50", "7525", "15000", "")}


def test_birdnet_has_the_columns_of_its_result_table(tmp_path):
    path = write("birdnet", tmp_path / "b.csv")
    assert path.read_text().splitlines()[0] == "Start (s),End (s),Scientific name,Common name,Confidence,File"
    first, second, _ = rows_of(path)
    assert (first["Scientific name"], first["Common name"]) == ("Hyla arborea", "Tree frog")
    assert (second["Scientific name"], second["Common name"]) == ("Wren, winter", "Wren, winter")
    assert (float(first["Start (s)"]), float(first["End (s)"]), float(first["Confidence"])) == (0, 4.5, 0.9877)
    assert first["File"] == str(Path("field/a/r01.wav"))


def test_json_has_each_recording_with_its_labels(tmp_path):
    content = json.loads(write("json", tmp_path / "l.json").read_text(encoding="utf-8"))
    assert [(entry["recording"], len(entry["labels"])) for entry in content] == [
        ("a/r01", 2),
        ("quiet", 0),
        ("b/r01", 1),
    ]
    assert content[2]["labels"] == [{"name": "Wren, winter", "start_time": 1.5, "end_time": 3.0, "score": 0.25}]
    assert content[0]["seconds"] == 60.0
    assert json.loads(write("json", tmp_path / "none.json", []).read_text()) == []


@pytest.mark.parametrize("at_once", [1, 100_000])
def test_parquet_is_a_labels_table_with_paths(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(label_formats, "ROWS_AT_ONCE", at_once)
    table = parquet.read_table(write("parquet", tmp_path / "l.parquet", field="alt_codes"))
    assert table.column_names == ["recording", "name", "start_time", "end_time", "score", "path"]
    assert table.to_pydict() == {
        "recording": ["a/r01", "a/r01", "b/r01"],
        "name": ["TF", "wren", "wren"],
        "start_time": [0, 2, 1.5],
        "end_time": [4.5, 5, 3],
        "score": pytest.approx([0.98765, 0.5, 0.25]),
        "path": ["field/a/r01.wav", "field/a/r01.wav", "field/b/r01.wav"],
    }
    assert parquet.read_table(write("parquet", tmp_path / "none.parquet", [])).num_rows == 0


@pytest.mark.parametrize("key", LABEL_FORMATS)
def test_a_recording_without_labels_is_no_fault(tmp_path, key):
    assert write(key, tmp_path / "labels", RECORDINGS[1:2]).is_file()


def test_settings_take_a_list_of_the_registered_formats_in_any_spelling(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("infer: {formats: raven}\n")
    assert load_settings(params).infer.formats == ["raven"]
    for text in ("raven,json", "[raven, json]", "raven, json, raven"):
        assert load_settings(params, {"formats": text}, "infer").infer.formats == ["raven", "json"]
    assert Infer(formats=[]).formats == []
    with pytest.raises(SettingsError, match=r"infer\.formats.*must be one of audacity, csv, raven, kaleidoscope"):
        load_settings(params, {"formats": "raven,word"}, "infer")


@pytest.mark.parametrize(
    ("text", "seconds"), [("71", 71), ("1:11", 71), ("0:05.5", 5.5), ("1:00:01", 3601), ("2.5", 2.5)]
)
def test_settings_take_times_as_seconds_and_minutes(tmp_path, text, seconds):
    params = tmp_path / "params.yaml"
    params.write_text(f"infer: {{start_seconds: '{text}'}}\n")
    assert load_settings(params).infer.start_seconds == seconds
    params.write_text("{}\n")
    assert load_settings(params, {"start_seconds": text}, "infer").infer.start_seconds == seconds


@pytest.mark.parametrize("text", ["1:x", "soon", "-3", "1:"])
def test_a_time_that_is_none_is_named(tmp_path, text):
    params = tmp_path / "params.yaml"
    params.write_text("{}\n")
    with pytest.raises(SettingsError, match=r"infer\.start_seconds = .*: must be"):
        load_settings(params, {"start_seconds": text}, "infer")
