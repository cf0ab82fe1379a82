import shutil
from pathlib import Path

import pytest

from lib.core.errors import DataSetError, SettingsError
from lib.formats.data_set_paths import DataSetPath, parse_data_set_paths, read_data_sets


def test_each_data_set_has_a_type_and_inference_needs_none(tmp_path):
    (tmp_path / "a:b").mkdir()
    text = f"irmastest:data/irmas/test, csv:data/hello.csv,inference:/a:b,/field,{tmp_path}/a:b,/field"
    assert [str(path) for path in parse_data_set_paths(text)] == [
        *("irmastest:data/irmas/test", "csv:data/hello.csv", "inference:/a:b", "inference:/field"),
        f"inference:{tmp_path}/a:b",
    ]


@pytest.mark.parametrize("text", ["irmastst:data/test", "csv:", "irmastest:a,folder:b"])
def test_a_type_that_does_not_exist_is_answered_with_those_that_do(text):
    with pytest.raises(SettingsError, match=r"must be TYPE:PATH; TYPE must be one of auto, .*irmastest.*, inference$"):
        parse_data_set_paths(text)


@pytest.mark.parametrize("text", ["", " , "])
def test_no_data_set_is_an_error(text):
    with pytest.raises(SettingsError, match="names no data set"):
        parse_data_set_paths(text)


def test_recordings_of_several_sets_have_names_of_their_own_and_a_shared_file_has_one(data_set):
    first = data_set(("a.wav", "b.wav"), {"a.txt": "cel\n", "b.txt": "cla\n"})
    second = Path(shutil.copytree(first, first.with_name("second")))
    (second / "b.wav").rename(second / "c.wav")
    (second / "b.txt").rename(second / "c.txt")
    paths = [DataSetPath("irmastest", str(first)), DataSetPath("irmastest", f"{second}/")]
    one, two, unlabelled = read_data_sets([*paths, DataSetPath("inference", str(second))])
    assert list(one.recordings) == [f"{first}/a", "b"] and list(two.recordings) == [f"{second}/a", "c"]
    assert unlabelled.recordings == two.recordings and unlabelled.annotations.empty
    assert two.annotations[["recording", "class"]].to_numpy().tolist() == [[f"{second}/a", "cel"], ["c", "cla"]]


def test_a_name_made_longer_is_not_that_of_another_recording(data_set, monkeypatch):
    monkeypatch.chdir(data_set(("x/a.wav", "y/a.wav", "z/x/a.wav", "z/w/a.wav")))
    data_sets = read_data_sets(parse_data_set_paths("x,y,z"))
    names = {name: str(file) for each in data_sets for name, file in each.recordings.items()}
    assert {name: str(Path(file)) for name, file in names.items()} == {
        "x/a (2)": "x/a.wav",
        "y/a": "y/a.wav",
        "x/a": "z/x/a.wav",
        "w/a": "z/w/a.wav",
    }


def test_inference_takes_a_table_of_files(data_set):
    folder = data_set(("a.wav", "below/b.wav", "c.wav"), {"list.csv": "file,ignored\na.wav,x\nbelow/b.wav,y\n"})
    (listed,) = read_data_sets([DataSetPath("inference", str(folder / "list.csv"))])
    assert list(listed.recordings) == ["a", "b"] and listed.problems == []


def test_a_data_set_that_is_not_there_is_named():
    with pytest.raises(DataSetError, match="nowhere: no such folder"):
        read_data_sets([DataSetPath("irmastest", "nowhere")])
