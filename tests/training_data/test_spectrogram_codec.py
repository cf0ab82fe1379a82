import numpy as np

from lib.training_data.spectrogram_codec import decode, encode


def test_codec_keeps_all_levels():
    spectrogram = np.linspace(0, 1, 256, dtype=np.float32).reshape(8, 32)
    assert np.array_equal(decode(encode(spectrogram), 8).ravel(), np.arange(256))
