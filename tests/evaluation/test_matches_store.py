import sqlite3

import pytest

from lib.core.errors import DataSetError, EarshotError
from lib.evaluation.matches_store import MATCHES_FILE, MatchesStore, annotation_digests, store_matches
from lib.evaluation.run_matching import rules_of
from tests.evaluation.example import make_data_set, write_results

SECONDS = {"r": 30, "s": 30, "t": 30}
ANNOTATIONS = [("r", "a", 0, 4), ("r", "b", 10, 12), ("s", "a", 5, 8)]
LABELS = {"r": [("a", 0, 4), ("a", 20, 21)], "t": [("b", 1, 2)]}


def stored(folder, annotations=ANNOTATIONS, labels=LABELS, payload=None, recordings=tuple(SECONDS)):
    with write_results(folder / "labels", SECONDS, labels=labels) as store:
        return store_matches(make_data_set(annotations, list(recordings)), store, folder / "out", rules_of(payload))


def test_matches_are_read_item_by_item(tmp_path):
    payload = {"iou": 0.7, "class_agnostic": False}
    path = stored(tmp_path, payload=payload, recordings=("r", "s", "u"))
    assert path == tmp_path / "out" / MATCHES_FILE
    with MatchesStore(tmp_path / "out") as matches:
        assert matches.rules() == rules_of(payload)
        item = matches.item("r")
        rows = item.table.astype(object).where(item.table.notna(), None).to_numpy().tolist()
        assert rows == [[0, 0, 1.0], [1, None, None], [None, 1, None]]
        assert matches.item("s").table["annotation"].tolist() == [0]
        assert matches.item("t") is None and matches.item("u") is None  # not of the data set, and not analyzed
        assert matches.matched() == {name: matches.item(name)[:2] for name in "rs"}
        assert (
            item.results == "r"
            and item.annotations == annotation_digests(make_data_set(ANNOTATIONS, []).annotations)["r"]
        )


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": ANNOTATIONS[:2]},
        {"annotations": [*ANNOTATIONS[:2], ("s", "a", 5, 9)]},  # which matches nothing either
        {"labels": LABELS | {"t": []}},
        {"payload": {"class_agnostic": False}},
        {"recordings": ("r", "s")},
    ],
)
def test_the_bytes_follow_from_what_was_matched_and_readers_notice_a_change(tmp_path, change):
    first, again = (stored(tmp_path / name).read_bytes() for name in "ab")
    other = stored(tmp_path / "c", **change).read_bytes()
    assert first == again and other[24:28] != first[24:28]


def test_an_earlier_file_is_replaced_as_a_whole(tmp_path):
    whole = stored(tmp_path).read_bytes()
    (tmp_path / "out" / MATCHES_FILE).write_bytes(b"something else")
    (tmp_path / "out" / f".{MATCHES_FILE}.part").write_bytes(whole[:5000])  # of a run that was killed
    assert stored(tmp_path).read_bytes() == whole
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MATCHES_FILE]


def test_no_recording_that_was_analyzed_is_an_error_and_nothing_is_written(tmp_path):
    with pytest.raises(DataSetError, match="no recording to evaluate"):
        stored(tmp_path, recordings=("u",))
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_used_gives_a_line_that_says_what_to_do(tmp_path):
    with pytest.raises(EarshotError, match=r"matches\.db: no such file; commit the model run first"):
        MatchesStore(tmp_path)
    path = stored(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE Rules SET Payload = '{'")
    with MatchesStore(path.parent) as matches, pytest.raises(EarshotError, match=r"is damaged .*commit the model run"):
        matches.rules()
    path.write_bytes(b"text")
    with pytest.raises(EarshotError, match=r"cannot be opened .*remove it and commit the model run"):
        MatchesStore(path.parent)
