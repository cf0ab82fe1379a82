import json

import pytest

from lib.core.errors import EarshotError
from lib.training_data.stored_windows import StoredWindows
from stages.extract import extract
from tests.training_data.builders import write_data_set, write_params


@pytest.fixture
def arguments(tmp_path):
    folder = write_data_set(tmp_path / "set", 4)
    params = write_params(tmp_path / "params.yaml", folder, infer={"overlap": 0.0}, evaluate={"min_seconds": 0.2})
    return {"database": str(tmp_path / "training.db"), "metrics": str(tmp_path / "m.json"), "params": str(params)}


def test_report_and_line_tell_what_was_extracted(arguments, tmp_path, capsys):
    (tmp_path / "set/recordings/r01.wav").write_bytes(b"")
    extract(**arguments)
    output, errors = capsys.readouterr()
    assert output.startswith("3 recordings (3 new or changed, 1 failed), ")
    assert "warning: " in errors and "r01.wav: the file is empty" in errors
    report = json.loads((tmp_path / "m.json").read_text())
    assert report["failed"] == [{"recording": "r01", "reason": "the file is empty (0 bytes)"}]
    assert report["windows"] == len(StoredWindows(arguments["database"]))


def test_a_group_of_spectrograms_is_made_and_the_rest_is_left(arguments, capsys):
    extract(**arguments)
    before = StoredWindows(arguments["database"])
    extract(**arguments, spec_group="tall", **{"audio.spec_height": 24})
    assert "group tall" in capsys.readouterr().out
    tall = StoredWindows(arguments["database"], "tall")
    assert len(tall) == len(before) and tall.audio.spec_height == 24
    with pytest.raises(EarshotError, match="spec_height 24 instead of 32"):
        extract(**arguments, spec_group="tall", **{"audio.spec_height": 32})
    extract(**arguments, spec_group="tall", replace=True, **{"audio.spec_height": 32})
    assert StoredWindows(arguments["database"], "tall").audio.spec_height == 32
    assert StoredWindows(arguments["database"]).audio == before.audio


def test_a_table_s_clips_get_another_group_and_dvc_is_said_not_to_watch_them(arguments, tmp_path, capsys, monkeypatch):
    table = tmp_path / "set/hello.csv"
    table.write_text("file,low\nr00.wav,1\nr01.wav,1\n")
    of_table = {"data.train.path": str(table), "data.train.format": "csv"}
    extract(**arguments, **of_table)
    extract(**arguments, **of_table, spec_group="tall", **{"audio.spec_height": 24})
    output, errors = capsys.readouterr()
    assert "0 recordings passed over" in output and errors == ""
    assert len(StoredWindows(arguments["database"], "tall")) == len(StoredWindows(arguments["database"]))
    monkeypatch.setenv("DVC_STAGE", "extract")
    extract(**arguments, **of_table)
    assert "hello.csv': dvc watches the table alone; give the table's folder" in capsys.readouterr().err
