import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.config.load import get_config, load_settings, setting
from lib.config.schema import Settings
from lib.core.errors import SettingsError

PROJECT = Path(__file__).parents[2]
MINIMAL = "data:\n  train: {path: a}\n  test: {path: b}\noccurrences: {path: c}\n"
STAGES = ["extract", "train", "infer", "evaluate", "store", "summary", "pickle_occurrences"]
HEAVY = {"torch", "pandas", "mlflow", "sklearn", "sqlalchemy", "scipy", "matplotlib", "timm"}


@pytest.fixture
def params(tmp_path):
    """A function that writes a settings file."""

    def write(content: str | bytes = MINIMAL) -> Path:
        path = tmp_path / "params.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def faults(path: Path, **overrides: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load_settings(path, {key.replace("__", "."): value for key, value in overrides.items()})
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train.epoch", 5, "unknown key; did you mean epochs? allowed: multi_label, frontend, backbone,"),
        ("tain", 5, "unknown key; did you mean train? allowed: data, audio,"),
        ("data.train.pth", "x", "unknown key; did you mean path? allowed: path, format, include"),
        ("train.epochs", "many", "must be a valid integer"),
        ("train.epochs", 2.5, "must be a valid integer"),
        ("train.epochs", 0, "must be greater than or equal to 1"),
        ("train.learning_rate", "fast", "must be a valid number"),
        ("train.learning_rate", float("nan"), "must be a finite number"),
        ("train.dropout", 1, "must be less than 1"),
        ("extract.strict", "perhaps", "must be a valid boolean"),
        (
            "data.test.format",
            "raven2",
            "must be one of auto, aoef, audacity, batdetect2, csv, folders, irmastest, irmastrain, kaleidoscope, "
            "openmic, raven, segments, sets",
        ),
        ("audio.channel", "second", "must be 'mix', 'first' or 'cleanest'"),
        ("audio.max_freq", 16001, "must be at most half of audio.sampling_rate (16000 Hz)"),
        ("audio.max_freq", 50, "must be above audio.min_freq (50 Hz)"),
        ("audio.sampling_rate", 30, "must be greater than or equal to 1000"),
        ("audio.hop_length", 1025, "must be at most audio.win_length (1024 samples)"),
        ("audio.spec_duration", 0, "must be greater than 0"),
        ("extract.overlap", 3, "must be below audio.spec_duration (3 s)"),
        ("infer.overlap", 4.5, "must be below audio.spec_duration (3 s)"),
        ("extract.min_seconds", 3.5, "must be at most audio.spec_duration (3 s)"),
        ("evaluate.min_seconds", 3.5, "must be at most audio.spec_duration (3 s)"),
        ("infer.week", 49, "must be less than or equal to 48, or 'date'"),
        ("infer.week", "may", "must be a valid integer, or 'date'"),
        ("infer.latitude", 91, "must be less than or equal to 90"),
    ],
)
def test_a_wrong_setting_is_one_line_with_key_value_and_what_is_allowed(params, key, value, said):
    path = params()
    (line,) = faults(path, **{key: value})
    assert line.startswith(f"--{key} = {value!r}: {said}")


@pytest.mark.parametrize("key", ["train.epochs", "data.train.path"])
def test_a_flag_without_a_value_needs_one(params, key):
    assert faults(params(), **{key: "True"}) == [f"--{key}: needs a value; see --help"]


def test_a_flag_that_is_true_and_does_not_fit_has_a_value(params):
    (line,) = faults(params(), train__freeze_backbone="True", train__head_epochs=2)
    assert line.startswith("--train.freeze_backbone = True: must be false where the backbone is trained later")


@pytest.mark.parametrize(("key", "value"), [("freeze_backbone", True), ("backbone_after", "stages.3")])
def test_what_has_random_weights_is_not_frozen(params, key, value):
    freezing = {f"train.{key}": value}
    (line,) = faults(params(), **freezing)
    assert line.startswith(f"--train.{key} = {value!r}: ") and "random weights" in line
    assert line.endswith("set train.load_checkpoint or train.pretrained too")
    for start in ({"train.pretrained": True}, {"train.load_checkpoint": "a.pt"}, {"train.backbone": "onnx:a.onnx"}):
        load_settings(params(), freezing | start)
    load_settings(params(), {"train.head_epochs": 2})  # later, all of a random backbone is trained


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"infer.latitude": 45.0}, "infer: latitude and longitude go together"),
        ({"infer.latitude": 45.0, "infer.longitude": 0.0, "infer.region": "CA"}, "infer: set region or latitude"),
        ({"infer.week": 5}, "infer.week = 5: needs a place"),
        ({"audio.freq_scale": "log", "audio.min_freq": 0}, "audio.min_freq = 0: must be at least 1 Hz"),
        ({"audio.spec_duration": 0.05}, "audio.spec_duration = 0.05: holds 5 frames"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(params, overrides, said):
    (line,) = faults(params(), **overrides)
    assert line.startswith((f"--{said}", f"{params()}: {said}"))


def test_each_fault_is_a_line(params):
    lines = faults(params(), train__epochs=0, train__dropout=2, audio__max_freq=1e6, nonsense=1)
    assert len(lines) == 4


def test_all_that_does_not_fit_is_told_at_once_and_nothing_that_follows_from_another_fault(params):
    bats = {"audio__spec_duration": 0.2, "audio__max_freq": 120000, "audio__hop_length": 2048, "train__epochs": 0}
    lines = faults(params(), **bats)
    assert [line.removeprefix(f"{params()}: ").partition(" = ")[0] for line in lines] == [
        *("--audio.hop_length", "--audio.max_freq", "--train.epochs"),
        *("extract.overlap", "infer.overlap", "extract.min_seconds", "evaluate.min_seconds"),
    ]
    (line,) = faults(params(), audio__sampling_rate="256k", audio__max_freq=120000)
    assert "audio.sampling_rate = '256k': must be a valid integer" in line


@pytest.mark.parametrize(
    "key", ["data.train.include", "train.threshold_precision", "infer.week", "infer.initial_offsets"]
)
@pytest.mark.parametrize("empty", ["", "null", "None"])
def test_a_setting_may_be_empty(params, key, empty):
    assert setting(load_settings(params(), {key: empty}), key) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no sections"),
        (b"- a\n- b\n", "holds no sections"),
        (b"data: [\n", "params.yaml:2: "),
        (b"a: b: c\n", "params.yaml:1: mapping values are not allowed here"),
        (b"data: \xff\n", "cannot be read"),
        (b"data: {train: {format: auto}}\n", "data.train.path: missing; add it"),
    ],
)
def test_a_file_that_is_no_settings_is_told_where(params, content, said):
    lines = faults(params(content))
    assert said in lines[0] and all(line.startswith(str(params(content))) for line in lines)


def test_a_missing_file_is_one_line(tmp_path):
    (line,) = faults(tmp_path / "none.yaml")
    assert line.startswith(f"{tmp_path}/none.yaml: no such file")


def test_overrides_replace_what_the_file_says(params):
    path = params(MINIMAL + "train: {epochs: 7}\ninfer: {overlap: 1}\n")
    settings = load_settings(path, {"overlap": 0.5, "audio.top_db": 60, "train.dropout": 0.0}, section="infer")
    assert (settings.infer.overlap, settings.extract.overlap) == (0.5, 1.5)
    assert (settings.audio.top_db, settings.train.dropout, settings.train.epochs) == (60.0, 0.0, 7)


@pytest.mark.parametrize(("word", "value"), [("null", None), ("CA-ON", "CA-ON")])
def test_an_override_may_be_null_as_in_the_file(params, word, value):
    assert load_settings(params(), {"infer.region": word}).infer.region == value


def test_an_override_may_be_true_or_false_as_in_the_file(params):
    settings = load_settings(params(), {"extract.strict": "true", "audio.decibels": "false"})
    assert settings.extract.strict and not settings.audio.decibels


@pytest.mark.parametrize("number", ["2e-3", "2E-3", "2.0e-3", "0.002", "+2e-03"])
def test_numbers_are_read_as_dvc_reads_them(params, number):
    assert load_settings(params(MINIMAL + f"train: {{learning_rate: {number}}}\n")).train.learning_rate == 0.002


def test_an_override_below_something_that_is_no_section_is_one_line(params):
    path = params(MINIMAL + "audio: {top_db: 80}\n")
    assert faults(path, audio__top_db__x=1) == ["--audio.top_db.x: top_db is not a section"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_refuses_wrong_settings_in_one_line_before_it_imports_anything_heavy(stage):
    command = [sys.executable, "-X", "importtime", "-m", f"stages.{stage}", "--audio.max_freq=20000"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert (done.returncode, done.stdout) == (1, "")
    assert lines == ["error: --audio.max_freq = 20000: must be at most half of audio.sampling_rate (16000 Hz)"]
    assert imported & HEAVY == set() and "pydantic" in imported


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("data.train.path", "20240512_053000", "20240512_053000"),
        ("data.train.include", "2024", "2024"),
        ("train.epochs", "5", 5),
        ("train.learning_rate", "1e-3", 1e-3),
        ("infer.week", "date", "date"),
        ("infer.week", "12", 12),
        ("infer.region", "null", None),
        ("infer.strict", "True", True),
    ],
)
def test_text_of_the_command_line_means_what_it_means_in_params_yaml(key, text, value):
    overrides = {key: text} | ({"infer.latitude": "1", "infer.longitude": "2"} if key == "infer.week" else {})
    settings = load_settings(PROJECT / "params.yaml", overrides)
    for part in key.split("."):
        settings = getattr(settings, part)
    assert settings == value and type(settings) is type(value)


def test_get_config_gives_settings_of_its_own_that_can_be_changed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    cfg = get_config()
    assert cfg == Settings()
    cfg.audio.freq_scale = "linear"
    cfg.audio.choose_channel = True
    assert (cfg.audio.freq_scale, cfg.audio.channel) == ("linear", "cleanest")
    assert (get_config().audio.freq_scale, get_config().audio.choose_channel) == ("mel", False)


def test_get_config_tells_once_that_it_found_no_params(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    get_config()
    get_config()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and f"{tmp_path}: holds no params.yaml: default settings are used" in lines[0]


def test_get_config_reads_the_params_of_the_folder_and_any_file_that_holds_some_sections(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("audio: {spec_duration: 5.0}\n")
    Path("other.yaml").write_text("infer: {min_score: 0.3}\n")
    assert get_config().audio.spec_duration == 5.0
    other = get_config("other.yaml")
    assert (other.infer.min_score, other.audio.spec_duration) == (0.3, 3.0)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("audio", "freq_scale", "bark", "freq_scale = 'bark': must be 'mel', 'log' or 'linear'"),
        ("train", "epochs", 0, "epochs = 0: must be greater than or equal to 1"),
        ("train", "epohcs", 5, "epohcs = 5: unknown key; did you mean epochs?"),
    ],
)
def test_a_value_that_cannot_be_is_refused_where_it_is_set(section, key, value, said):
    cfg = Settings()
    with pytest.raises(SettingsError) as error:
        setattr(getattr(cfg, section), key, value)
    assert str(error.value).startswith(said)
    assert cfg == Settings()


def test_values_that_depend_on_each_other_are_set_one_after_the_other():
    cfg = Settings()
    cfg.infer.latitude = 45.0
    with pytest.raises(SettingsError, match="latitude and longitude go together"):
        cfg.checked()
    cfg.infer.longitude = -75.0
    cfg.audio.max_freq = 20000
    cfg.audio.sampling_rate = 44100
    assert cfg.checked() == cfg


def test_values_may_be_those_of_numpy_and_paths():
    train = Settings().train
    train.epochs, train.learning_rate, train.load_checkpoint = np.int64(5), np.float32(0.5), Path("a") / "model.pt"
    assert (train.epochs, train.learning_rate, train.load_checkpoint) == (5, 0.5, "a/model.pt")


def test_checked_finds_values_that_do_not_fit_together():
    audio = Settings().audio
    audio.sampling_rate = 8000
    with pytest.raises(SettingsError, match=r"max_freq = 15000: must be at most half of audio.sampling_rate"):
        audio.checked()


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{name: train.dropout}", "give choices"),
        ("{name: train.dropout, type: float, bounds: [0, 1]}", "give bounds, [lowest, highest], and step"),
        ("{name: train.dropout, type: float, bounds: [1, 0], step: 0.5}", "must be [lowest, highest]"),
    ],
)
def test_a_parameter_to_tune_needs_values(params, space, said):
    (line,) = faults(params(MINIMAL + f"tune: {{space: [{space}]}}\n"))
    assert "tune.space" in line
    assert said in line


@pytest.mark.parametrize(
    ("given", "value"),
    [("True", True), ("false", False), ("data/inputs/ast.safetensors", "data/inputs/ast.safetensors")],
)
def test_weights_of_others_are_wanted_or_not_or_named(params, given, value):
    assert load_settings(params(), {"train.pretrained": given}).train.pretrained == value
