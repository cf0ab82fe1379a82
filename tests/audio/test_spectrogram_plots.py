import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib.audio.spectrogram_plots import ANNOTATED, Span, SpectrogramPlot, band_position, frequency_ticks, overview
from lib.audio.spectrograms import level_frames, normalize
from lib.config.schema import AudioSettings
from tests.recordings import sine

SCALES = ["mel", "log", "linear"]


def audio_of(scale="mel", **changes):
    values = {"sampling_rate": 16000, "spec_duration": 1.0, "win_length": 1024, "hop_length": 160, "max_freq": 8000.0}
    return AudioSettings(**(values | {"freq_scale": scale, "spec_height": 64} | changes))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("hertz", [700.0, 2500.0, 6000.0])
def test_the_frequency_axis_agrees_with_the_spectrogram(scale, hertz):
    audio = audio_of(scale)
    levels = np.concatenate(list(level_frames([sine(hertz, 1.0, 16000)], audio)), axis=1)
    loudest = levels[:, 20:80].mean(axis=1).argmax()
    assert band_position(np.array([hertz]), audio)[0] == pytest.approx(loudest + 0.5, abs=0.8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("limits", [(50.0, 8000.0), (100.0, 1000.0), (3000.0, 7000.0), (1.0, 30.0)])
def test_ticks_are_within_the_picture_and_apart(scale, limits):
    audio = audio_of(scale, min_freq=limits[0], max_freq=limits[1])
    ticks = frequency_ticks(audio)
    assert len(ticks) >= 2 or limits == (3000.0, 7000.0)
    assert (ticks >= limits[0]).all() and (ticks <= limits[1]).all()
    assert (np.diff(band_position(ticks, audio)) > 3).all()


def test_low_frequencies_are_at_the_bottom_and_time_goes_right(tmp_path):
    spectrogram = np.zeros((64, 100), np.float32)
    spectrogram[0, 0] = 1
    SpectrogramPlot(audio_of(), (100, 64), bare=True).save(tmp_path / "x.png", spectrogram)
    shown = pixels(tmp_path / "x.png")
    assert shown.shape == (64, 100, 3)
    assert (shown[-1, 0] > [240, 220, 0]).all()  # yellow, viridis' end
    assert (shown.sum(axis=2) == shown[0, 0].sum()).sum() == 64 * 100 - 1


def test_a_power_below_1_shows_more_of_what_is_faint(tmp_path):
    spectrogram = np.full((64, 100), 0.2, np.float32)
    for power in (1.0, 0.5):
        SpectrogramPlot(audio_of(), power=power, bare=True).save(tmp_path / f"{power}.png", spectrogram)
    assert pixels(tmp_path / "0.5.png").sum() > 1.1 * pixels(tmp_path / "1.0.png").sum()


def test_a_picture_leaves_nothing_to_the_next(tmp_path):
    audio, rng = audio_of(), np.random.default_rng(1)
    spectrogram = rng.random((64, 100))
    box, twin = Span(3.2, 3.6, "a$b", ANNOTATED, 1000, 3000), Span(3.2, 3.6, "a$b")
    spans = [box, twin, Span(2, 9, "bar"), Span(3.1, 3.2, "bar 2"), Span(8, 9, "out")]
    plot = SpectrogramPlot(audio)
    plot.save(tmp_path / "marked.png", spectrogram, 3.0, title="a $ b", spans=spans, marks=[3.5])
    plot.save(tmp_path / "after.png", spectrogram, 0.0)
    SpectrogramPlot(audio).save(tmp_path / "new.png", spectrogram, 0.0)
    assert (tmp_path / "after.png").read_bytes() == (tmp_path / "new.png").read_bytes()
    assert (pixels(tmp_path / "marked.png") != pixels(tmp_path / "new.png")).any()


def test_a_box_lies_where_its_event_is(tmp_path):
    audio = audio_of("linear", min_freq=0.0)
    plot = SpectrogramPlot(audio, (400, 200))
    plot.save(tmp_path / "box.png", np.zeros((64, 100)), 10.0, spans=[Span(10.25, 10.75, "", ANNOTATED, 2000, 6000)])
    red = (np.abs(pixels(tmp_path / "box.png") - [0xD5, 0x5E, 0x00]).sum(axis=2) < 120).nonzero()
    left, right, top, bottom = red[1].min() - 62, red[1].max() - 62, red[0].min() - 34, red[0].max() - 34
    assert [left, right] == pytest.approx([100, 300], abs=4)
    assert [top, bottom] == pytest.approx([50, 150], abs=6)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(4, 50))
def test_an_overview_holds_the_loudest_of_each_time_in_bounded_columns(pieces, columns):
    audio = audio_of(spec_height=8)
    levels = np.random.default_rng(len(pieces)).uniform(-60, 0, (8, sum(pieces))).astype(np.float32)
    frames = np.split(levels, np.cumsum(pieces)[:-1], axis=1)
    values, seconds = overview(frames, audio, columns)
    assert values.shape[1] <= 2 * columns
    assert seconds == max(sum(pieces) - 1, 1) / audio.frame_rate
    expected = normalize(levels[None], audio)[0]
    np.testing.assert_array_equal(values.max(axis=1), expected.max(axis=1))
    if sum(pieces) < 2 * columns:
        np.testing.assert_array_equal(values, expected)
