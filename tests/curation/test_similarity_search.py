import numpy as np
import pytest

from lib.config.schema import AudioSettings
from lib.core.errors import EarshotError
from lib.curation.similarity_search import query_windows
from tests.recordings import noise, sine, write
from tests.training_data.builders import AUDIO, RATE


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Four seconds: silence, but for a quiet second from 0.5 s, and half a loud one from 2.6 s."""
    samples = np.zeros(4 * RATE, np.float32)
    samples[RATE // 2 : 3 * RATE // 2] = 0.1 * sine(300, 1, RATE)
    samples[round(2.6 * RATE) : round(3.1 * RATE)] = sine(800, 0.5, RATE)
    return write(tmp_path_factory.mktemp("clip") / "clip.wav", samples, RATE)


def test_query_without_times_is_the_loudest_window(clip):
    starts, spectrograms = query_windows(clip, AUDIO)
    assert starts == pytest.approx([2.6]) and spectrograms.shape == (1, 16, 40)


def test_query_with_times_is_that_stretch(clip):
    assert query_windows(clip, AUDIO, 0.7)[0].tolist() == [0.7]
    assert query_windows(clip, AUDIO, 0.7, 0.9)[0] == pytest.approx([0.55])  # in the middle of its window
    assert query_windows(clip, AUDIO, 0.0, 0.1)[0].tolist() == [0.0]
    assert query_windows(clip, AUDIO, 0.5, 1.3)[0] == pytest.approx([0.5, 0.75, 1.0])
    starts, spectrograms = query_windows(clip, AUDIO, 0.5, 3.0)
    assert not {1.75, 2.0} & set(starts) and starts[0] == 0.5  # silent from 1.5 to 2.6 s
    assert len(starts) == len(spectrograms) == 7


def test_query_without_sound_is_refused(clip, tmp_path):
    with pytest.raises(EarshotError, match=r"clip\.wav: is silent there; give another --start"):
        query_windows(clip, AUDIO, 1.7)
    with pytest.raises(EarshotError, match=r"--end 0.5: must be behind --start"):
        query_windows(clip, AUDIO, 0.6, 0.5)
    with pytest.raises(EarshotError, match=r"--end 500: lies too far behind --start"):
        query_windows(clip, AUDIO, 0.6, 500)
    (tmp_path / "none.wav").write_bytes(b"")
    with pytest.raises(EarshotError, match=r"none\.wav: "):
        query_windows(tmp_path / "none.wav", AUDIO)


def test_recording_shorter_than_a_window_is_a_query(tmp_path):
    path = write(tmp_path / "short.wav", noise(0.3, 8000), 8000)
    assert query_windows(path, AudioSettings())[0].tolist() == [0.0]
