import pytest

from lib.config.load import load_settings
from lib.config.params_file import Change, changes_text, write_params
from lib.core.errors import SettingsError


def test_values_are_written_where_a_file_lacks_their_section_or_key(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("# few\ntrain: {epochs: 3}\n")
    changes = write_params({"train.epochs": 4, "data.test.path": "there", "audio.spec_height": 32}, params)
    assert changes == [
        Change("train.epochs", 3, 4),
        Change("data.test.path", "data/sample/test", "there"),
        Change("audio.spec_height", 64, 32),
    ]
    settings = load_settings(params)
    assert (settings.train.epochs, settings.data.test.path, settings.audio.spec_height) == (4, "there", 32)
    assert "# few" in params.read_text()
    assert write_params({"train.epochs": 4}, params) == []


def test_values_that_do_not_fit_leave_the_file_as_it_is(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("train: {epochs: 3}\n")
    with pytest.raises(SettingsError, match=r"audio.max_freq = 30000: must be"):
        write_params({"train.epochs": 4, "audio.max_freq": 30000.0}, params)
    assert params.read_text() == "train: {epochs: 3}\n"


def test_changes_are_shown_as_a_table():
    rows = changes_text([Change("a.b", 0.5, 2.0), Change("c.d", "", "x")]).splitlines()
    assert [row.split() for row in (rows[0], rows[2], rows[3])] == [
        ["setting", "was", "is"],
        ["a.b", "0.5", "2"],
        ["c.d", "x"],
    ]
