import sqlite3

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.curation import embedding_store
from lib.curation.embedding_store import EmbeddingStore
from tests.curation.builders import MANIFEST, make_store, rows
from tests.training_data.builders import AUDIO


def test_only_recordings_that_are_asked_for_are_read(tmp_path):
    make_store(tmp_path / "store.db", {name: [[k, 1, 0] for k in range(5)] for name in "abc"}).close()
    with EmbeddingStore(tmp_path / "store.db", ["c", "none", "a"]) as store:
        assert (store.count(), store.dim, store.seconds) == (10, 3, AUDIO.spec_duration)
        (piece,) = store.pieces()
        assert [store.recording(int(i)).name for i in piece.recordings] == ["a"] * 5 + ["c"] * 5
        assert piece.starts.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0] * 2
        assert store.recording("b").path == "field/b.wav" and store.recording("none") is None


def test_values_beyond_half_precision_do_not_become_infinite(tmp_path):
    with make_store(tmp_path / "store.db", {"a": [[1e6, -1e6]]}) as store:
        assert next(store.pieces()).vectors.tolist() == [[65504.0, -65504.0]]


@pytest.mark.parametrize("n", [1, 3])
def test_windows_do_not_depend_on_how_they_are_cut(tmp_path, monkeypatch, n):
    vectors = np.random.default_rng(1).normal(size=(2, 8, 3)).tolist()
    recordings = dict(zip("ab", vectors, strict=True))
    make_store(tmp_path / "whole.db", recordings).close()
    monkeypatch.setattr(embedding_store, "WINDOWS_A_BLOCK", n)
    monkeypatch.setattr(embedding_store, "WINDOWS_A_PIECE", n)
    make_store(tmp_path / "cut.db", recordings).close()
    assert rows(tmp_path / "cut.db") == rows(tmp_path / "whole.db") and len(rows(tmp_path / "cut.db")) == 16


def test_recording_whose_batches_fail_stays_as_it_was(tmp_path):
    def failing():
        yield np.ones((2, 3), np.float32), 0.75
        raise ValueError

    with make_store(tmp_path / "store.db", {"a": [[1, 2, 3]]}) as store:
        with pytest.raises(ValueError):
            store.write("a", "elsewhere.wav", "other", failing(), [])
        store.commit()
    assert rows(tmp_path / "store.db") == [("a", 0.0, [1.0, 2.0, 3.0])]


def test_other_files_are_no_stores_and_stay(tmp_path):
    (tmp_path / "notes.db").write_text("mine")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE Mine (a)")
    for name, fault in (("notes.db", "is not a database"), ("other.db", "is another database")):
        before = (tmp_path / name).read_bytes()
        for open_store in (EmbeddingStore, lambda path: EmbeddingStore(path, [], MANIFEST)):
            with pytest.raises(EarshotError, match=f"{name}: .*{fault}"):
                open_store(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def test_store_that_was_interrupted_before_anything_was_in_it_is_completed(tmp_path):
    (tmp_path / "store.db").touch()
    with pytest.raises(EarshotError, match=r"store\.db: is an empty database; run the embed stage"):
        EmbeddingStore(tmp_path / "store.db")
    with make_store(tmp_path / "store.db", {"a": [[1, 2, 3]]}) as store:
        assert store.count() == 1
