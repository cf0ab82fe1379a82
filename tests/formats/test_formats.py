import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.config.load import load_settings
from lib.config.schema import InferSettings
from lib.core.errors import SettingsError
from lib.formats import READERS, WRITERS, LabelScheme
from lib.sound.classes import ClassList
from lib.sound.labels import Label, RecordingLabels

PROJECT = Path(__file__).parents[2]
NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\\"), min_size=1, max_size=8)
LABELS = st.lists(
    st.tuples(st.sampled_from("ab"), NAMES, st.integers(0, 10**8), st.integers(1, 10**5), st.floats(0, 1)),
    max_size=6,
    unique_by=lambda row: row[:4],
)


@pytest.mark.parametrize("name", WRITERS)
def test_a_recording_without_labels_is_written(write_labels, name):
    assert write_labels(name, ("quiet",)).is_file()


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_with_paths_of_recordings_says_so(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    scheme = LabelScheme(ClassList([{"name": "wren"}]), "names", 0.0, 1.0, 3.0)
    contents = []
    for folder in "xy":
        recording = RecordingLabels("a", Path(folder, "a.wav"), 9.0, [Label("wren", 0.0, 3.0, 0.5)])
        WRITERS[name].write(tmp_path / "labels", [recording], scheme)
        contents.append((tmp_path / "labels").read_bytes())
    is_absolute = bytes(tmp_path) in contents[0]
    assert WRITERS[name].has_paths == (is_absolute or (WRITERS[name].each is not None and contents[0] != contents[1]))


@pytest.mark.parametrize("name", sorted((set(READERS) & set(WRITERS)) - {"csv"}))  # which is read with other columns
@given(rows=LABELS)
def test_what_is_written_is_read_back(tmp_path_factory, name, rows):
    folder, writer = tmp_path_factory.mktemp(name), WRITERS[name]
    scheme = LabelScheme(ClassList([{"name": label} for label in {row[1] for row in rows}]), "names", 50, 15000, 3.0)
    recordings = []
    for recording in "ab":
        (folder / f"{recording}.wav").touch()
        labels = [
            Label(label, start / 1000, (start + length) / 1000, score)
            for other, label, start, length, score in rows
            if other == recording
        ]
        recordings.append(RecordingLabels(recording, folder / f"{recording}.wav", 100.0, labels))
    if writer.together:
        writer.write(folder / writer.together, recordings, scheme)
    else:
        for recording in recordings:
            writer.write(folder / writer.each.format(recording.recording), [recording], scheme)
    table = READERS[name].read(folder, None).rows
    times = [(round(float(start), 3), round(float(end), 3)) for start, end in table[["start_time", "end_time"]].values]
    scores = [round(float(score), 2) for score in table.get("confidence", [])]
    assert list(zip(table["recording"], table["class"], times, strict=True)) == [
        (each.recording, label.name, (label.start_time, label.end_time)) for each in recordings for label in each.labels
    ]
    assert scores == pytest.approx([label.score for each in recordings for label in each.labels], abs=0.006)


def test_settings_take_the_registered_formats_in_any_spelling(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("infer: {formats: raven}\n")
    assert load_settings(params).infer.formats == ["raven"]
    for text in ("raven,json", "[raven, json]", "raven, json, raven"):
        assert load_settings(params, {"formats": text}, "infer").infer.formats == ["raven", "json"]
    assert InferSettings(formats=[]).formats == []
    with pytest.raises(SettingsError, match=rf"--formats.*must be one of {', '.join(WRITERS)}"):
        load_settings(params, {"formats": "raven,word"}, "infer")


MORSE = """
from lib.formats import READERS, WRITERS, Writer
from lib.formats.annotation_files import annotation_file_reader

def rows_of(file, finder):
    return [{"recording": "a", "class": file.read_text(), "start_time": 0, "end_time": 1, "line": 1}]

def write(path, recordings, scheme):
    path.write_text("".join(label.name for each in recordings for label in each.labels))

READERS.register("morse", annotation_file_reader(0, "files in Morse code", ".morse", lambda file: True, rows_of))
WRITERS.register("morse", Writer(write, "{}.morse"))
"""
USE = """
import sys
import lib.formats
lib.formats.__path__.append(sys.argv[1])
from lib.config.documentation import params_text, settings_help
from lib.config.schema import DataSetSettings, InferSettings, Settings
from lib.core.errors import EarshotError
from lib.formats.data_sets import read_data_set

def fault_of(call):
    try:
        call()
    except EarshotError as error:
        return str(error)

data_set, bare = (DataSetSettings(path=path) for path in sys.argv[2:])
assert list(read_data_set(data_set).annotations["class"]) == ["wren"]
data_set.format = "morse"
assert InferSettings(formats=["raven", "morse"]).formats == ["raven", "morse"]
lines = [line for line in params_text(Settings()).splitlines() if "format" in line]
assert len(lines) == 3 and all("morse" in line for line in lines)
assert any("morse" in meaning for _, meaning in settings_help("infer", Settings()))
assert "morse" in fault_of(lambda: setattr(InferSettings(), "formats", "word"))
assert "morse" in fault_of(lambda: setattr(data_set, "format", "word"))
assert "files in Morse code (morse)" in fault_of(lambda: read_data_set(bare))
"""


def test_a_new_format_is_one_new_module(tmp_path, data_set):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/morse.py").write_text(MORSE)
    folder = data_set(files={"a.morse": "wren"})
    command = [sys.executable, "-c", USE, tmp_path / "new", folder, tmp_path / "new"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
