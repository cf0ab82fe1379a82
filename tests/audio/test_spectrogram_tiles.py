import io

import numpy as np
import pytest
from PIL import Image

from lib.audio.spectrogram_plots import band_position
from lib.audio.spectrogram_tiles import COLORS, TileLook, tile, tile_scale, tile_values
from lib.config.schema import AudioSettings
from tests.recordings import noise, sine, write

AUDIO = AudioSettings()


def test_a_tone_lies_at_its_frequency(tmp_path):
    path = write(tmp_path / "a.wav", sine(3000, 4.0, 48000), 48000)
    look = TileLook(width=200, height=200, min_freq=50, max_freq=15000)
    values = tile_values(path, 1.0, 2.0, look, AUDIO)
    scale = AUDIO.model_copy(update={"spec_height": 200, "min_freq": 50.0, "max_freq": 15000.0})
    expected = band_position(np.array([3000.0]), scale)[0]
    assert abs(values.mean(axis=1).argmax() + 0.5 - expected) <= 1


@pytest.mark.parametrize("width", [16, 300, 2000])
@pytest.mark.parametrize("seconds", [0.05, 1.7, 100.0])
def test_a_sound_lies_at_its_time_at_any_zoom(tmp_path, width, seconds):
    samples = np.zeros(120 * 8000, np.float32)
    at = 60.0 + 0.37 * seconds
    samples[round(at * 8000)] = 0.9
    path = write(tmp_path / "a.wav", samples, 8000, "FLOAT")
    look = TileLook(width=width, height=32, max_freq=4000, range_db=60)
    columns = tile_values(path, 60.0, 60.0 + seconds, look, AUDIO).mean(axis=0)
    lit = np.flatnonzero(columns > 0.9 * columns.max())
    middle, column = (lit[0] + lit[-1] + 1) / 2, 0.37 * width
    assert abs(middle - column) <= max(1.0, 0.002 * width / seconds)  # 2 ms, or a column


def test_higher_than_half_of_the_sampling_rate_there_is_nothing_to_show(tmp_path):
    path = write(tmp_path / "a.wav", noise(1.0, 8000), 8000)
    assert tile_values(path, 0, 1, TileLook(100, 50, 50, 96_000), AUDIO).shape == (50, 100)


def test_edges_are_those_asked_for_else_those_of_the_settings():
    def edges(*looked):
        scale = tile_scale(AUDIO, TileLook(100, 50, *looked), 48_000, 50)
        return scale.min_freq, scale.max_freq

    assert edges(None, None) == (AUDIO.min_freq, AUDIO.max_freq)
    assert edges(0.0, 12_000.0) == (1.0, 12_000.0)
    assert edges(9000.0, 12_000.0) == (9000.0, 12_000.0)
    assert edges(13_000.0, 12_000.0) == (11_900.0, 12_000.0)


def test_silence_is_dark_and_colors_are_those_chosen(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros(8000, np.float32), 8000)
    assert not tile_values(path, 0, 1, TileLook(64, 32, max_freq=4000), AUDIO).any()
    first = {}
    for colors in COLORS:
        picture = Image.open(io.BytesIO(tile(path, 0, 1, TileLook(64, 32, max_freq=4000, colors=colors), AUDIO)))
        assert picture.size == (64, 32)
        first[colors] = picture.convert("RGB").getpixel((0, 0))
    assert first["gray"] == (0, 0, 0) and first["gray_r"] == (255, 255, 255)
