import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.curation import index_folder
from lib.curation.database_embeddings import DatabaseEmbeddings, embed_database
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.index_folder import read_contents
from lib.curation.nearest_windows import Query, Stretch, nearest_windows
from lib.curation.vector_index import open_index
from tests.curation.builders import HOP, MANIFEST, settings

DIM, WINDOWS = 24, 40


def sounds(n: int, seed: int) -> np.ndarray:
    """n vectors in clusters, as embeddings are: those of a recording are alike."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(7).normal(size=(30, DIM))
    return (centers[rng.integers(30)] + 0.6 * rng.normal(size=(n, DIM))).astype(np.float32)


def write(path: Path, names, seed=0, removed=()) -> None:
    with EmbeddingStore(path, [*names, *removed], MANIFEST) as store:
        for name in removed:
            store.remove(name)
        for name in names:
            vectors = sounds(WINDOWS, seed + int(name))
            store.write(name, f"field/{name}.wav", f"{name} {seed}", [(vectors, HOP * WINDOWS)], [])
        store.finish()


@pytest.fixture
def path(tmp_path) -> Path:
    write(tmp_path / "store.db", [f"{number:03}" for number in range(60)])
    return tmp_path / "store.db"


def open_store_index(path: Path, **only):
    store = EmbeddingStore(path, **only)
    return store, open_index(store, least=1)


def found(matches) -> list[tuple]:
    return [(match.recording.name, match.start_time, round(match.similarity, 5)) for match in matches]


def agreement(path: Path, n=30, **rules) -> float:
    """Share of what the exact search finds that the index finds, too, of ten queries."""
    store, index = open_store_index(path)
    with store:
        shares = []
        for number in range(10):
            query = Query(sounds(1, 5000 + number))
            exact = found(nearest_windows(store, store.pieces(), query, n, **rules))
            shares.append(len(set(exact) & set(found(index.nearest(query, n, **rules)))) / len(exact))
    return float(np.mean(shares))


def files(path: Path) -> dict[str, int]:
    folder = path.with_name("store.db.index")
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


@pytest.mark.parametrize("rules", [{}, {"distinct": True}])
def test_it_finds_what_the_exact_search_finds_with_the_same_similarities(path, rules):
    assert agreement(path, **rules) > 0.97


def test_the_place_of_the_query_is_left_out_and_overlapping_windows_are_found_once(path):
    store, index = open_store_index(path)
    with store:
        recording = store.recording("007")
        query = Query(sounds(WINDOWS, 7)[20:21], Stretch(recording.id, 20 * HOP, 20 * HOP + store.seconds))
        matches = index.nearest(query, 20)
        assert found(matches) == found(nearest_windows(store, store.pieces(), query, 20))
        ours = sorted(match.start_time for match in matches if match.recording.name == "007")
        assert np.all(np.diff(ours) >= store.seconds - 1e-6)
        assert all(abs(start - 20 * HOP) >= store.seconds - 1e-6 for start in ours)


def test_a_query_of_several_windows_and_one_for_more_than_there_are_are_answered(path):
    store, index = open_store_index(path)
    with store:
        several = Query(sounds(4, 6000))
        assert found(index.nearest(several, 10)) == found(nearest_windows(store, store.pieces(), several, 10))
        everything = found(nearest_windows(store, store.pieces(), several, 10_000))
        assert found(index.nearest(several, 10_000)) == everything


def test_new_recordings_are_added_and_changed_and_removed_ones_are_found_as_they_are_now(path):
    store, _ = open_store_index(path)
    store.close()
    before = read_contents(path.with_name("store.db.index"))
    write(path, ["900", "901"])
    assert agreement(path) > 0.97
    added = read_contents(path.with_name("store.db.index"))
    assert len(added.recordings) == len(before.recordings) + 2 * WINDOWS
    write(path, ["003"], seed=300, removed=["004"])
    assert agreement(path) > 0.97
    changed = read_contents(path.with_name("store.db.index"))
    assert (changed.recordings == -1).sum() == 2 * WINDOWS  # not rebuilt
    write(path, [], removed=[f"{number:03}" for number in range(10, 30)])
    assert agreement(path) > 0.97
    rebuilt = read_contents(path.with_name("store.db.index"))
    assert len(rebuilt.recordings) == 41 * WINDOWS and (rebuilt.recordings >= 0).all()
    assert len(files(path)) == 3


def test_an_index_that_is_up_to_date_is_not_written_again(path):
    open_store_index(path)[0].close()
    before = files(path)
    open_store_index(path)[0].close()
    assert files(path) == before and len(before) == 3


@pytest.mark.parametrize("name", ["vectors", "graph", "windows"])
@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_a_damaged_index_is_rebuilt(path, name, harm):
    open_store_index(path)[0].close()
    (file,) = path.with_name("store.db.index").glob(f"{name}*")
    content = bytearray(file.read_bytes())
    if harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif harm == "flip":
        for place in range(100, len(content), 1000):
            content[place] ^= 0xFF
        file.write_bytes(content)
    else:
        file.unlink()
    assert agreement(path) > 0.97
    assert len(files(path)) == 3


def test_a_build_that_is_interrupted_leaves_the_index_as_it_was(path, monkeypatch):
    open_store_index(path)[0].close()
    before = files(path)
    write(path, ["900"])

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index_folder, "_write_contents", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_store_index(path)
    assert files(path) == before
    assert agreement(path) > 0.97


def test_a_full_disk_is_named(path, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(index_folder, "_write_contents", full)
    with pytest.raises(EarshotError, match=r"store\.db\.index: cannot be written \(No space left on device\)"):
        open_store_index(path)


def test_small_stores_and_parts_of_a_store_need_none(path):
    with EmbeddingStore(path) as store, EmbeddingStore(path, ["001"]) as part:
        assert open_index(store) is None and open_index(part, least=1) is None
    assert not path.with_name("store.db.index").exists()


def test_windows_without_sound_are_passed_over(path):
    with EmbeddingStore(path, ["silent"], MANIFEST) as store:
        store.write("silent", "silent.wav", "silent", [(np.zeros((WINDOWS, DIM), np.float32), 10.0)], [])
        store.finish()
    assert agreement(path) > 0.97


def test_query_of_another_dimension_is_named(path):
    store, index = open_store_index(path)
    with store, pytest.raises(EarshotError, match=f"have {DIM} dimensions, the query 2; search with the model"):
        index.nearest(Query(np.ones((1, 2), np.float32)), 3)


BUILD = """
import sys
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.vector_index import open_index
with EmbeddingStore(sys.argv[1]) as store:
    print(len(open_index(store, least=1)))
"""


def test_processes_and_threads_that_need_it_at_once_share_one(path):
    command = [sys.executable, "-c", BUILD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as a, subprocess.Popen(command, stdout=subprocess.PIPE) as b:
        sizes = [int(process.communicate()[0].split()[-1]) for process in (a, b)]
    assert sizes == [60 * WINDOWS] * 2 and len(files(path)) == 3
    with EmbeddingStore(path) as store:
        index = open_index(store, least=1)
        queries = [sounds(1, seed) for seed in range(40)]
        alone = [index.candidates(query, 10).rows.tolist() for query in queries]
        with ThreadPoolExecutor(4) as pool:
            assert [
                each.rows.tolist() for each in pool.map(lambda query: index.candidates(query, 10), queries)
            ] == alone


def test_a_training_database_has_one_for_each_group(extracted, model, tmp_path):
    database = tmp_path / "training.db"
    database.write_bytes(extracted.read_bytes())
    embed_database(database, model, settings())
    for _ in range(2):
        with DatabaseEmbeddings(database) as embeddings:
            index = open_index(embeddings, least=1)
            piece = next(embeddings.pieces())
            query = Query(piece.vectors[:1])
            exact = found(nearest_windows(embeddings, embeddings.pieces(), query, 3))
            assert found(index.nearest(query, 3)) == exact
            assert len(index) == embeddings.count()
    assert (tmp_path / "training.db.default.index").is_dir()
    with DatabaseEmbeddings(database, class_name=None) as embeddings:
        assert embeddings.version() is not None
