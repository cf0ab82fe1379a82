import pytest

from lib.config.load import load_settings, setting, with_changes
from lib.config.schema import Settings
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
    with pytest.raises(SettingsError, match=r"--start_seconds = .*: must be"):
        load_settings(params, {"start_seconds": text}, "infer")


def test_a_key_of_a_section_within_the_stages_own_needs_no_more_than_its_place_there(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("{}\n")
    assert load_settings(params, {"test.path": "elsewhere"}, "data").data.test.path == "elsewhere"


@pytest.mark.parametrize("listed", ["mixup,gain", "[mixup, gain]", ["mixup", "gain"]], ids=str)
@pytest.mark.parametrize("is_list_first", [True, False])
def test_flags_of_a_list_and_of_its_parts_hold_in_any_order(tmp_path, listed, is_list_first):
    params = tmp_path / "params.yaml"
    params.write_text("{}\n")
    flags = [("augmentations", listed), ("augmentations.mixup.probability", 0.25)]
    settings = load_settings(params, dict(flags if is_list_first else flags[::-1]), "train")
    assert [each.name for each in settings.train.augmentations] == ["mixup", "gain"]
    assert setting(settings, "train.augmentations.mixup.probability") == 0.25
    assert listed in ("mixup,gain", "[mixup, gain]", ["mixup", "gain"])


def test_a_part_of_a_list_that_a_file_writes_as_a_text_can_be_set(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("train: {augmentations: 'mixup, gain'}\n")
    settings = load_settings(params, {"augmentations.gain.max_db": 3.0}, "train")
    assert [each.name for each in settings.train.augmentations] == ["mixup", "gain"]
    assert setting(settings, "train.augmentations.gain.max_db") == 3.0


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("infer.formats.raven.codes", "infer.formats = .*must be"),
        ("evaluate.metrics.f1.top", "evaluate.metrics = .*unk"),
    ],
)
def test_a_flag_of_a_section_that_does_not_exist_is_named(tmp_path, flag, said):
    params = tmp_path / "params.yaml"
    params.write_text("{}\n")
    with pytest.raises(SettingsError, match=said):
        load_settings(params, {flag: 1})


def test_changes_of_a_list_and_of_its_parts_are_made_in_that_order_and_leave_the_values_as_they_are():
    listed = ["mixup"]
    changes = {"train.augmentations.mixup.probability": 0.25, "train.augmentations": listed}
    settings = with_changes(Settings(), changes)
    assert setting(settings, "train.augmentations.mixup.probability") == 0.25
    assert listed == ["mixup"]
