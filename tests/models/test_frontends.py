from typing import get_args

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from torchaudio.compliance.kaldi import fbank

from lib.audio.spectrogram_tensors import spectrograms_of
from lib.config.schema import AudioSettings
from lib.config.setting_values import Frontend
from lib.core.errors import EarshotError, SettingsError
from lib.models.frontends import FRONTENDS, make_frontend
from lib.models.frontends.ast_filter_bank import AUDIOSET_DEVIATION, AUDIOSET_MEAN
from tests.recordings import noise, sine

RATE = 16000
AUDIO = AudioSettings(
    sampling_rate=RATE, spec_duration=1.0, spec_height=40, win_length=512, hop_length=160, max_freq=7600
)
OF_WAVEFORMS = sorted(set(get_args(Frontend)) - {"mel"})


@pytest.fixture(scope="module")
def waveforms():
    """Windows with their margins: noise, a tone, a chirp, a click, silence."""
    n = AUDIO.window_samples + 2 * AUDIO.margin
    time = np.arange(n) / RATE
    chirp = 0.3 * np.sin(2 * np.pi * (200 * time + 1500 * time**2))
    click = np.where(np.arange(n) == 5000, 0.9, 0.0)
    sounds = [noise(2.0, RATE)[:n], sine(440.0, 2.0, RATE)[:n], chirp, click, np.zeros(n)]
    return torch.from_numpy(np.stack(sounds).astype(np.float32))


def images_of(name: str, waveforms: torch.Tensor, audio: AudioSettings = AUDIO) -> torch.Tensor:
    with torch.inference_mode():
        return make_frontend(name, audio)(waveforms)


def inside(waveforms: torch.Tensor) -> torch.Tensor:
    return waveforms[:, AUDIO.margin : AUDIO.margin + AUDIO.window_samples]


def test_each_value_of_the_setting_is_a_frontend():
    assert sorted(FRONTENDS) == sorted(get_args(Frontend))
    with pytest.raises(SettingsError, match="did you mean mfcc"):
        make_frontend("mffc", AUDIO)


@pytest.mark.parametrize("name", OF_WAVEFORMS)
def test_images_are_finite_of_the_stated_shape_and_the_same_in_any_batch(name, waveforms):
    frontend = make_frontend(name, AUDIO)
    assert not frontend.state_dict() and not list(frontend.parameters())
    images = frontend(waveforms)
    assert images.isfinite().all() and images.dtype == torch.float32 and images[:3].abs().max() < 10
    if frontend.gives == "images":
        assert images.shape[:3] == (5, frontend.n_channels, frontend.height)
        assert images.shape[3] == (98 if name == "ast" else AUDIO.spec_width)
    for i in range(5):
        torch.testing.assert_close(frontend(waveforms[i : i + 1])[0], images[i], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", OF_WAVEFORMS)
def test_margins_may_be_missing_and_other_lengths_are_refused(name, waveforms):
    frontend, bare = make_frontend(name, AUDIO), inside(waveforms)
    same = frontend.example.shape[1] == AUDIO.window_samples
    assert frontend(bare).shape == frontend(waveforms).shape
    assert same == (not frontend.has_margins) == frontend(bare).equal(frontend(waveforms))
    with pytest.raises(EarshotError, match="windows have 16000 samples, or 16512 with their margins"):
        frontend(bare[:, 1:])


@pytest.mark.parametrize("name", FRONTENDS)
def test_silence_has_the_stated_value(name):
    frontend = make_frontend(name, AUDIO)
    silent = frontend(frontend.example)
    torch.testing.assert_close(silent, torch.full_like(silent, frontend.silence))


@pytest.mark.parametrize("name", [name for name in OF_WAVEFORMS if name != "ast"])
def test_loudness_does_not_matter(name, waveforms):
    loud, soft = images_of(name, waveforms[:3]), images_of(name, 0.1 * waveforms[:3])
    torch.testing.assert_close(soft, loud, atol=3e-3, rtol=0)


def test_half_precision_around_it_does_not_reach_a_frontend(waveforms):
    for name in OF_WAVEFORMS:
        plain = images_of(name, waveforms)
        with torch.autocast("cpu", torch.bfloat16):
            images = images_of(name, waveforms)
        assert images.dtype == torch.float32 and images.equal(plain)


def test_mfcc_are_those_of_torchaudio(waveforms):
    transform = torchaudio.transforms.MFCC(
        RATE,
        n_mfcc=40,
        melkwargs={"n_fft": 512, "hop_length": 160, "f_min": 50.0, "f_max": 7600.0, "n_mels": 40, "center": False},
    )
    for waveform in waveforms[:3]:
        heard = waveform[: 99 * 160 + 512]
        expected, actual = transform(heard) / 80, images_of("mfcc", waveform[None])[0, 0]
        torch.testing.assert_close(actual[1:], expected[1:], atol=1e-3, rtol=0)
        offset = actual[0] - expected[0]
        torch.testing.assert_close(offset, offset.mean().expand_as(offset), atol=1e-3, rtol=0)


def test_the_channels_of_multi_are_spectrogram_chroma_and_mfcc(waveforms):
    images = images_of("multi", waveforms)
    torch.testing.assert_close(images[:, 0], spectrograms_of(waveforms, AUDIO), atol=1e-5, rtol=0)
    torch.testing.assert_close(images[:, 2], images_of("mfcc", waveforms)[:, 0], atol=1e-4, rtol=0)
    for waveform, chroma in zip(waveforms, images[:, 1], strict=True):
        options = {"sr": RATE, "n_fft": 512, "hop_length": 160, "center": False, "tuning": 0.0}
        expected = librosa.feature.chroma_stft(y=waveform.numpy()[: 99 * 160 + 512], **options)
        rows = np.arange(40) * 12 // 40
        is_loud = expected.max(axis=0) > 0.99  # librosa leaves the faintest frames as they are
        np.testing.assert_allclose(chroma[:, is_loud], expected[rows][:, is_loud], atol=1e-4)
    loudest = images[1, 1].mean(dim=1).argmax()
    assert rows[loudest] == 9  # the tone is an A


def test_ast_images_are_kaldis_filter_bank_by_audiosets_statistics(waveforms):
    images = images_of("ast", waveforms)
    for waveform, image in zip(inside(waveforms), images, strict=True):
        bank = fbank(
            (waveform - waveform.mean())[None],
            htk_compat=True,
            sample_frequency=RATE,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=128,
            dither=0.0,
            frame_shift=10,
        )
        expected = (bank.T - AUDIOSET_MEAN) / (2 * AUDIOSET_DEVIATION)
        torch.testing.assert_close(image[0], expected, atol=1e-4, rtol=0)


def test_waveforms_have_zero_mean_and_unit_variance(waveforms):
    sounds = images_of("waveform", waveforms)
    assert sounds.shape == (5, RATE)
    assert sounds.mean(dim=1).abs().max() < 1e-4 and not sounds[4].any()
    torch.testing.assert_close(sounds[:4].std(dim=1, correction=0), torch.ones(4), atol=1e-2, rtol=0)


def test_scalograms_are_those_of_wavelets_in_the_time_domain(waveforms):
    audio = AudioSettings(**AUDIO.model_dump() | {"min_freq": 150.0, "max_freq": 4800.0, "spec_height": 24})
    images = images_of("wavelet", waveforms, audio)[:, 0]
    frequencies = np.geomspace(150.0, 4800.0, 24)
    for waveform, image in zip(inside(waveforms)[:4], images, strict=False):
        expected = np.stack([voice_power(waveform.numpy().astype(float), f) for f in frequencies])
        levels = 10 * np.log10(np.maximum(expected, 1e-18))
        expected = np.clip(1 + (levels - levels.max()) / 80, 0, 1)
        is_loud = expected > 0.5  # further down, the cut ends of wavelets count, and envelopes fall steeply
        np.testing.assert_allclose(image[is_loud], expected[is_loud], atol=0.02)
    assert frequencies[images[1].mean(dim=1).argmax()] == pytest.approx(440, rel=0.1)


def voice_power(samples: np.ndarray, frequency: float) -> np.ndarray:
    """Mean power, in frames of 10 ms, of the samples' convolution with a Morlet wavelet."""
    spread = 6.0 / (2 * np.pi * frequency)
    time = np.arange(-int(5 * spread * RATE), int(5 * spread * RATE) + 1) / RATE
    wavelet = np.exp(2j * np.pi * frequency * time - 0.5 * (time / spread) ** 2)
    wavelet *= 2 / np.abs(wavelet).sum()
    return np.square(np.abs(np.convolve(samples, wavelet, "same"))).reshape(-1, 160).mean(axis=1)
