import shutil
import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lib.core.errors import AudioError, DataSetError, EarshotError, Problem
from lib.results.results_store import (
    PartialResult,
    ResultsStore,
    earlier_results,
    pack_scores,
    unpack_scores,
)
from lib.sound.labels import RESULTS_FILE, Label
from tests.results.builders import NAMES, make_manifest, random_scores, write_recording, write_store

SCORES = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9), elements=st.floats(0, 1, width=32)
)
LABELS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.floats(0, 9), st.floats(0, 1)), unique_by=lambda label: label[:2]
)


@given(SCORES)
def test_packed_scores_are_unpacked_exactly(scores):
    np.testing.assert_array_equal(unpack_scores(pack_scores(scores, 0.0), scores.shape), scores)


@given(SCORES, st.floats(0, 1, width=32))
def test_scores_below_the_least_become_0_and_take_no_room(scores, least):
    packed = pack_scores(scores, least)
    np.testing.assert_array_equal(unpack_scores(packed, scores.shape), np.where(scores >= least, scores, 0))
    assert len(packed) == -(-scores.size // 8) + 4 * np.count_nonzero((scores >= least) & (scores > 0))


@pytest.mark.parametrize("cuts", [[], [300], [1, 2, 255, 256, 257, 600]])
def test_windows_come_back_as_they_were_written(tmp_path, cuts):
    scores = random_scores(1, n=700)
    scores[3, 1], scores[5] = 0.0005, 0.0  # the first is below infer.csv_min_score
    with ResultsStore(tmp_path, make_manifest(start_seconds=2.0)) as store:
        parts = [PartialResult(part, [], 1050.0) for part in np.split(scores, cuts)]
        store.write("r", "r.wav", "key", parts, [Problem("r.wav", "is odd", "", lost=False)], [["why"]])
        expected = np.where(scores >= 0.001, scores, 0)
        np.testing.assert_array_equal(store.scores("r"), expected)
        starts, blocks = zip(*store.windows("r"), strict=True)
        np.testing.assert_array_equal(np.concatenate(blocks), expected)
        np.testing.assert_array_equal(np.concatenate(starts), 2.0 + 1.5 * np.arange(700))
        result = store.recordings()["r"]
        assert (result.path, result.seconds, result.n_windows, result.n_labels) == ("r.wav", 1050.0, 700, 0)
        assert result.reason == "is odd" and result.is_ok and store.occurrences("r") == [["why"]]
        assert store.recordings() == {"r": result} and store.keys() == {"r": "key"}
        assert store.scores("nothing").shape == (0, 3)


@pytest.mark.parametrize("first", [0, 256])
def test_windows_that_are_missing_are_an_error(tmp_path, first):
    with ResultsStore(tmp_path, make_manifest()) as store:
        store.write("r", "r.wav", "key", [PartialResult(random_scores(1, n=300), [], 450.0)], [], [])
        store.commit()
        with sqlite3.connect(store.path) as connection:
            connection.execute("DELETE FROM Scores WHERE First = ?", (first,))
        n_left = 44 if first == 0 else 256
        with pytest.raises(EarshotError, match=f"is damaged .ValueError: {n_left} of 300 windows of r"):
            store.scores("r")


@settings(deadline=None, max_examples=30)
@given(LABELS, st.integers(1, 5))
def test_labels_come_by_start_and_class_in_whatever_order_they_were_written(tmp_path_factory, drawn, size):
    labels = [Label(name, start, start + 3, score) for name, start, score in drawn]
    nothing = np.zeros((0, 3), np.float32)
    with ResultsStore(tmp_path_factory.mktemp("labels"), make_manifest()) as store:
        parts = [PartialResult(nothing, labels[i : i + size], 9.0) for i in range(0, len(labels), size)]
        store.write("r", "r.wav", "key", parts, [], [])
        assert list(store.labels("r")) == sorted(labels, key=lambda label: (label.start_time, label.name))
        assert store.recordings()["r"].n_labels == len(labels)


def test_a_recording_that_breaks_off_leaves_what_was_there_of_it(tmp_path):
    def parts():
        yield PartialResult(random_scores(2, n=300), [Label("b", 0.0, 3.0, 0.7)], 450.0)
        raise AudioError("r.wav", "breaks off")

    with ResultsStore(tmp_path, make_manifest()) as store:
        for name in ("q", "r"):
            write_recording(store, name, random_scores(1), [Label("a", 0.0, 3.0, 0.5)])
        before = store.recordings()["r"]
        with pytest.raises(AudioError):
            store.write("r", "r.wav", "other", parts(), [], [])
        store.commit()
        assert store.recordings()["r"] == before and list(store.labels("r")) == [Label("a", 0.0, 3.0, 0.5)]
        np.testing.assert_array_equal(store.scores("r"), store.scores("q"))


def test_a_failed_recording_has_a_reason_and_nothing_else(tmp_path):
    with ResultsStore(tmp_path, make_manifest()) as store:
        write_recording(store, "r", random_scores(1))
        store.write_failure("r", "r.wav", Problem("r.wav", "is empty", "record again"))
        result = store.recordings()["r"]
        assert (result.is_ok, result.reason, result.n_windows, store.keys()) == (False, "is empty", 0, {"r": ""})
        assert not len(store.scores("r"))


# The file


HISTORIES = {
    "in two goes": ["ab", "abcdef"],
    "in another order": ["fed", "abcdef"],
    "a recording added and removed again": ["abcdef", "abcdefg", "abcdef"],
    "other settings between": ["abcdef", make_manifest(start_seconds=1.0), "abcdef"],
    "half of it by other settings": ["abcdef", (make_manifest(start_seconds=1.0), "abc"), "abcdef"],
}


@pytest.mark.parametrize("history", HISTORIES)
def test_bytes_of_a_packed_store_follow_from_what_it_holds(tmp_path, history):
    write_store(tmp_path / "whole", "abcdef", pack=True)
    *steps, last = HISTORIES[history]
    for step in steps:
        if isinstance(step, str):
            write_store(tmp_path / "done", step)
        elif isinstance(step, tuple):  # an interrupted run
            with ResultsStore(tmp_path / "done", step[0]) as store:
                for name in step[1]:
                    write_recording(store, name, random_scores(1))
                store.commit()
        else:
            write_store(tmp_path / "done", "abcdef", step)
    write_store(tmp_path / "done", last, pack=True)
    assert (tmp_path / "done" / RESULTS_FILE).read_bytes() == (tmp_path / "whole" / RESULTS_FILE).read_bytes()


def test_stores_with_other_content_differ_in_the_header_that_readers_compare(tmp_path):
    headers = set()
    for names in ("a", "b", "ab"):
        write_store(tmp_path / names, names, pack=True)
        headers.add((tmp_path / names / RESULTS_FILE).read_bytes()[24:28])
    assert len(headers) == 3


@pytest.mark.parametrize("pack", [True, False])
def test_a_run_that_changes_nothing_does_not_touch_the_file(tmp_path, pack):
    path = tmp_path / RESULTS_FILE
    failure = Problem("r.wav", "is empty", "")
    with ResultsStore(tmp_path, make_manifest()) as store:
        write_recording(store, "a", random_scores(1))
        store.write_failure("r", "r.wav", failure)
        store.finish(pack)
    before = path.read_bytes(), path.stat().st_mtime_ns
    with ResultsStore(tmp_path, make_manifest()) as store:
        store.write_failure("r", "r.wav", failure)
        store.commit()
        store.finish(pack)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_what_was_written_without_packing_is_packed_by_the_next_run_that_packs(tmp_path):
    write_store(tmp_path / "whole", "abc", pack=True)
    write_store(tmp_path / "other", "c")
    write_store(tmp_path / "other", "abc")
    write_store(tmp_path / "other", "abc", pack=True)
    assert (tmp_path / "other" / RESULTS_FILE).read_bytes() == (tmp_path / "whole" / RESULTS_FILE).read_bytes()


def test_a_store_that_lost_most_of_its_recordings_shrinks_without_packing(tmp_path):
    write_store(tmp_path, "abcdefgh")
    size = (tmp_path / RESULTS_FILE).stat().st_size
    write_store(tmp_path, "a")
    assert (tmp_path / RESULTS_FILE).stat().st_size < size / 2


# Earlier results, and what cannot be used


def test_while_results_are_replaced_only_those_of_the_last_settings_are_read(tmp_path):
    first, other = make_manifest(), make_manifest(["x", "y"], overlap=1.0)
    write_store(tmp_path, "ab", first)
    with ResultsStore(tmp_path, other) as store:
        write_recording(store, "b", random_scores(3, n=5, n_classes=2), [Label("y", 0.0, 3.0, 0.5)])
        store.commit()
    with ResultsStore(tmp_path) as store:
        assert store.manifest == other and list(store.recordings()) == ["b"] and set(store.keys()) == {"a", "b"}
        assert [label.name for label in store.labels("b")] == ["y"] and store.scores("b").shape == (5, 2)
        assert list(store.labels("a")) == list(store.windows("a")) == store.occurrences("a") == []
        assert store.scores("a").shape == (0, 2)
    earlier = earlier_results(tmp_path)
    assert earlier.recordings == {"a": ("field/a.wav", first.key), "b": ("field/b.wav", other.key)}
    assert earlier.manifests == [first, other]
    write_store(tmp_path, "b", other)
    assert earlier_results(tmp_path).manifests == [other]


def test_a_run_that_writes_nothing_leaves_the_results_as_they_were(tmp_path):
    write_store(tmp_path, "ab", first := make_manifest())
    before = (tmp_path / RESULTS_FILE).read_bytes()
    with ResultsStore(tmp_path, make_manifest(overlap=1.0)) as store:
        assert store.recordings() == {}
    with ResultsStore(tmp_path) as store:
        assert store.manifest == first and list(store.recordings()) == ["a", "b"]
    assert (tmp_path / RESULTS_FILE).read_bytes() == before


def _empty(path):
    path.write_bytes(b"")


def _without_manifest(path):
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM Manifest")


def _other_manifest(path):
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE Manifest SET Content = '{"a": 1}'""")


def _text(path):
    path.write_text("recording,name\n")


def _damaged(path):
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))


def _other_database(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE Bird (Name TEXT)")


def _other_version(path):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")


FAULTS = {
    _empty: ("is an empty database", None),
    _without_manifest: ("holds no results", None),
    _other_manifest: ("holds no manifest that can be read", "remove it and run the infer stage"),
    _text: ("cannot be opened", "remove it and run infer again, or give another --output"),
    _damaged: ("malformed|damaged", "if it is damaged, remove it and run the infer stage"),
    _other_database: ("is another database", "remove it and run infer again, or give another --output"),
    _other_version: ("another version", "remove it and run infer again, or give another --output"),
}


@pytest.mark.parametrize("spoil", FAULTS)
def test_a_store_that_cannot_be_used_gives_a_line_that_says_what_to_do(tmp_path, spoil):
    write_store(tmp_path, "abcdef")
    spoil(tmp_path / RESULTS_FILE)
    fault, remedy = FAULTS[spoil]
    with pytest.raises(EarshotError, match=rf"results\.db: .*({fault}).*; ") as error, ResultsStore(tmp_path) as store:
        store.recordings()
    assert "\n" not in str(error.value)
    assert "infer" in str(error.value) or spoil is _other_database
    if remedy is None:  # a run that was killed early leaves such a file
        assert earlier_results(tmp_path).manifests == []
        write_store(tmp_path, "abcdef")
    else:
        with pytest.raises(EarshotError, match=rf"results\.db: .*({fault}).*; .*{remedy}") as error:
            earlier_results(tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", ["", "none", f"none/{RESULTS_FILE}"])
def test_missing_results_name_the_stage_that_makes_them(tmp_path, place):
    with pytest.raises(DataSetError, match=r"results\.db: no such file; run the infer stage first"):
        ResultsStore(tmp_path / place)


def test_a_store_is_given_by_its_folder_or_its_file(tmp_path):
    write_store(tmp_path / "labels.db", "a")
    shutil.copy(tmp_path / "labels.db" / RESULTS_FILE, tmp_path / "other.db")
    for path in (tmp_path / "labels.db", tmp_path / "labels.db" / RESULTS_FILE, tmp_path / "other.db"):
        with ResultsStore(path) as store:
            assert list(store.recordings()) == ["a"]
