import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.curation.clip_index import Clip, ClipFilter, ClipIndex
from lib.curation.clip_search import similar_to
from lib.curation.embedding_map import sound_map
from lib.curation.embedding_store import EmbeddingStore
from tests.server.review.builders import N_FIELD, write_project
from tests.training_data.builders import AUDIO


@pytest.fixture
def clips(tmp_path) -> list[Clip]:
    project = write_project(tmp_path / "project")
    with ClipIndex(project.settings(), str(project.labels)) as index:
        return index.page(ClipFilter(recording="f0"), "time", 0, 500).clips


def write_store(path, clip: Clip, vectors: np.ndarray) -> None:
    manifest = {"audio": AUDIO.model_dump() | {"spec_duration": 3.0}, "hop": 1.5, "models": []}
    with EmbeddingStore(path, ["f0"], manifest) as store:
        batches = [(vectors, 1.5 * len(vectors) + 1.5)] if len(vectors) else []
        store.write("f0", clip.path, f"key {vectors.sum()}", batches, [])
        store.finish()


def test_a_recording_that_is_too_short_to_have_embeddings_is_told(tmp_path, clips):
    write_store(tmp_path / "store.db", clips[0], np.zeros((0, 4), np.float32))
    with pytest.raises(EarshotError, match="has no embeddings"):
        similar_to(clips[0], tmp_path / "store.db", 5)
    assert len(sound_map(clips, tmp_path / "store.db").ids) == 0


def test_the_map_is_kept_until_other_sounds_or_embeddings_are_asked_for(tmp_path, clips):
    store, kept = tmp_path / "store.db", tmp_path / "store.db.map.npz"
    rng = np.random.default_rng(1)
    write_store(store, clips[0], rng.standard_normal((191, 8)).astype(np.float32))
    first = sound_map(clips, store)
    assert len(first.ids) == N_FIELD
    state = kept.stat().st_mtime_ns
    renamed = [clip._replace(id=clip.id + 7) for clip in clips]  # as in a later index
    again = sound_map(renamed, store)
    assert kept.stat().st_mtime_ns == state
    assert np.array_equal(again.ids, first.ids + 7) and np.array_equal(again.positions, first.positions)
    assert len(sound_map(clips[:9], store).ids) == 9

    write_store(store, clips[0], rng.standard_normal((191, 8)).astype(np.float32))
    assert not np.array_equal(sound_map(clips, store).positions, first.positions)
    kept.write_bytes(kept.read_bytes()[:100])
    assert len(sound_map(clips, store).ids) == N_FIELD
