import re

import pytest
from dvc.utils.hydra import apply_overrides

from lib.config.documentation import params_text, settings_help
from lib.config.faults import validated
from lib.config.load import load_settings, setting, with_changes
from lib.config.named_parts import flat_values
from lib.config.params_file import write_params
from lib.config.schema import Settings, TrainSettings
from lib.core.errors import SettingsError

DEFAULT = ["time_shift", "mixup", "background_mix", "gain", "freq_mask", "time_mask"]


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(params_text(Settings()), encoding="utf-8")
    return path


def names(settings):
    return [entry.name for entry in settings.train.augmentations]


def fault_of(augmentations):
    with pytest.raises(SettingsError) as caught:
        validated(Settings, {"train": {"augmentations": augmentations, "epochs": 0}}, "params.yaml: ")
    lines = str(caught.value).splitlines()
    assert "params.yaml: train.epochs = 0: must be greater than or equal to 1" in lines
    (line,) = [line for line in lines if "epochs" not in line]
    return line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[time_shift, {name: pitch, semitones: 2}]", ["time_shift", "pitch"]),
        ("time_shift, mixup", ["time_shift", "mixup"]),
        ("mixup", ["mixup"]),
        ("[]", []),
    ],
)
def test_a_flag_gives_a_whole_list(params, text, expected):
    settings = load_settings(params, {"augmentations": text}, "train")
    assert names(settings) == names(load_settings(params, {"train.augmentations": text}, "infer")) == expected


def test_a_flag_gives_a_setting_of_an_entry_of_the_list(params):
    settings = load_settings(params, {"augmentations.mixup.probability": "0.8"}, "train")
    assert setting(settings, "train.augmentations.mixup.probability") == 0.8 and names(settings) == DEFAULT
    params.write_text("train: {augmentations: [pitch]}\n")
    assert (
        setting(
            load_settings(params, {"train.augmentations.pitch.semitones": "3"}), "train.augmentations.pitch.semitones"
        )
        == 3
    )
    params.write_text("{}\n")  # an entry of the default list
    settings = load_settings(params, {"augmentations.time_mask.seconds": 0.1}, "train")
    assert setting(settings, "train.augmentations.time_mask.seconds") == 0.1 and names(settings) == DEFAULT


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "augmentations.mixup.probability",
            "2",
            "--augmentations.mixup.probability = 2: must be less than",
        ),
        ("augmentations.mixup.share", "1", "--augmentations.mixup.share = '1': unknown key; allowed: name, prob"),
        (
            "augmentations.pitch.semitones",
            "2",
            "--augmentations.pitch.semitones: train.augmentations lists no",
        ),
        ("augmentations.mixup", "2", "--augmentations.mixup: train.augmentations is a list; give"),
        ("augmentations", "[flip]", "--augmentations.flip: must be one of background_mix"),
        ("mixup", 0.5, "--mixup = 0.5: is now train.augmentations.mixup.probability"),
    ],
)
def test_a_faulty_flag_is_one_line_that_names_it(params, key, value, said):
    with pytest.raises(SettingsError) as caught:
        load_settings(params, {key: value}, "train")
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["flip"], r"flip: must be one of background_mix, .*; did you mean timeinv\?"),
        (["PITCH"], r"PITCH: must be one of .*; did you mean pitch\?"),
        (
            [{"name": "pitch", "semitons": 2}],
            r"pitch\.semitons = 2: unknown key; did you mean semitones\? allowed",
        ),
        ([{"name": "pitch", "semitones": 99}], r"pitch\.semitones = 99: must be less than or equal to 24"),
        ([{"name": "blur", "sigma": [1, 0.2]}], r"blur\.sigma = \[1, 0\.2\]: must be the lowest and the highest value"),
        (["pitch", {"name": "pitch"}], r"pitch: is given twice"),
        ([{"semitones": 2}], r".*must be a name, or a mapping of name and settings"),
        ([None], r".*must be a name, or a mapping of name and settings"),
    ],
)
def test_a_faulty_entry_is_one_line_that_names_it_beside_other_faults(entries, said):
    assert re.match(r"params\.yaml: train\.augmentations\." + said, fault_of(entries))
    assert fault_of(7).startswith("params.yaml: train.augmentations = 7: must be a list of names")


@pytest.mark.parametrize("old", TrainSettings.moved)
def test_a_setting_of_earlier_versions_says_where_it_went(old):
    with pytest.raises(
        SettingsError, match=rf"^train\.{old} = 1: is now train\.augmentations\.\w+\.\w+; write \{{name: "
    ):
        validated(Settings, {"train": {old: 1}})
    assert setting(Settings(), TrainSettings.moved[old]) is not None
    with pytest.raises(SettingsError, match=r"is now train\.augmentations"):
        setattr(TrainSettings(), old, 1)


def test_values_set_in_code_are_checked_and_names_become_entries():
    settings = TrainSettings()
    settings.augmentations = ["pitch", {"name": "gain", "max_db": 3}]
    assert [entry.name for entry in settings.augmentations] == ["pitch", "gain"]
    with pytest.raises(SettingsError, match=r"^augmentations\.pitch\.semitones = -1: must be"):
        settings.augmentations = [{"name": "pitch", "semitones": -1}]
    settings.augmentations[0].semitones = 5
    assert settings.checked().augmentations[0].semitones == 5


def test_dvc_sets_the_list_or_a_setting_of_an_entry_by_its_place(params):
    apply_overrides(params, ["train.augmentations.1.probability=0.8"])
    settings = load_settings(params)
    assert setting(settings, "train.augmentations.mixup.probability") == 0.8 and names(settings) == DEFAULT
    apply_overrides(params, ["train.augmentations=[time_shift,{name:pitch,semitones:2}]"])
    settings = load_settings(params)
    assert names(settings) == ["time_shift", "pitch"] and settings.train.augmentations[1].semitones == 2
    apply_overrides(params, ["train.augmentations=[]"])
    assert load_settings(params).train.augmentations == []


def test_dvc_leaves_the_list_as_it_is_written(params):
    before = params.read_text()
    apply_overrides(params, ["train.epochs=33"])
    assert params.read_text().replace("  epochs: 33 #", "  epochs: 22 #") == before


def test_changes_by_name_are_made_in_settings_and_in_files(params):
    changed = with_changes(Settings(), {"train.augmentations.gain.max_db": 3.0})
    assert setting(changed, "train.augmentations.gain.max_db") == 3.0
    (change,) = write_params({"train.augmentations.gain.max_db": 3.0}, params)
    assert (change.before, change.after) == (6.0, 3.0) and load_settings(params) == changed
    assert "# passes over the data" in params.read_text()


def test_params_of_a_run_are_called_by_the_names_of_entries():
    values = flat_values(Settings().model_dump())
    assert values["train.augmentations"] == "time_shift, mixup, background_mix, gain, freq_mask, time_mask"
    assert values["train.augmentations.mixup.probability"] == 0.5
    assert not [name for name in values if name.startswith("train.augmentations") and name.endswith(".name")]
    assert flat_values({"a": {"b": []}}) == {"a.b": []}


def test_help_tells_of_each_entry_that_the_list_may_have():
    told = dict(settings_help("train", Settings()))
    assert told["--augmentations.mixup.probability (number from 0 to 1; default: 0.5)"].startswith(
        "that a window is mixed"
    )
    assert told["--augmentations.pitch (not in the list)"].startswith("A window becomes higher or lower")
    assert all(meaning for name, meaning in told.items() if name.startswith("--augmentations"))
