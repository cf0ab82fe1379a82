"""Spectrogram tiles: pictures without axes of stretches of recordings, whose columns lie exactly where sounds do.

Column c of `width` shows the frames whose centres lie in the c-th of as many equal parts of the stretch, the loudest
for each band, so that a picture and the sound of the same stretch fit sample by sample. Only the stretch is decoded.
"""

import io
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image

from lib.audio.sound_stretches import read_stretch
from lib.audio.spectrograms import frame_levels, normalize
from lib.config.schema import AudioSettings

COLORS = ("viridis", "magma", "inferno", "cividis", "gray", "gray_r")
FRAMES_AT_ONCE = 1024
LOWEST_FREQUENCY = 1.0
"""Hz, where a scale has no 0."""
LEAST_RANGE = 100.0
"""Hz between the lower and the upper edge, unless the upper one is lower than twice that."""


class TileLook(NamedTuple):
    """How tiles look.

    Args:
        width, height: pixels.
        min_freq, max_freq: Hz, of the lower and upper edge; the latter is at most half of the recording's rate; None:
            as in the settings.
        range_db: levels below the loudest point of the tile that are shown, dB.
        contrast: exponent of the values; above 1, faint sounds show less.
        colors: one of COLORS.
    """

    width: int = 800
    height: int = 240
    min_freq: float | None = None
    max_freq: float | None = None
    range_db: float = 80.0
    contrast: float = 1.0
    colors: str = "viridis"


def tile(path: str | Path, start: float, end: float, look: TileLook, audio: AudioSettings) -> bytes:
    """A PNG file of a stretch of a recording, the highest frequency at the top.

    Args:
        path: the recording.
        start, end: of the stretch, s, see lib.audio.sound_stretches.
        look: how it looks.
        audio: settings: channel, scale of frequencies, and length of the transform, which stays as long in seconds.

    Raises AudioError, and SettingsError as read_stretch does.
    """
    values = tile_values(path, start, end, look, audio)
    picture = Image.fromarray((values[::-1] * 255).round().astype(np.uint8), mode="P")
    picture.putpalette(_palette(look.colors))
    target = io.BytesIO()
    picture.save(target, format="PNG", compress_level=1)
    return target.getvalue()


def tile_values(path: str | Path, start: float, end: float, look: TileLook, audio: AudioSettings) -> np.ndarray:
    """What a tile shows, float32 (height, width) in 0..1, low frequency first. Arguments and errors as for tile."""
    from lib.audio.reader import probe

    rate = probe(path).sampling_rate
    length = 2 * max(8, round(audio.win_length / audio.sampling_rate * rate / 2))
    stretch = read_stretch(path, start, end, audio.channel, length // 2)
    column = (end - start) * rate / look.width  # samples
    n_each = max(1, int(np.ceil(column / (length / 2))))  # frames in a column, so that they overlap by half
    centres = start * rate + (np.arange(look.width * n_each) + 0.5) * column / n_each
    firsts = np.clip(np.round(centres).astype(np.int64) - length // 2 - stretch.first, 0, len(stretch.samples) - length)
    settings = tile_scale(audio, look, rate, look.height).model_copy(
        update={
            "sampling_rate": rate,
            "win_length": length,
            "decibels": True,
            "top_db": look.range_db,
            "db_power": look.contrast,
        }
    )
    frames = np.lib.stride_tricks.sliding_window_view(stretch.samples, length)
    at_once = FRAMES_AT_ONCE // n_each * n_each or n_each
    parts = []
    for k in range(0, len(firsts), at_once):
        levels = frame_levels(frames[firsts[k : k + at_once]], settings)
        parts.append(levels.reshape(look.height, -1, n_each).max(axis=2))
    return normalize(np.concatenate(parts, axis=1)[None], settings)[0]


def tile_scale(audio: AudioSettings, look: TileLook, rate: int, height: int) -> AudioSettings:
    """Settings whose frequencies and number of bands, `height`, are those of a tile. rate: Hz, of the recording."""
    low = audio.min_freq if look.min_freq is None else look.min_freq
    top = min(audio.max_freq if look.max_freq is None else look.max_freq, rate / 2)
    low = min(max(low, LOWEST_FREQUENCY), max(top - LEAST_RANGE, top / 2))
    return audio.model_copy(update={"min_freq": low, "max_freq": top, "spec_height": height})


@lru_cache(maxsize=len(COLORS))
def _palette(colors: str) -> bytes:
    return (colormaps[colors](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes()
