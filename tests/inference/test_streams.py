from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.audio.spectrograms import cut_at, decoded, recording_windows, window_pieces
from lib.core.errors import AudioError
from lib.core.incremental import Item, Progress, Source
from lib.inference.streams import WindowReader, stream_windows
from tests.recordings import noise
from tests.training_data.builders import AUDIO, RATE

SECONDS = 3.2
FRAME = 1 / AUDIO.frame_rate


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("streams") / "a.wav"
    soundfile.write(path, noise(SECONDS, RATE), RATE)
    return path


def test_without_offsets_there_is_one_grid_for_all_models(path):
    batches = list(stream_windows(path, AUDIO, 0.25, 4))
    expected = list(recording_windows(path, AUDIO, 0.25, 4))
    assert [batch.group for batch in batches] == [0] * len(expected)
    for batch, windows in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(batch.windows.starts, windows.starts)
        np.testing.assert_array_equal(batch.windows.inputs, windows.inputs)
        assert batch.windows.seconds == windows.seconds
    for batch, following in pairwise(batches):
        assert batch.final == pytest.approx(following.windows.starts[0])


def test_times_count_from_the_start_of_the_recording(path):
    batches = list(stream_windows(path, AUDIO, 0.25, 4, start=1.0))
    assert batches[0].windows.starts[0] == 1.0
    assert batches[-1].windows.seconds == pytest.approx(SECONDS, abs=FRAME)
    assert list(stream_windows(path, AUDIO, 0.25, 4, start=4.0)) == []


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_progress_counts_the_sound_that_is_read(path, start):
    pieces = WindowReader(AUDIO, 0.25, 4, start).read(Source(Item("a", path), ""))
    progress = [piece for piece in pieces if isinstance(piece, Progress)]
    assert all(piece.total == pytest.approx(SECONDS - start) for piece in progress)
    assert progress[-1].seconds == pytest.approx(SECONDS - start, abs=FRAME)


def test_what_is_no_recording_is_an_error(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError):
        next(stream_windows(tmp_path / "text.wav", AUDIO, 0.25, 4))


@settings(deadline=None, max_examples=40)
@example(offsets=[0.0], hop=0.8, batch=1)  # longer than a window
@given(
    offsets=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.5, 0.9, 5.0]), min_size=1, max_size=4),
    hop=st.sampled_from([0.25, 0.5, 0.8]),
    batch=st.integers(1, 9),
)
def test_each_group_has_windows_from_its_offset_on_and_knows_when_time_has_passed(path, offsets, hop, batch):
    seen: dict[int, list[float]] = {}
    passed = -np.inf
    for group, windows, final in stream_windows(path, AUDIO, hop, batch, offsets=offsets):
        assert len(windows.starts) <= batch
        assert windows.starts[0] >= passed - 1e-9
        passed = max(passed, final)
        seen.setdefault(group, []).extend(windows.starts.tolist())
        pieces = window_pieces(decoded(path, AUDIO), AUDIO, "spectrograms")
        expected = [part.inputs for part in cut_at(pieces, AUDIO, windows.starts.tolist(), batch)]
        np.testing.assert_allclose(windows.inputs, np.concatenate(expected), atol=1e-5)
    for group, offset in enumerate(offsets):
        if offset > SECONDS:
            assert group not in seen
            continue
        starts = seen[group]
        np.testing.assert_allclose(np.diff(starts), hop)
        before = 0 < offset < hop < offset + AUDIO.spec_duration
        assert starts[0] == pytest.approx(offset - hop if before else offset)
        assert starts[-1] + hop > SECONDS - 0.3 - hop
