import shutil
import sqlite3
import zlib

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.core.locks import sole_writer
from lib.curation import database_embeddings
from lib.curation.database_embeddings import DatabaseEmbeddings, embed_database
from lib.curation.recording_embeddings import check_model
from lib.inference.predictor import Predictor
from tests.curation.builders import settings
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO


@pytest.fixture
def database(extracted, tmp_path):
    return shutil.copy(extracted, tmp_path / "training.db")


def embeddings(database):
    """ID of each spectrogram, and its embedding, if it has one."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT ID, Embedding FROM SpecValue ORDER BY ID").fetchall()
    return {number: value and np.frombuffer(zlib.decompress(value), np.float32) for number, value in rows}


def n_embedded(database):
    return sum(vector is not None for vector in embeddings(database).values())


class Killed(BaseException):
    """As a signal would end it: no handler of ours catches this."""


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


def test_embeddings_of_a_database_can_be_unpacked_as_documented(database, extracted, model):
    n = embed_database(database, model, settings())
    with sqlite3.connect(database) as connection:
        values = [value for (value,) in connection.execute("SELECT Value FROM SpecValue ORDER BY ID")]
    assert n == len(values) > 10
    spectrograms = [np.frombuffer(zlib.decompress(value), np.uint8).reshape(16, 40) / 255 for value in values]
    expected = Predictor(model, "cpu", settings()).get_embeddings(np.stack(spectrograms).astype(np.float32))
    np.testing.assert_allclose(list(embeddings(database).values()), expected, rtol=1e-4, atol=1e-5)
    with DatabaseEmbeddings(database) as source:
        (piece,) = source.pieces()
        assert source.count() == len(piece.starts) == n
        recording = source.recording(int(piece.recordings[3]))
        assert source.recording_at(extracted.parent / "set" / recording.path) == recording
        assert source.spectrogram(recording, piece.starts[3]).shape == (16, 40)


def test_embeddings_of_one_class_leave_the_others(database, model):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE Class SET Code = 'MID' WHERE Name = 'mid'")
    n, total = embed_database(database, model, settings(), class_name="MID"), len(embeddings(database))
    assert 0 < n == n_embedded(database) < total
    with DatabaseEmbeddings(database, class_name="mid") as source:
        assert source.count() == n
    with pytest.raises(EarshotError, match=f"{total - n} of {total} spectrograms without embedding; run the embed"):
        DatabaseEmbeddings(database)
    for wrong, fault in (
        ({"class_name": "owl"}, "holds no class owl; it has high, low, mid"),
        ({"spec_group": "big"}, "holds no spectrogram group big"),
    ):
        with pytest.raises(EarshotError, match=fault):
            embed_database(database, model, settings(), **wrong)


def test_other_model_and_second_process_are_refused(database, model, tmp_path):
    save_random_model(tmp_path / "other.pt", AUDIO.model_copy(update={"top_db": 60.0}))
    with pytest.raises(EarshotError, match="have other audio settings than the model"):
        embed_database(database, tmp_path / "other.pt", settings())
    with sole_writer(database), pytest.raises(EarshotError, match=r"training\.db: another process is writing to it"):
        embed_database(database, model, settings())


def test_interrupted_run_resumes_and_two_models_are_never_mixed(database, extracted, model, tmp_path, monkeypatch):
    save_random_model(other := tmp_path / "other.pt", AUDIO, seed=2)
    embed_database(whole := shutil.copy(extracted, tmp_path / "whole.db"), other, settings())
    embed_database(database, model, settings())
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(database_embeddings, "COMMIT_SECONDS", 0.0)
        count_embedded(patch, until=2)
        embed_database(database, other, settings())
    n, total = n_embedded(database), len(embeddings(database))
    assert 0 < n < total
    asked = count_embedded(monkeypatch)
    for n_asked in (total - n, 0):
        assert embed_database(database, other, settings()) == total
        assert sum(asked) == n_asked
        asked.clear()
    assert embeddings(database).keys() == embeddings(whole).keys()
    np.testing.assert_allclose(list(embeddings(database).values()), list(embeddings(whole).values()), rtol=1e-4)
    with DatabaseEmbeddings(database) as source:
        check_model(source, other)
        with pytest.raises(EarshotError, match=r"training\.db: its embeddings were made by another model"):
            check_model(source, model)
    embed_database(database, model, settings(), class_name="mid")
    assert sum(asked) == n_embedded(database) < total
