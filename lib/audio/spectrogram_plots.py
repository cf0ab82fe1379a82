"""Pictures of spectrograms. One figure is drawn again for each, so that thousands of them take minutes.

Annotations are vermillion, labels of a model white: people with any colour vision tell these apart on the colour map
viridis. An event with frequencies is a box, one without is a bar at the top.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib.audio.spectrograms import SCALES, normalize
from lib.config.schema import AudioSettings
from lib.core.files import atomic

ANNOTATED, FOUND = "#D55E00", "#FFFFFF"
DPI = 100
LONG = 120.0
"""Seconds from which on times are written as m:ss."""
TICKS_APART = 0.07
"""Least distance between two frequencies, as a share of the height."""
MARGINS = {"left": 0.62, "right": 0.12, "bottom": 0.48, "top": 0.34}
"""Around the spectrogram, in inches."""
COLUMNS = 2000
"""An overview of a long recording has up to twice as many columns."""


class Span(NamedTuple):
    """Something to mark: times in seconds, frequencies in Hz (None: unknown), a text, and the colour of its source."""

    start_time: float
    end_time: float
    text: str
    color: str = ANNOTATED
    low_freq: float | None = None
    high_freq: float | None = None


class SpectrogramPlot:
    """Draws spectrograms that were made with the same audio settings.

    Args:
        size: width and height of the spectrogram in pixels, without the axes around it.
        power: exponent of the values before they become colours; below 1, faint sounds show more.
        bare: the spectrogram alone, without axes, title and spans.
    """

    def __init__(
        self, audio: AudioSettings, size: tuple[int, int] = (640, 320), power: float = 1.0, bare: bool = False
    ) -> None:
        self._audio, self._size, self._power, self._bare = audio, size, power, bare
        self._colors = (colormaps["viridis"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
        if not bare:
            self._make_figure()

    def _make_figure(self) -> None:
        width, height = (pixels / DPI for pixels in self._size)
        across, upright = width + MARGINS["left"] + MARGINS["right"], height + MARGINS["bottom"] + MARGINS["top"]
        figure = Figure(figsize=(across, upright), dpi=DPI)
        self._canvas = FigureCanvasAgg(figure)
        left, bottom = MARGINS["left"] / across, MARGINS["bottom"] / upright
        self._axes = figure.add_axes((left, bottom, width / across, height / upright))
        self._image = self._axes.imshow(np.zeros((1, 1, 3), np.uint8), origin="lower", aspect="auto")
        self._axes.set_ylim(0, 1)
        frequencies = frequency_ticks(self._audio)
        in_khz = self._audio.max_freq >= 2000
        texts = [f"{hertz / 1000 if in_khz else hertz:g}" for hertz in frequencies]
        self._axes.set_yticks(band_position(frequencies, self._audio) / self._audio.spec_height, texts)
        self._axes.set_ylabel("Frequency (kHz)" if in_khz else "Frequency (Hz)")
        self._axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        self._title = self._axes.set_title("", fontsize=10, parse_math=False)

    def save(
        self,
        path: str | Path,
        spectrogram: np.ndarray,
        start_time: float = 0.0,
        seconds: float | None = None,
        title: str = "",
        spans: Iterable[Span] = (),
        marks: Sequence[float] = (),
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Write a PNG file.

        Args:
            spectrogram: (height, width) in 0..1, low frequency first.
            start_time: of its left edge, s.
            seconds: its duration; None: spec_duration.
            marks: times (s) of dashed lines.
            about: texts by keyword that the file holds besides, such as the class that it is about.
        """
        colors = self._colors[np.round(np.clip(spectrogram, 0, 1) ** self._power * 255).astype(np.uint8)]
        if self._bare:
            picture = Image.fromarray(colors[::-1]).resize(self._size, Image.Resampling.NEAREST)
        else:
            picture = self._draw(colors, start_time, seconds or self._audio.spec_duration, title, spans, marks)
        texts = PngInfo()
        for keyword, value in (about or {}).items():
            texts.add_itxt(keyword, value)
        with atomic(path) as part:
            picture.save(part, format="PNG", compress_level=1, pnginfo=texts)

    def _draw(
        self,
        colors: np.ndarray,
        start: float,
        seconds: float,
        title: str,
        spans: Iterable[Span],
        marks: Sequence[float],
    ) -> Image.Image:
        axes, end = self._axes, start + seconds
        self._image.set_data(colors)
        self._image.set_extent((start, end, 0, 1))
        axes.set(xlim=(start, end), ylim=(0, 1))
        axes.set_xlabel("Time (m:ss)" if end >= LONG else "Time (s)")
        axes.xaxis.set_major_formatter(FuncFormatter(_minutes) if end >= LONG else StrMethodFormatter("{x:.6g}"))
        self._title.set_text(title)
        drawn = [axes.axvline(time, color="white", linestyle="--", linewidth=1) for time in marks]
        visible = [span for span in spans if span.start_time < end and span.end_time > start]
        drawn += self._draw_spans(visible, start, end)
        self._canvas.draw()
        for artist in drawn:
            artist.remove()
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])

    def _draw_spans(self, spans: list[Span], start: float, end: float) -> list:
        """Artists of the spans; bars that overlap lie in different lanes."""
        drawn: list = []
        lane_height = 18 / self._size[1]
        lane_ends: list[float] = []
        for span in sorted(spans, key=lambda span: span[:4]):
            left, right = max(span.start_time, start), min(span.end_time, end)
            if span.low_freq is not None and span.high_freq is not None:
                bounds = np.array([span.low_freq, span.high_freq])
                low, high = np.clip(band_position(bounds, self._audio) / self._audio.spec_height, 0, 1)
                box = Rectangle((left, low), right - left, high - low, fill=False, edgecolor=span.color, linewidth=1.4)
                drawn.append(self._axes.add_patch(box))
                text_at = min(high + 0.01, 1 - lane_height)
            else:
                lane = next((k for k, taken in enumerate(lane_ends) if taken <= left), len(lane_ends))
                lane_ends[lane : lane + 1] = [right]
                top = 1 - lane * lane_height - 0.012
                drawn += self._axes.plot(
                    [left, right], [top, top], color=span.color, linewidth=3, solid_capstyle="butt"
                )
                text_at = top - lane_height + 0.012
            text = self._axes.text(left, text_at, span.text, fontsize=8, va="bottom", clip_on=True, parse_math=False)
            text.set_color("black" if span.color == FOUND else "white")
            text.set_bbox({"facecolor": span.color, "edgecolor": "none", "pad": 1, "alpha": 0.8})
            drawn.append(text)
        return drawn


def band_position(hertz: np.ndarray, audio: AudioSettings) -> np.ndarray:
    """Where frequencies (Hz) lie in a spectrogram, in bands from its lower edge: the centre of band k is at k + 0.5."""
    to_scale = SCALES[audio.freq_scale][0]
    low, high = to_scale(audio.min_freq), to_scale(audio.max_freq)
    within = np.clip(np.asarray(hertz, np.float64), audio.min_freq, audio.max_freq)
    return (to_scale(within) - low) / (high - low) * (audio.spec_height + 1) - 0.5


def frequency_ticks(audio: AudioSettings) -> np.ndarray:
    """Round frequencies (Hz), ascending, within the spectrogram and at least TICKS_APART."""
    if audio.freq_scale == "linear":
        candidates = np.asarray(MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(audio.min_freq, audio.max_freq))
    else:
        candidates = np.outer(10.0 ** np.arange(6), [1, 2, 5]).ravel()
    position = band_position(candidates, audio) / audio.spec_height
    inside = (candidates >= audio.min_freq) & (candidates <= audio.max_freq) & (position >= 0) & (position <= 1)
    chosen: list[int] = []
    for index in np.flatnonzero(inside)[::-1]:
        if not chosen or position[chosen[-1]] - position[index] >= TICKS_APART:
            chosen.append(index)
    return candidates[chosen[::-1]]


def overview(frames: Iterable[np.ndarray], audio: AudioSettings, columns: int = COLUMNS) -> tuple[np.ndarray, float]:
    """A whole recording in at most 2 * columns columns, in constant memory.

    Args:
        frames: streamed band levels, (spec_height, n) each. A column shows the highest levels of its time.

    Returns values in 0..1, float32 (spec_height, n), and the recording's duration (s).
    """
    picture = rest = np.empty((audio.spec_height, 0), np.float32)
    factor, n_frames = 1, 0  # frames in a column; frames so far
    for piece in frames:
        n_frames += piece.shape[1]
        rest = np.concatenate([rest, piece], axis=1)
        while rest.shape[1] >= factor:
            n = min(rest.shape[1] // factor, 2 * columns - picture.shape[1])
            picture = np.concatenate([picture, _highest(rest[:, : n * factor], factor)], axis=1)
            rest = rest[:, n * factor :]
            if picture.shape[1] == 2 * columns:
                picture, factor = _highest(picture, 2), 2 * factor
    if rest.shape[1]:
        picture = np.concatenate([picture, rest.max(axis=1, keepdims=True)], axis=1)
    return normalize(picture[None], audio)[0], max(n_frames - 1, 1) / audio.frame_rate


def _highest(levels: np.ndarray, factor: int) -> np.ndarray:
    return levels.reshape(len(levels), -1, factor).max(axis=2)


def _minutes(time: float, _position: int | None = None) -> str:
    return f"{int(time // 60)}:{time % 60:04.1f}".removesuffix(".0")
