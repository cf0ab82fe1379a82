from pathlib import Path

import pytest

from lib.config.load import load_settings, setting
from lib.config.profiles import KEYS, PROFILES, apply_profile, profile_values
from lib.config.schema import Settings
from lib.core.errors import SettingsError

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params(tmp_path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes(PARAMS.read_bytes())
    return path


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_written_whatever_was_there_before(params, name):
    for other in ("bats", "machines"):
        apply_profile(other, params)
    apply_profile(name, params)
    settings = load_settings(params)
    assert {key: setting(settings, key) for key in KEYS} == profile_values(name, params)


def test_comments_and_other_settings_stay(params):
    params.write_text(params.read_text().replace("  epochs: 22", "  # mine\n  epochs: 7"))
    changes = apply_profile("frogs", params)
    text = params.read_text()
    assert "  # mine\n  epochs: 7 #" in text and "  sampling_rate: 16000 # Hz" in text
    assert [change.key for change in changes] == list(PROFILES["frogs"].values)
    assert changes[0][1:] == (32000, 16000)
    assert apply_profile("frogs", params) == [] and params.read_text() == text


def test_birds_are_the_defaults_and_bring_back_every_byte(params):
    assert apply_profile("birds", params) == []
    for name in ("bats", "machines", "birds"):
        apply_profile(name, params)
    assert params.read_bytes() == PARAMS.read_bytes()
    assert {key: setting(Settings(), key) for key in KEYS} == profile_values("birds", params)


def test_nothing_is_written_where_a_profile_does_not_fit_or_does_not_exist(params):
    params.write_text(params.read_text().replace("  epochs: 22", "  epochs: many"))
    before = params.read_text()
    for name, said in (("bats", "train.epochs = 'many'"), ("whales", "must be one of birds, bats")):
        with pytest.raises(SettingsError, match=said):
            apply_profile(name, params)
    assert params.read_text() == before


def test_flags_hold_beside_a_profile_whatever_they_change(params):
    profile = profile_values("bats", params)
    settings = load_settings(params, {"min_freq": 9000.0, "train.augmentations": "gain"}, "audio", profile)
    assert settings.audio.min_freq == 9000.0 and settings.audio.max_freq == 120000.0
    assert [each.name for each in settings.train.augmentations] == ["gain"]


@pytest.mark.parametrize("text", ["", "- bats\n"])
def test_a_file_without_sections_is_one_line(params, text):
    params.write_text(text)
    with pytest.raises(SettingsError, match=r"params\.yaml: holds no sections; it must be a mapping of data, audio"):
        profile_values("bats", params)
