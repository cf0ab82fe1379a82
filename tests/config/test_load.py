import pytest

from lib.config.load import load_settings
from lib.core.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "seconds"), [("71", 71), ("1:11", 71), ("0:05.5", 5.5), ("1:00:01", 3601), ("2.5", 2.5)]
)
def test_times_may_be_given_as_seconds_and_as_minutes(tmp_path, text, seconds):
    params = tmp_path / "params.yaml"
    params.write_text(f"infer: {{start_seconds: '{text}'}}\n")
    assert load_settings(params).infer.start_seconds == seconds
    params.write_text("{}\n")
    assert load_settings(params, {"start_seconds": text}, "infer").infer.start_seconds == seconds


@pytest.mark.parametrize("text", ["1:x", "soon", "-3", "1:"])
def test_an_invalid_time_is_named(tmp_path, text):
    params = tmp_path / "params.yaml"
    params.write_text("{}\n")
    with pytest.raises(SettingsError, match=r"infer\.start_seconds = .*: must be"):
        load_settings(params, {"start_seconds": text}, "infer")


def test_a_key_of_a_section_within_the_stages_own_needs_no_more_than_its_place_there(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("{}\n")
    assert load_settings(params, {"test.path": "elsewhere"}, "data").data.test.path == "elsewhere"
