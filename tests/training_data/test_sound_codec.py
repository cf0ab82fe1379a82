import struct
import zlib

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lib.training_data.sound_codec import HEADER, decode_sound, encode_sound
from tests.recordings import noise, sine


@example(np.array([-32768, 32767, -32768, 1], np.int16))
@given(arrays(np.int16, st.integers(1, 300)))
def test_samples_of_16_bits_are_kept_exactly(steps):
    samples = steps.astype(np.float32) / 32768
    np.testing.assert_array_equal(decode_sound(encode_sound(samples), len(samples)), samples)


@example(np.array([1e-45, -1e-40], np.float32))
@given(arrays(np.float32, st.integers(0, 300), elements=st.floats(-1, 1, width=32)))
def test_others_are_rounded_to_the_16th_bit_of_the_loudest(samples):
    decoded = decode_sound(encode_sound(samples), len(samples))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, samples, atol=0.51 * np.abs(samples).max(initial=2.0**-111) / 32767)


@pytest.mark.parametrize("gain", [3e-4, 1.0, 40.0])
def test_faint_and_overdriven_sound_keeps_its_waveform(gain):
    samples = np.float32(gain) * (sine(440.0, 1.0, 32000) + 0.01 * noise(1.0, 32000))
    error = decode_sound(encode_sound(samples), 32000) - samples
    assert 20 * np.log10(np.abs(error).max() / np.abs(samples).max()) < -95


def test_sound_takes_less_room_than_its_samples(tmp_path):
    quiet, tone = np.round(0.01 * noise(1.0, 32000) * 32768) / 32768, np.round(sine(200.0, 1.0, 32000) * 32768) / 32768
    assert len(encode_sound(np.zeros(32000, np.float32))) < 400
    assert len(encode_sound(quiet.astype(np.float32))) < 0.5 * 64000
    assert len(encode_sound(tone.astype(np.float32))) < 0.3 * 64000
    soundfile.write(tmp_path / "a.flac", noise(1.0, 32000), 32000)
    size = (tmp_path / "a.flac").stat().st_size
    assert len(encode_sound(np.round(noise(1.0, 32000) * 32768).astype(np.float32) / 32768)) < 1.1 * size


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"abc",
        HEADER.pack(1.0, 0) + b"no zlib at all",
        HEADER.pack(1.0, 5) + zlib.compress(bytes(200)),
        HEADER.pack(np.nan, 0) + zlib.compress(bytes(200)),
        HEADER.pack(1.0, 0) + zlib.compress(bytes(198)),
        HEADER.pack(1.0, 0) + zlib.compress(bytes(10**7)),
        encode_sound(noise(0.1, 1000))[:-9],
    ],
)
def test_other_bytes_are_refused(value):
    with pytest.raises((ValueError, zlib.error, struct.error)):
        decode_sound(value, 100)
