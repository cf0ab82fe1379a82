import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import EarshotError
from lib.curation.embedding_store import EmbeddedRecording, EmbeddingPiece
from lib.curation.nearest_windows import Query, Stretch, nearest_windows
from tests.curation.builders import make_store
from tests.training_data.builders import AUDIO

SECONDS = AUDIO.spec_duration
QUERY = Query(np.array([[1.0, 0.0, 0.0]], np.float32))


def at_angle(cosine):
    """A vector of any length with that cosine to the query's."""
    return [5 * cosine, 5 * np.sqrt(1 - cosine**2), 0.0]


def find(store, n=10, query=QUERY, distinct=False):
    matches = nearest_windows(store, store.pieces(), query, n, distinct)
    assert [match.rank for match in matches] == list(range(1, len(matches) + 1))
    return [(match.recording.name, match.start_time, round(match.similarity, 2)) for match in matches]


@pytest.fixture
def store(tmp_path):
    cosines = {"a": [0.1, 0.2, 0.9, 0.85, 0.3, 0.3, 0.7], "b": [0.95], "c": [0.5, 0.4, 0.6]}
    with make_store(tmp_path / "store.db", {name: list(map(at_angle, row)) for name, row in cosines.items()}) as store:
        yield store


def test_windows_come_in_the_order_of_their_cosine_and_overlapping_ones_once(store):
    expected = [("b", 0.0, 0.95), ("a", 0.5, 0.9), ("a", 1.5, 0.7), ("c", 0.5, 0.6), ("c", 0.0, 0.5)]
    assert find(store) == expected
    assert find(store, 2) == expected[:2]
    assert find(store, distinct=True) == [("b", 0.0, 0.95), ("a", 0.5, 0.9), ("c", 0.5, 0.6)]


def test_the_place_of_the_query_is_left_out(store):
    place = Stretch(store.recording("a").id, 0.4, 0.8)
    assert find(store, 3, QUERY._replace(place=place)) == [("b", 0.0, 0.95), ("a", 1.5, 0.7), ("c", 0.5, 0.6)]


def test_of_several_query_windows_the_most_similar_counts(store):
    both = Query(np.array([[1.0, 0.0, 0.0], [0.0, 3.0, 0.0]], np.float32))
    assert find(store, 1, both) == [("a", 0.0, 0.99)]  # sqrt(1 - 0.1 ** 2)


def test_vectors_without_length_are_like_nothing(tmp_path):
    with make_store(tmp_path / "store.db", {"a": [[0, 0, 0]]}) as store:
        assert find(store) == [("a", 0.0, 0.0)]


def test_query_of_another_dimension_is_named(store):
    with pytest.raises(EarshotError, match="have 3 dimensions, the query 2; search with the model"):
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

        def recordings(self, ids):
            return {which: EmbeddedRecording(which, str(which), "", 99.0) for which in ids}

    pieces = []
    for first in range(0, len(rows), size):
        recordings, starts, levels = zip(*rows[first : first + size], strict=True)
        vectors = np.array([at_angle(level) for level in levels], np.float32)
        pieces.append(EmbeddingPiece(np.array(recordings), np.array(starts), vectors))
    found = nearest_windows(Source(), pieces, QUERY, n, distinct)
    assert [(m.recording.id, m.start_time, round(m.similarity, 5)) for m in found] == expected[:n]
