import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.config import Audio
from lib.curation import embedding_store
from lib.curation.embedding_store import EmbeddingStore, Piece
from lib.curation.search import Query, Stretch, query_spectrograms, search, show_matches, write_matches
from lib.errors import EarshotError
from tests.database.builders import AUDIO, RATE
from tests.recordings import noise, sine, write

SECONDS = AUDIO.spec_duration
MANIFEST = {"audio": AUDIO.model_dump(), "hop": 0.25, "dim": 3, "models": []}
QUERY = Query(np.array([[1.0, 0.0, 0.0]], np.float32))


def at_angle(cosine):
    """A vector of any length with that cosine to the query's."""
    return [5 * cosine, 5 * np.sqrt(1 - cosine**2), 0.0]


def make_store(path, recordings):
    """recordings: cosines of the windows of each, by name."""
    with EmbeddingStore.create(path, MANIFEST) as store:
        for name, cosines in recordings.items():
            vectors = np.array([at_angle(cosine) for cosine in cosines], np.float32)
            store.insert(name, f"field/{name}.wav", "key", [(vectors, 0.25 * len(cosines) + 0.25)])
    return EmbeddingStore(path)


def find(store, n=10, query=QUERY, distinct=False):
    matches = search(store, store.pieces(), query, n, distinct)
    assert [match.rank for match in matches] == list(range(1, len(matches) + 1))
    return [(match.recording.name, match.start_time, round(match.similarity, 2)) for match in matches]


@pytest.fixture
def store(tmp_path):
    recordings = {"a": [0.1, 0.2, 0.9, 0.85, 0.3, 0.3, 0.7], "b": [0.95], "c": [0.5, 0.4, 0.6]}
    with make_store(tmp_path / "store.db", recordings) as store:
        yield store


def test_windows_come_in_the_order_of_their_cosine_and_overlapping_ones_once(store):
    expected = [("b", 0.0, 0.95), ("a", 0.5, 0.9), ("a", 1.5, 0.7), ("c", 0.5, 0.6), ("c", 0.0, 0.5)]
    assert find(store) == expected
    assert find(store, 2) == expected[:2]


def test_distinct_lists_each_recording_once(store):
    assert find(store, distinct=True) == [("b", 0.0, 0.95), ("a", 0.5, 0.9), ("c", 0.5, 0.6)]


def test_the_querys_own_place_is_left_out(store):
    place = Stretch(store.recording("a").id, 0.4, 0.8)
    assert find(store, 3, QUERY._replace(place=place)) == [("b", 0.0, 0.95), ("a", 1.5, 0.7), ("c", 0.5, 0.6)]


def test_of_several_query_windows_the_most_similar_counts(store):
    both = Query(np.array([[1.0, 0.0, 0.0], [0.0, 3.0, 0.0]], np.float32))
    assert find(store, 1, both) == [("a", 0.0, 0.99)]  # sqrt(1 - 0.1 ** 2)


def test_only_recordings_that_are_asked_for_are_searched(store):
    with EmbeddingStore(store.path, ["c", "none"]) as some:
        assert find(some, 1) == [("c", 0.5, 0.6)]
        assert some.count() == 3


def test_vectors_without_length_are_like_nothing(tmp_path):
    with EmbeddingStore.create(tmp_path / "store.db", MANIFEST) as store:
        store.insert("a", "a.wav", "key", [(np.zeros((1, 3), np.float32), 0.5)])
        assert find(store) == [("a", 0.0, 0.0)]


def test_query_of_another_dimension_is_named(store):
    with pytest.raises(EarshotError, match="have 3 dimensions, the query's 2; search with the model"):
        find(store, query=Query(np.ones((1, 2), np.float32)))


windows = st.lists(
    st.tuples(st.integers(1, 4), st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=1, max_size=12)),
    min_size=1,
    max_size=4,
    unique_by=lambda entry: entry[0],
)


@given(windows, st.integers(1, 6), st.booleans(), st.integers(1, 5))
def test_search_is_that_of_the_definition_however_the_windows_are_cut(drawn, n, distinct, size):
    rows = []  # recording, start, similarity; windows last 0.5 s
    for recording, steps in sorted(drawn):
        starts = np.cumsum([0.2 * step for step, _ in steps])
        rows += [(recording, float(start), level / 10) for start, (_, level) in zip(starts, steps, strict=True)]

    def better_neighbour(i):
        return any(
            rows[j][0] == rows[i][0]
            and abs(rows[j][1] - rows[i][1]) < SECONDS - 1e-6
            and (rows[j][2] > rows[i][2] or (rows[j][2] == rows[i][2] and j < i))
            for j in range(len(rows))
        )

    expected = sorted(
        (row for i, row in enumerate(rows) if not better_neighbour(i)), key=lambda row: (-row[2], row[0], row[1])
    )
    if distinct:
        expected = [row for i, row in enumerate(expected) if row[0] not in {other[0] for other in expected[:i]}]

    class Source:
        seconds = SECONDS

        def recording(self, which):
            return embedding_store.Recording(which, str(which), "", 99.0)

    pieces = []
    for first in range(0, len(rows), size):
        recordings, starts, levels = zip(*rows[first : first + size], strict=True)
        vectors = np.array([at_angle(level) for level in levels], np.float32)
        pieces.append(Piece(np.array(recordings), np.array(starts), vectors))
    found = search(Source(), pieces, QUERY, n, distinct)
    assert [(m.recording.id, m.start_time, round(m.similarity, 5)) for m in found] == expected[:n]


def test_results_are_a_table_in_file_and_on_the_terminal(store, tmp_path):
    matches = search(store, store.pieces(), QUERY, 2)
    write_matches(tmp_path / "results.csv", matches)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1].pop("similarity")) == pytest.approx(0.9, abs=1e-4)
    assert rows[1] == {
        "rank": "2",
        "recording": "a",
        "path": "field/a.wav",
        "start_time": "0.500",
        "end_time": "1.000",
    }
    lines = show_matches([matches[0]._replace(start_time=3723.45, end_time=83.0)]).splitlines()
    assert lines[0].split() == ["rank", "similarity", "start", "end", "recording"]
    assert lines[1].split() == ["1", "0.950", "1:02:03.4", "1:23.0", "field/b.wav"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Four seconds: silence, but for a quiet second from 0.5 s, and half a loud one from 2.6 s."""
    samples = np.zeros(4 * RATE, np.float32)
    samples[RATE // 2 : 3 * RATE // 2] = 0.1 * sine(300, 1, RATE)
    samples[round(2.6 * RATE) : round(3.1 * RATE)] = sine(800, 0.5, RATE)
    return write(tmp_path_factory.mktemp("clip") / "clip.wav", samples, RATE)


def test_query_without_times_is_the_loudest_window(clip):
    starts, spectrograms = query_spectrograms(clip, AUDIO)
    assert starts == pytest.approx([2.6]) and spectrograms.shape == (1, 16, 40)


def test_query_with_times_is_that_stretch(clip):
    assert query_spectrograms(clip, AUDIO, 0.7)[0].tolist() == [0.7]
    assert query_spectrograms(clip, AUDIO, 0.7, 0.9)[0] == pytest.approx([0.55])  # in the middle of its window
    assert query_spectrograms(clip, AUDIO, 0.0, 0.1)[0].tolist() == [0.0]
    assert query_spectrograms(clip, AUDIO, 0.5, 1.3)[0] == pytest.approx([0.5, 0.75, 1.0])
    starts, spectrograms = query_spectrograms(clip, AUDIO, 0.5, 3.0)
    assert not {1.75, 2.0} & set(starts) and starts[0] == 0.5  # silent from 1.5 to 2.6 s
    assert len(starts) == len(spectrograms) == 7


def test_query_without_sound_is_refused(clip, tmp_path):
    with pytest.raises(EarshotError, match=r"clip\.wav: is silent there; give another --start"):
        query_spectrograms(clip, AUDIO, 1.7)
    with pytest.raises(EarshotError, match=r"--end 0.5: must be behind --start"):
        query_spectrograms(clip, AUDIO, 0.6, 0.5)
    with pytest.raises(EarshotError, match=r"--end 500: lies too far behind --start"):
        query_spectrograms(clip, AUDIO, 0.6, 500)
    (tmp_path / "none.wav").write_bytes(b"")
    with pytest.raises(EarshotError, match=r"none\.wav: "):
        query_spectrograms(tmp_path / "none.wav", AUDIO)


def test_recording_shorter_than_a_window_is_a_query(tmp_path):
    path = write(tmp_path / "short.wav", noise(0.3, 8000), 8000)
    assert query_spectrograms(path, Audio())[0].tolist() == [0.0]
