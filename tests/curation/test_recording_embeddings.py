import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from lib.audio.spectrograms import recording_windows
from lib.core import incremental
from lib.core.errors import EarshotError
from lib.core.locks import sole_writer
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.recording_embeddings import (
    check_model,
    embed_recordings,
    write_parquet,
)
from lib.inference.predictor import Predictor
from lib.sound.recordings import recordings_of
from tests.curation.builders import HOP, embed, rows, settings
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO


@pytest.fixture
def recordings(field, tmp_path):
    """A copy of the recordings, to be changed."""
    return shutil.copytree(field, tmp_path / "field")


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store.db"


def vectors_of(path, model):
    windows = list(recording_windows(path, AUDIO, HOP, 4))
    spectrograms = np.concatenate([batch.inputs for batch in windows])
    vectors = Predictor(model, "cpu", settings()).get_embeddings(spectrograms)
    return np.concatenate([batch.starts for batch in windows]), vectors


def test_store_holds_the_embeddings_of_all_windows(field, model, store):
    outcome = embed(field, model, store)
    assert outcome.new == ["r00", "r01", "r02", "r03", "short"] and not outcome.failed
    for name in ("r02", "short"):
        starts, vectors = vectors_of(field / f"{name}.wav", model)
        stored = [row for row in rows(store) if row[0] == name]
        assert [start for _, start, _ in stored] == starts.tolist()
        np.testing.assert_allclose([vector for *_, vector in stored], vectors, rtol=2e-3, atol=1e-3)
        assert np.std(vectors) > 0.01


def test_bytes_do_not_depend_on_workers_or_on_the_recordings_coming_at_once(recordings, model, tmp_path):
    embed(recordings, model, tmp_path / "one.db")
    embed(recordings, model, tmp_path / "three.db", workers=3)
    (recordings / "short.wav").rename(tmp_path / "short.wav")
    embed(recordings, model, tmp_path / "two.db")
    (tmp_path / "short.wav").rename(recordings / "short.wav")
    assert embed(recordings, model, tmp_path / "two.db").new == ["short"]
    one, two, three = (tmp_path.joinpath(f"{name}.db").read_bytes() for name in ("one", "two", "three"))
    assert one == two == three


def test_known_recordings_cost_nothing_and_changed_ones_are_embedded_again(field, recordings, model, store, tmp_path):
    embed(field, model, store)
    assert embed(recordings, model, store, min_score=0.9, batch_size=7).new == []
    with EmbeddingStore(store) as opened:  # they are found where they lie now
        assert opened.recording("r00").path == str(recordings / "r00.wav")
        assert opened.recording_at(recordings / "../field/r02.wav").name == "r02"
        assert opened.recording_at(field / "r02.wav") is None
    shutil.copy(recordings / "r01.wav", recordings / "r00.wav")
    (recordings / "r03.wav").rename(recordings / "r09.wav")
    assert embed(recordings, model, store).new == ["r00", "r09"]
    embed(recordings, model, tmp_path / "whole.db")
    kept = [row for row in rows(store) if row[0] != "r03"]  # embeddings of recordings that are gone stay
    assert kept == rows(tmp_path / "whole.db") and len(kept) < len(rows(store))


def test_problems_of_recordings_are_told_in_each_run(recordings, model, store):
    (recordings / "r02.wav").write_bytes((recordings / "r02.wav").read_bytes()[:5000])
    for new in (5, 1):  # a truncated recording is read again
        outcome = embed(recordings, model, store)
        assert len(outcome.new) == new and "truncated" in outcome.problems[0].fault
    (recordings / "r01.wav").write_bytes(b"nothing")
    outcome = embed(recordings, model, store)
    assert (list(outcome.failed), outcome.new) == (["r01"], ["r02"])
    assert [problem.subject for problem in outcome.problems] == [str(recordings / f"r0{k}.wav") for k in (1, 2)]
    assert "r01" not in {name for name, *_ in rows(store)}


def test_another_model_needs_another_store_unless_all_is_replaced(field, model, store, tmp_path):
    save_random_model(other := tmp_path / "other.pt", AUDIO, seed=2)
    embed(field, model, store)
    fault = r"store\.db: holds embeddings of 4 other recordings, by another model or with other settings"
    for wrong, changes in ((other, {}), (model, {"overlap": 0.0})):
        with pytest.raises(EarshotError, match=fault):
            embed(field / "r00.wav", wrong, store, **changes)
    with EmbeddingStore(store) as opened:
        check_model(opened, model)
        with pytest.raises(EarshotError, match=r"store\.db: its embeddings were made by another model than"):
            check_model(opened, other)
    assert len(embed(field, other, store).new) == 5
    with EmbeddingStore(store) as opened:
        check_model(opened, other)


def test_second_process_and_too_wide_an_overlap_are_refused(field, model, store):
    with sole_writer(store), pytest.raises(EarshotError, match=r"store\.db: another process is writing to it; wait"):
        embed(field, model, store)
    wide = settings()
    wide.infer.overlap = 0.5
    with pytest.raises(EarshotError, match=r"infer.overlap = 0.5: must be below the model's spec_duration"):
        embed_recordings(recordings_of(field)[0], model, wide, store)


@pytest.mark.parametrize("fault", ["a truncated checkpoint", "two models that do not fit", "a missing first recording"])
def test_a_model_that_cannot_be_used_leaves_the_embeddings_as_they_were(recordings, model, store, monkeypatch, fault):
    embed(recordings, model, store)
    before = store.read_bytes(), rows(store)
    folder = shutil.copytree(model.parent, store.parent / "unusable")
    if fault == "two models that do not fit":
        save_random_model(folder / "other.pt", AUDIO, "xyz")
    else:
        (folder / model.name).write_bytes(model.read_bytes()[:1000])
    if fault == "a missing first recording":
        monkeypatch.setattr(incremental, "COMMIT_SECONDS", 0.0)
        (recordings / "r00.wav").unlink()
        (recordings / "r00.wav").symlink_to("nowhere")
    with pytest.raises(EarshotError, match=r"not a model that can be loaded|classes"):
        embed(recordings, folder, store)
    assert (store.read_bytes(), rows(store)) == before


def test_table_holds_the_store(field, model, store, tmp_path):
    embed(field, model, store)
    n = write_parquet(store, tmp_path / "table.parquet")
    table = pq.read_table(tmp_path / "table.parquet")
    assert table.column_names == ["recording", "path", "start_time", "end_time", "embedding"]
    columns = (table[name].to_pylist() for name in ("recording", "start_time", "embedding"))
    assert list(zip(*columns, strict=True)) == rows(store)
    assert table.num_rows == n
    assert table["end_time"][1].as_py() - table["start_time"][1].as_py() == pytest.approx(0.5)
