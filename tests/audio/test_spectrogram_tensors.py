import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.audio.spectrogram_tensors import spectrograms_of, with_margins, without_margins
from lib.audio.spectrograms import cut_windows, window_pieces
from lib.core.errors import EarshotError
from tests.audio.test_spectrograms import AUDIO, blocks_of, changed
from tests.recordings import noise


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 300),
    n=st.integers(1, 40_000),
    hop=st.sampled_from([0.123, 0.5, 1.0, 2.5]),
    win_length=st.sampled_from([80, 256, 301]),
    spec_duration=st.sampled_from([1.0, 0.777, 0.305]),
    decibels=st.booleans(),
    db_power=st.sampled_from([1.0, 2.0]),
)
def test_spectrograms_of_waveforms_are_those_of_the_stream(
    sizes, n, hop, win_length, spec_duration, decibels, db_power
):
    audio = changed(win_length=win_length, spec_duration=spec_duration, decibels=decibels, db_power=db_power)
    samples = np.pad(noise(n / 8000, 8000), (0, 151))  # frames beyond the end of a stream hear nothing of it
    samples[n // 3 : n // 2] = 0
    expected, actual = (
        list(cut_windows(window_pieces(blocks_of(samples, sizes), audio, takes), audio, hop, 4, takes))
        for takes in ("spectrograms", "waveforms")
    )
    assert len(actual) == len(expected) and actual[-1].seconds == expected[-1].seconds
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one.starts, other.starts)
        assert one.inputs.shape == (len(one.starts), audio.window_samples + 2 * audio.margin)
        np.testing.assert_allclose(spectrograms_of(torch.from_numpy(one.inputs), audio), other.inputs, atol=1e-4)


def test_missing_margins_are_silent_and_concern_the_first_and_last_frames_alone():
    waveforms = with_margins(torch.from_numpy(noise(3.0, 8000)).reshape(3, 8000), AUDIO)
    assert not waveforms[:, : AUDIO.margin].any() and not waveforms[:, -AUDIO.margin :].any()
    bare = without_margins(waveforms, AUDIO)
    assert bare.shape == (3, 8000) and with_margins(bare, AUDIO).equal(waveforms)
    assert spectrograms_of(bare, AUDIO).equal(spectrograms_of(waveforms, AUDIO))
    waveforms[:, : AUDIO.margin] = 0.1
    differs = (spectrograms_of(waveforms, AUDIO) - spectrograms_of(bare, AUDIO)).abs().amax(dim=(0, 1)) > 1e-3
    assert differs[0] and not differs[2:].any()


@pytest.mark.parametrize("shape", [(2, 7999), (8000,), (1, 1, 8000)])
def test_waveforms_of_other_lengths_are_refused(shape):
    with pytest.raises(EarshotError, match="windows have 8000 samples, or 8256 with their margins"):
        spectrograms_of(torch.zeros(shape), AUDIO)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_spectrograms_on_a_gpu_equal_those_on_a_cpu():
    waveforms = torch.from_numpy(noise(4.0, 8000)).reshape(4, 8000)
    torch.testing.assert_close(
        spectrograms_of(waveforms.cuda(), AUDIO).cpu(), spectrograms_of(waveforms, AUDIO), atol=1e-4, rtol=0
    )
