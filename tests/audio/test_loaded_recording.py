import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.audio.loaded_recording import Audio, torch_frames
from lib.audio.spectrograms import recording_windows, whole_frames
from lib.config.schema import Settings
from lib.core.errors import SettingsError
from lib.sound.grid import window_starts
from tests.recordings import noise, sine, write

RATE = 8000
FIELD = Path("../shared/data/field")


def config(**audio) -> Settings:
    values = {
        "sampling_rate": RATE,
        "spec_duration": 1.0,
        "spec_height": 24,
        "win_length": 256,
        "hop_length": 80,
        "min_freq": 100.0,
        "max_freq": 3900.0,
    }
    return Settings.model_validate({"audio": values | audio, "extract": {"overlap": 0.0}, "infer": {"overlap": 0.0}})


def loaded(path, **audio) -> Audio:
    made = Audio(device="cpu", cfg=config(**audio))
    assert made.load(str(path))[0] is not None, made.load_error
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """6.5 s of noise that gets louder, with a pause and a tone."""
    samples = noise(6.5, RATE) * np.linspace(0.1, 1, round(6.5 * RATE), dtype=np.float32)
    samples[3 * RATE : 3 * RATE + RATE // 2] = 0
    samples[4 * RATE : 5 * RATE] += sine(1000, 1.0, RATE)
    return write(tmp_path_factory.mktemp("audio") / "a.wav", samples, RATE, "FLOAT")


def test_load_returns_the_signal_and_its_rate(path):
    audio = Audio(device="cpu", cfg=config())
    signal, rate = audio.load(str(path))
    assert rate == audio.sampling_rate == RATE
    assert signal is audio.signal and signal.dtype == np.float32
    np.testing.assert_array_equal(signal, soundfile.read(path, dtype="float32")[0])
    assert audio.signal_len() == len(signal) and audio.seconds() == pytest.approx(6.5)
    assert audio.path == str(path) and audio.load_error is None


def test_any_format_is_resampled_to_the_configured_rate(tmp_path):
    audio = loaded(write(tmp_path / "a.m4a", sine(500, 2.0, 44100), 44100))
    assert audio.seconds() == pytest.approx(2.0, abs=0.06)
    middle = audio.signal[len(audio.signal) // 4 : -len(audio.signal) // 4]
    assert np.sqrt(np.square(middle).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_channels_are_mixed_or_the_cleaner_one_is_chosen(tmp_path):
    tone = sine(1000, 2.0, RATE) * np.repeat([1, 0, 1, 0], RATE // 2).astype(np.float32)
    path = write(tmp_path / "a.wav", np.stack([tone + noise(2.0, RATE), tone], axis=1), RATE, "FLOAT")
    np.testing.assert_array_equal(loaded(path, channel="cleanest").signal, tone)
    np.testing.assert_allclose(loaded(path).signal, tone + noise(2.0, RATE) / 2, atol=1e-6)
    cfg = config()
    cfg.audio.choose_channel = True
    audio = Audio(device="cpu", cfg=cfg)
    audio.load(path)
    np.testing.assert_array_equal(audio.signal, tone)


@pytest.mark.parametrize("bad", ["missing.wav", "empty.wav", "text.wav", "", None])
def test_failed_load_leaves_no_signal_and_one_line_in_the_log(tmp_path, path, bad, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.wav").touch()
    Path("text.wav").write_text("no sound at all")
    audio = loaded(path)
    assert audio.load(bad) == (None, RATE)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.message.startswith(str(bad))
    assert record.message.count(".wav") <= 1
    assert audio.load_error == record.message and "\n" not in record.message
    assert (audio.signal, audio.path, audio.seconds(), audio.signal_len()) == (None, None, 0, 0)
    assert audio.get_spectrograms([0.0]) == (None, None)
    assert audio.load(str(path))[0] is not None and audio.load_error is None


def test_spectrograms_are_tensors_of_the_configured_shape(path):
    normalized, levels = loaded(path).get_spectrograms([0, 1.0, 5.5])
    for specs in (normalized, levels):
        assert isinstance(specs, torch.Tensor) and specs.dtype == torch.float32 and specs.shape == (3, 24, 100)
    assert normalized.min() >= 0 and normalized.amax(dim=(1, 2)).tolist() == [1, 1, 1]
    assert levels.max() < 60 and levels.min() < 0  # decibels
    np.testing.assert_allclose(normalized, 1 + (levels - levels.amax(dim=(1, 2), keepdim=True)) / 80, atol=1e-5)
    _, levels = loaded(path).get_spectrograms([3.6], top_db=20)
    assert levels.max() - levels.min() == pytest.approx(20, abs=1e-4)
    assert [specs.shape for specs in loaded(path).get_spectrograms([])] == [(0, 24, 100)] * 2


def test_spectrograms_are_those_that_extraction_and_inference_make(path):
    audio = loaded(path)
    starts = window_starts(6.5, 1.0, 0.25)
    (windows,) = recording_windows(path, config().audio, 0.25, 100)
    for skip_cache in (False, True):
        normalized, _ = audio.get_spectrograms(list(starts), skip_cache=skip_cache)
        np.testing.assert_allclose(normalized, windows.inputs, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    starts=st.lists(st.floats(-2, 9), min_size=1, max_size=20),
    scale=st.sampled_from(["mel", "log", "linear"]),
    decibels=st.booleans(),
    spec_duration=st.sampled_from([0.3, 1.0, 2.5]),
)
def test_cache_changes_no_result_wherever_windows_start(path, starts, scale, decibels, spec_duration):
    audio = loaded(path)
    options = {"freq_scale": scale, "decibels": decibels, "spec_duration": spec_duration}
    single = audio.get_spectrograms(starts, **options, skip_cache=True)
    whole = audio.get_spectrograms([*np.arange(0, 9, 0.1), *starts], **options)
    for one, other in zip(single, whole, strict=True):
        np.testing.assert_allclose(one, other[-len(starts) :], atol=1e-3 if decibels else 1e-5)
    np.testing.assert_allclose(single[0], whole[0][-len(starts) :], atol=1e-4)


def test_window_starts_at_the_nearest_frame(path):
    audio = loaded(path)
    on_grid, _ = audio.get_spectrograms([1.0, 1.01])
    for skip_cache in (False, True):
        near, _ = audio.get_spectrograms([1.004, 1.006], skip_cache=skip_cache)
        np.testing.assert_allclose(near, on_grid, atol=1e-4)


def test_beyond_the_ends_of_a_recording_is_silence(path):
    audio = loaded(path)
    normalized, levels = audio.get_spectrograms([-0.5, 6.0, 100.0, -100.0])
    assert not normalized[0, :, :45].any() and normalized[0, :, 55:].any()
    assert not normalized[1, :, 55:].any() and normalized[1, :, :45].any()
    assert not normalized[2:].any()
    assert len(levels) == 4


def test_settings_of_one_call_go_before_the_configured_ones(path):
    audio = loaded(path)
    calls = {"freq_scale": "linear", "spec_duration": 2.0, "top_db": 30, "db_power": 2, "decibels": False}
    for key, value in calls.items():
        kind = float if key in ("top_db", "db_power") else type(value)
        expected = loaded(path, **{key: kind(value)}).get_spectrograms([0.0, 3.9])
        for skip_cache in (True, False):
            actual = audio.get_spectrograms([0.0, 3.9], **{key: value}, skip_cache=skip_cache)
            for one, other in zip(actual, expected, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-3)
        plain, _ = audio.get_spectrograms([0.0, 3.9])
        assert plain.shape != actual[0].shape or not np.allclose(plain, actual[0], atol=1e-2)


def test_cache_is_rebuilt_for_another_scale(path):
    audio, starts = loaded(path), list(np.arange(0, 5, 0.1))
    mel, _ = audio.get_spectrograms(starts)
    linear, _ = audio.get_spectrograms(starts, freq_scale="linear")
    again, _ = audio.get_spectrograms(starts)
    assert torch.equal(mel, again) and not torch.allclose(mel, linear, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("freq_scale", {"freq_scale": "bark"}),
        ("spec_duration", {"spec_duration": 0.01}),
        ("start_times", {"start_times": [0.0, np.nan]}),
        ("start_times", {"start_times": [0.0, np.inf]}),
    ],
)
def test_impossible_settings_are_named(path, name, arguments):
    with pytest.raises(SettingsError, match=name):
        loaded(path).get_spectrograms(**{"start_times": [0.0]} | arguments)


@pytest.fixture
def copy(path, tmp_path):
    return Path(shutil.copy(path, tmp_path / "copy.wav"))


def test_lower_rate_is_made_without_reading_again_and_going_back_loses_nothing(path, copy):
    audio = loaded(copy)
    before = audio.signal
    copy.unlink()
    audio.set_config(config(sampling_rate=4000, max_freq=1900.0))
    assert audio.signal_len() == pytest.approx(6.5 * 4000, abs=2) and audio.seconds() == pytest.approx(6.5, abs=1e-3)
    np.testing.assert_allclose(audio.signal, loaded(path, sampling_rate=4000, max_freq=1900.0).signal, atol=1e-3)
    assert audio.get_spectrograms([0.0])[0].shape == (1, 24, 50)
    audio.set_config(config())
    np.testing.assert_array_equal(audio.signal, before)


def test_higher_rate_than_was_loaded_is_read_from_the_file(path):
    audio = loaded(path, sampling_rate=4000, max_freq=1900.0)
    audio.set_config(config())
    np.testing.assert_array_equal(audio.signal, loaded(path).signal)


def test_higher_rate_is_interpolated_where_the_file_is_gone(copy, caplog):
    audio = loaded(copy, sampling_rate=4000, max_freq=1900.0)
    copy.unlink()
    audio.set_config(config())
    assert audio.seconds() == pytest.approx(6.5, abs=1e-3) and audio.sampling_rate == RATE
    assert "copy.wav" in caplog.text


def test_without_resampling_the_samples_count_at_the_new_rate(path):
    audio = loaded(path)
    before = audio.signal
    audio.set_config(config(sampling_rate=4000, max_freq=1900.0), resample=False)
    assert audio.signal is before and audio.sampling_rate == 4000
    assert audio.seconds() == pytest.approx(13.0)
    loudest = audio.get_spectrograms([8.5])[0][0].mean(dim=1).argmax()  # the tone, an octave lower, which fills 8 to 10
    audio.set_config(config(), resample=False)
    assert loudest != audio.get_spectrograms([4.2])[0][0].mean(dim=1).argmax()
    audio.set_config(config(sampling_rate=16000))  # from these samples, not from the file
    assert audio.seconds() == pytest.approx(6.5)


def test_other_spectrogram_settings_use_the_loaded_signal(path):
    audio = loaded(path)
    signal = audio.signal
    audio.get_spectrograms(list(np.arange(0, 5, 0.1)))
    audio.set_config(config(spec_height=40, hop_length=100))
    assert audio.signal is signal
    expected = loaded(path, spec_height=40, hop_length=100).get_spectrograms([0.0, 2.0])[0]
    assert torch.equal(audio.get_spectrograms([0.0, 2.0])[0], expected)


def test_the_signal_can_be_set(path):
    audio = loaded(path)
    audio.get_spectrograms(list(np.arange(0, 5, 0.1)))
    audio.signal = np.zeros(2 * RATE)
    assert audio.seconds() == 2 and not audio.get_spectrograms([0.0, 1.0])[0].any()


def test_settings_are_those_of_the_moment_they_were_given(path):
    cfg = config()
    audio = Audio(device="cpu", cfg=cfg)
    audio.load(path)
    cfg.audio.spec_height = 48
    assert audio.get_spectrograms([0])[0].shape[1] == 24
    audio.set_config(cfg)
    assert audio.get_spectrograms([0])[0].shape[1] == 48


def test_default_settings_are_those_of_params_yaml_in_the_current_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Audio().cfg == Settings()
    (tmp_path / "params.yaml").write_text("audio: {sampling_rate: 8000, max_freq: 3900.0, spec_height: 40}\n")
    audio = Audio(device="cpu")
    audio.load(path)
    assert audio.sampling_rate == 8000 and audio.get_spectrograms([0])[0].shape[1] == 40


def test_default_device_is_the_best_there_is():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert Audio(cfg=config()).device == Audio("auto", config()).device == best


def test_device_that_is_not_there_is_named():
    with pytest.raises(SettingsError, match="abacus"):
        Audio(device="abacus")


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("changes", [{}, {"freq_scale": "log"}, {"win_length": 301, "hop_length": 77}])
def test_torch_computes_the_same_levels_on_any_device(device, changes):
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        pytest.skip(f"needs {device}")
    samples = np.concatenate([noise(3.0, RATE), np.zeros(RATE, np.float32)])
    for decibels in (True, False):
        audio = config(decibels=decibels, **changes).audio
        expected, actual = whole_frames(samples, audio), torch_frames(samples, audio, device)
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        scale = audio.top_db if decibels else expected.max()
        np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_spectrograms_made_on_a_gpu_equal_those_made_on_a_cpu(path):
    gpu = Audio(device="cuda", cfg=config())
    gpu.load(path)
    for starts in ([0.3, 5.8], list(np.arange(-1, 7, 0.1))):
        for one, other in zip(gpu.get_spectrograms(starts), loaded(path).get_spectrograms(starts), strict=True):
            np.testing.assert_allclose(one / 80, other / 80, atol=1e-4)


@pytest.mark.skipif(not FIELD.is_dir(), reason="needs ../shared/data")
def test_real_recordings_load(caplog):
    audio = Audio(device="cpu", cfg=Settings())
    for file in sorted(FIELD.iterdir()):
        signal, rate = audio.load(str(file))
        assert rate == 32000
        if file.name == "empty_2c.wav":
            assert signal is None and len(caplog.records) == 1
        else:
            specs, _ = audio.get_spectrograms([0.0])
            assert specs.shape == (1, 64, 300) and specs.any()
