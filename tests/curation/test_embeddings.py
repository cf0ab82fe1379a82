import shutil
import sqlite3
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from lib.audio.spectrogram import recording_windows
from lib.config import Settings
from lib.curation import database_embeddings, embedding_store, embeddings
from lib.curation.database_embeddings import DatabaseEmbeddings, embed_database
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.embeddings import check_model, embed_recordings, write_table
from lib.errors import EarshotError
from lib.inference.inputs import recordings_of
from lib.inference.predictor import Predictor
from tests.database.builders import AUDIO, RATE, extract_folder, write_data_set
from tests.models.builders import save_random_model

HOP = 0.25


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_data_set(tmp_path_factory.mktemp("field"), 4) / "recordings"
    soundfile.write(folder / "short.wav", np.random.default_rng(1).normal(0, 0.1, 1000), RATE)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.pt"
    save_random_model(path, AUDIO)
    return path


def settings(**changes):
    values = {"overlap": AUDIO.spec_duration - HOP, "batch_size": 4, "workers": 1, "device": "cpu", "precision": "32"}
    return Settings(audio=AUDIO, extract={"overlap": 0.0}, infer=values | changes)


def embed(recordings, model, output, **changes):
    return embed_recordings(recordings_of(recordings)[0], model, settings(**changes), output)


def rows(path):
    """All windows of a store: recording, start, vector."""
    with EmbeddingStore(path) as store:
        return [
            (store.recording(int(recording)).name, start, vector.tolist())
            for piece in store.pieces()
            for recording, start, vector in zip(*piece, strict=True)
        ]


def vectors_of(path, model):
    windows = list(recording_windows(path, AUDIO, HOP, 4))
    spectrograms = np.concatenate([some.spectrograms for some in windows])
    return np.concatenate([some.starts for some in windows]), Predictor(model, "cpu", settings()).get_embeddings(
        spectrograms
    )


def test_store_holds_the_embeddings_of_all_windows(folder, model, tmp_path):
    done = embed(folder, model, tmp_path / "store.db")
    assert (done.recordings, done.new, done.failed) == (5, 5, 0)
    found = rows(tmp_path / "store.db")
    assert done.windows == len(found)
    assert sorted({name for name, _, _ in found}) == ["r00", "r01", "r02", "r03", "short"]
    for name in ("r02", "short"):
        starts, vectors = vectors_of(folder / f"{name}.wav", model)
        mine = [row for row in found if row[0] == name]
        assert [row[1] for row in mine] == starts.tolist()
        np.testing.assert_allclose([row[2] for row in mine], vectors, rtol=2e-3, atol=1e-3)
        assert np.std(vectors) > 0.01


@pytest.mark.parametrize("windows", [1, 3])
def test_vectors_do_not_depend_on_workers_or_blocks(folder, model, tmp_path, monkeypatch, windows):
    embed(folder, model, tmp_path / "one.db")
    monkeypatch.setattr(embedding_store, "WINDOWS_A_BLOCK", windows)
    monkeypatch.setattr(embedding_store, "WINDOWS_A_PIECE", windows)
    embed(folder, model, tmp_path / "many.db", workers=3)
    assert rows(tmp_path / "one.db") == rows(tmp_path / "many.db")


def test_known_recordings_cost_nothing_and_changed_ones_are_made_anew(folder, model, tmp_path):
    field, store = shutil.copytree(folder, tmp_path / "field"), tmp_path / "store.db"
    assert embed(field, model, store).new == 5
    assert embed(field, model, store, min_score=0.9, batch_size=7).new == 0
    shutil.copy(field / "r01.wav", field / "r00.wav")
    (field / "r03.wav").rename(field / "r09.wav")
    done = embed(field, model, store)
    assert (done.new, done.recordings) == (2, 5)
    embed(field, model, tmp_path / "whole.db")
    kept = [row for row in rows(store) if row[0] != "r03"]  # of recordings that are gone, embeddings stay
    assert kept == rows(tmp_path / "whole.db") and len(kept) < len(rows(store))


def test_moved_recordings_are_found_where_they_lie_now(folder, model, tmp_path):
    field, store = shutil.copytree(folder, tmp_path / "field"), tmp_path / "store.db"
    embed(field, model, store)
    field.rename(tmp_path / "moved")
    assert embed(tmp_path / "moved", model, store).new == 0
    with EmbeddingStore(store) as opened:
        assert opened.recording("r00").path == str(tmp_path / "moved/r00.wav")
        assert opened.recording_at(tmp_path / "moved/../moved/r02.wav").name == "r02"
        assert opened.recording_at(folder / "r02.wav") is None


def test_run_that_is_stopped_goes_on(folder, model, tmp_path, monkeypatch):
    store, whole = tmp_path / "store.db", tmp_path / "whole.db"
    embed(folder, model, whole)
    monkeypatch.setattr(embedding_store, "COMMIT_SECONDS", 0.0)
    insert, count = EmbeddingStore.insert, iter(range(9))

    def stop_in_the_third(self, name, path, key, batches):
        def stopping():
            yield next(iter(batches))
            raise KeyboardInterrupt

        return insert(self, name, path, key, stopping() if next(count) == 2 else batches)

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddingStore, "insert", stop_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            embed(folder, model, store)
    with EmbeddingStore(store) as opened:
        assert sorted(opened.keys()) == ["r00", "r01"]
    assert embed(folder, model, store).new == 3
    assert rows(store) == rows(whole)


def test_unreadable_recording_is_a_problem_and_leaves_no_windows(folder, model, tmp_path):
    field, store = shutil.copytree(folder, tmp_path / "field"), tmp_path / "store.db"
    embed(field, model, store)
    (field / "r01.wav").write_bytes(b"nothing")
    done = embed(field, model, store)
    assert (done.failed, done.new) == (1, 0)
    assert [problem.subject for problem in done.problems] == [str(field / "r01.wav")]
    assert "r01" not in {name for name, _, _ in rows(store)}


def test_another_model_needs_another_store_unless_all_is_made_anew(folder, model, tmp_path):
    store, other = tmp_path / "store.db", tmp_path / "other.pt"
    save_random_model(other, AUDIO, seed=2)
    embed(folder, model, store)
    with pytest.raises(EarshotError, match="holds embeddings of 4 other recordings, by another model"):
        embed(folder / "r00.wav", other, store)
    with EmbeddingStore(store) as opened:
        check_model(opened, model)
        with pytest.raises(EarshotError, match="made by another model"):
            check_model(opened, other)
    assert embed(folder, other, store).new == 5


def test_other_files_are_no_stores_and_stay(folder, model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EarshotError, match=r"notes\.txt: cannot be used"):
        embed(folder, model, tmp_path / "notes.txt")
    with sqlite3.connect(tmp_path / "mine.db") as connection:
        connection.execute("CREATE TABLE Mine (a)")
    with pytest.raises(EarshotError, match=r"mine\.db: is no store of embeddings"):
        embed(folder, model, tmp_path / "mine.db")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_overlap_must_be_one_of_the_models_windows(folder, model, tmp_path):
    wide = settings()
    wide.infer.overlap = 0.5
    with pytest.raises(EarshotError, match=r"infer.overlap = 0.5: must be below the model's spec_duration"):
        embed_recordings(recordings_of(folder)[0], model, wide, tmp_path / "store.db")


def test_values_beyond_half_precision_do_not_become_infinite(tmp_path):
    manifest = {"audio": AUDIO.model_dump(), "hop": HOP, "dim": 2, "models": []}
    with EmbeddingStore.create(tmp_path / "store.db", manifest) as store:
        store.insert("a", "a.wav", "key", [(np.array([[1e6, -1e6]], np.float32), 0.5)])
        assert next(store.pieces()).vectors.tolist() == [[65504.0, -65504.0]]


def test_table_holds_the_store(folder, model, tmp_path):
    embed(folder, model, tmp_path / "store.db")
    n = write_table(tmp_path / "store.db", tmp_path / "table.parquet")
    table = pq.read_table(tmp_path / "table.parquet")
    assert table.column_names == ["recording", "path", "start_time", "end_time", "embedding"]
    columns = (table[name].to_pylist() for name in ("recording", "start_time", "embedding"))
    assert list(zip(*columns, strict=True)) == rows(tmp_path / "store.db")
    assert table.num_rows == n
    assert table["end_time"][1].as_py() - table["start_time"][1].as_py() == pytest.approx(0.5)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    extract_folder(write_data_set(folder / "set", 3), folder / "training.db")
    return folder / "training.db"


@pytest.fixture
def database(extracted, tmp_path):
    return shutil.copy(extracted, tmp_path / "training.db")


def test_embeddings_of_a_database_can_be_unpacked_as_documented(database, model):
    n = embed_database(database, model, settings())
    with sqlite3.connect(database) as connection:
        found = connection.execute("SELECT Value, Embedding FROM SpecValue ORDER BY ID").fetchall()
    assert n == len(found) > 10
    unpacked = [np.frombuffer(zlib.decompress(embedding), np.float32) for _, embedding in found]
    spectrograms = [np.frombuffer(zlib.decompress(value), np.uint8).reshape(16, 40) / 255 for value, _ in found]
    expected = Predictor(model, "cpu", settings()).get_embeddings(np.stack(spectrograms).astype(np.float32))
    np.testing.assert_allclose(np.stack(unpacked), expected, rtol=1e-4, atol=1e-5)
    with DatabaseEmbeddings(database) as source:
        (piece,) = source.pieces()
        assert source.count() == len(piece.starts) == n
        recording = source.recording(int(piece.recordings[3]))
        assert source.recording_at(database.parent / "set" / recording.path) == recording
        assert source.spectrogram(recording, piece.starts[3]).shape == (16, 40)


def test_embeddings_of_one_class_leave_the_others(database, model):
    n = embed_database(database, model, settings(), class_name="mid")
    with sqlite3.connect(database) as connection:
        query = "SELECT count(*), count(Embedding) FROM SpecValue"
        total, embedded = connection.execute(query).fetchone()
    assert 0 < n == embedded < total
    with DatabaseEmbeddings(database, class_name="mid") as source:
        assert source.count() == n
    with pytest.raises(
        EarshotError, match=f"{total - n} of {total} spectrograms have no embedding; run the embed stage"
    ):
        DatabaseEmbeddings(database)
    with pytest.raises(EarshotError, match="holds no class owl; it has high, low, mid"):
        embed_database(database, model, settings(), class_name="owl")


def test_model_for_other_spectrograms_is_refused(database, tmp_path):
    save_random_model(tmp_path / "other.pt", AUDIO.model_copy(update={"top_db": 60.0}))
    with pytest.raises(EarshotError, match="have other audio settings than the model"):
        embed_database(database, tmp_path / "other.pt", settings())


def test_code_that_makes_embeddings_is_part_of_their_key(folder, model, tmp_path, monkeypatch):
    embed(folder, model, tmp_path / "store.db")
    monkeypatch.setattr(embeddings, "SCORED_BY", ("audio/reader.py",))
    assert embed(folder, model, tmp_path / "store.db").new == 5


def embedded(database):
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT ID, Embedding FROM SpecValue ORDER BY ID").fetchall()


class Killed(BaseException):
    """As a signal would end it: no handler of ours catches this."""


def test_embedding_a_database_goes_on_where_it_was_stopped(database, model, monkeypatch):
    embed_database(database, model, settings())
    whole = embedded(database)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE SpecValue SET Embedding = NULL WHERE ID % 3 = 0")
    asked = count_embedded(monkeypatch)
    assert embed_database(database, model, settings()) == len(whole)
    assert sum(asked) == sum(number % 3 == 0 for number, _ in whole)
    assert [number for number, _ in embedded(database)] == [number for number, _ in whole]
    for (_, one), (_, other) in zip(embedded(database), whole, strict=True):
        one, other = (np.frombuffer(zlib.decompress(value), np.float32) for value in (one, other))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    asked.clear()
    assert embed_database(database, model, settings()) == len(whole) and asked == []


def test_embeddings_of_two_models_never_stand_side_by_side(database, model, tmp_path, monkeypatch):
    other = tmp_path / "other.pt"
    save_random_model(other, AUDIO, seed=2)
    embed_database(database, model, settings())
    monkeypatch.setattr(database_embeddings, "COMMIT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        count_embedded(patch, until=2)
        with pytest.raises(Killed):
            embed_database(database, other, settings())
    n = sum(vector is not None for _, vector in embedded(database))
    assert 0 < n < len(embedded(database))
    asked = count_embedded(monkeypatch)
    embed_database(database, other, settings())
    assert sum(asked) == len(embedded(database)) - n
    with DatabaseEmbeddings(database) as source:
        check_model(source, other)
        with pytest.raises(EarshotError, match=r"training\.db: its embeddings were made by another model"):
            check_model(source, model)
    asked.clear()
    embed_database(database, model, settings(), class_name="mid")
    assert sum(asked) == sum(vector is not None for _, vector in embedded(database)) < len(embedded(database))


def count_embedded(monkeypatch, until=99):
    """A list of how many spectrograms are embedded at a time; after some times, the process is stopped."""
    embed, asked = Predictor.get_embeddings, []

    def counting(self, spectrograms):
        if len(asked) == until:
            raise Killed
        asked.append(len(spectrograms))
        return embed(self, spectrograms)

    monkeypatch.setattr(Predictor, "get_embeddings", counting)
    return asked
