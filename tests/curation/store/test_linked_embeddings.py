"""Embeddings of linked sets: which windows of a store belong to which frame or label, and faults of stores."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from lib.config.schema import DataSettings
from lib.core.errors import EarshotError
from lib.curation.store import linked_embeddings
from lib.curation.store.linked_embeddings import LinkedEmbeddings, _Sound, _Sounds
from lib.curation.store.linked_truth import LinkedTruth
from lib.results.results_store import ResultsStore
from lib.sound.labels import Label
from tests.curation.builders import HOP, MANIFEST, make_store, record
from tests.curation.frame_builders import open_client
from tests.curation.test_vector_index import WINDOWS, sounds, write
from tests.results.builders import make_manifest, write_recording
from tests.training_data.builders import AUDIO, RATE

LENGTH = AUDIO.spec_duration
VECTORS = {name: [[10.0 * number + k, 1.0] for k in range(4)] for number, name in enumerate(("dawn", "dusk"))}
END = HOP * 5


@pytest.fixture
def folder(tmp_path):
    """A data set of two recordings of five hops, whose four windows of two hops each have embeddings in store.db."""
    record(tmp_path / "field", VECTORS, END)
    rows = ["recording,class,start_time,end_time", "dawn,a,0.55,0.65", "dusk,a,0,1.25", "dusk,b,0.5,0.95"]
    (tmp_path / "field/annotations.csv").write_text("\n".join(rows))
    make_store(tmp_path / "store.db", VECTORS).close()
    return tmp_path


@pytest.fixture
def client(folder):
    with open_client(folder, data=DataSettings(decisions=str(folder / "decisions.csv"))) as client:
        yield client


def link(client, folder, query="", name="set", store="store.db", **options) -> str:
    client.create_dataset(
        "marsh", name, data_url=f"{folder / 'field'}{query}", embeddings_url=str(folder / store), **options
    )
    return name


def found(blocks) -> dict[str, list[float]]:
    """First numbers of the vectors of each frame or label."""
    numbers: dict[str, list[float]] = {}
    for block in blocks:
        assert block.model == MODEL
        for frame, label, vector in zip(block.frame_ids, block.label_ids, block.vectors, strict=True):
            numbers.setdefault(label or frame, []).append(float(vector[0]))
    return numbers


MODEL = linked_embeddings.digest_of(MANIFEST["models"])


def test_recordings_have_the_embeddings_of_all_their_windows(client, folder):
    name = link(client, folder)
    assert found(client.embeddings("marsh", name)) == {"dawn": [0, 1, 2, 3], "dusk": [10, 11, 12, 13]}
    assert found(client.embeddings("marsh", name, frame_ids=["dusk"])) == {"dusk": [10, 11, 12, 13]}


def test_windows_have_the_embeddings_of_what_lies_in_them_by_more_than_half(client, folder):
    in_half_seconds = link(client, folder, "?window=0.5")
    expected = {"dawn@0-0.5": [0], "dawn@0.5-1": [2]}
    assert found(client.embeddings("marsh", in_half_seconds, frame_ids=list(expected))) == expected
    with_rest = found(client.embeddings("marsh", link(client, folder, "?window=0.45", "with rest")))
    assert with_rest["dusk@0.45-0.9"] == [11, 12] and with_rest["dusk@0.9-1.35"] == [13]  # it ends at 1.25 s
    longer = found(client.embeddings("marsh", link(client, folder, "?window=1", "longer")))
    assert longer["dawn@0-1"] == [0, 1, 2]
    shorter = found(client.embeddings("marsh", link(client, folder, "?window=0.25", "shorter")))
    assert shorter["dawn@0.25-0.5"] == [0, 1] and shorter["dawn@0-0.25"] == [0]


def test_labels_have_those_of_the_windows_that_they_are_in(client, folder):
    name = link(client, folder)
    assert found(client.embeddings("marsh", name, crops=True)) == {
        "dawn/a/0.55-0.65": [1, 2],
        "dusk/a/0-1.25": [10, 11, 12, 13],
        "dusk/b/0.5-0.95": [11, 12],  # 13 shares 0.2 s with it
    }
    assert list(found(client.embeddings("marsh", name, crops=True, frame_ids=["dawn"]))) == ["dawn/a/0.55-0.65"]


def test_recordings_without_annotations_are_an_unlabelled_data_set(client, folder):
    (folder / "field/annotations.csv").unlink()
    name = link(client, folder, "/recordings?include=d*k", is_unlabeled_indexed_dataset=True)
    assert client.get_dataset("marsh", name)["kind"] == "unlabeled"
    assert found(client.embeddings("marsh", name)) == {"dusk": [10, 11, 12, 13]}
    assert client.get_frame("marsh", name, "dusk").to_dict()["label_data"] == []
    assert list(client.truth("marsh", name)) == [] and client.get_dataset_ingest_error_logs("marsh", name) == []
    with pytest.raises(EarshotError, match="holds no recordings that match 'x'"):
        link(client, folder, "/recordings?include=x", "none", is_unlabeled_indexed_dataset=True)


def test_a_store_is_kept_until_another_one_is_named(client, folder):
    name = link(client, folder)
    client.create_or_update_dataset("marsh", name, data_url=str(folder / "field"))
    assert client.get_dataset("marsh", name)["embeddings_url"] == str(folder / "store.db")
    make_store(folder / "other.db", {key: [[7.0, 1.0]] for key in VECTORS}).close()
    link(client, folder, store="other.db")
    assert found(client.embeddings("marsh", name)) == {"dawn": [7], "dusk": [7]}


def test_the_default_store_is_taken_where_it_has_the_recordings(client, folder, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(folder))
    (folder / "data").mkdir()
    client.create_dataset("marsh", "plain", data_url=str(folder / "field"))
    assert list(client.embeddings("marsh", "plain")) == []
    make_store(folder / "data/embeddings.db", {"noon": [[1.0, 1.0]]}).close()
    assert list(client.embeddings("marsh", "plain")) == []
    make_store(folder / "data/embeddings.db", VECTORS).close()
    assert list(found(client.embeddings("marsh", "plain"))) == ["dawn", "dusk"]


def test_what_a_store_lacks_is_named_unless_it_cannot_be_read(client, folder):
    name = link(client, folder)
    (folder / "field/recordings/damaged.wav").write_bytes(b"RIFF")
    assert list(found(client.embeddings("marsh", name))) == ["dawn", "dusk"]
    record(folder / "field", ["noon"], END)
    with pytest.raises(EarshotError, match=r"store\.db: lacks recording 'noon' of data set 'set'; run the embed stage"):
        list(client.embeddings("marsh", name))
    assert list(found(client.embeddings("marsh", name, frame_ids=["dawn"]))) == ["dawn"]


def test_a_recording_of_the_same_name_from_elsewhere_is_another_one(client, folder):
    name = link(client, folder)
    (folder / "dawn.wav").write_bytes((folder / "field/recordings/dawn.wav").read_bytes())
    with linked_embeddings.EmbeddingStore(folder / "store.db", ["dawn"], MANIFEST) as store:
        store.keep("dawn", str(folder / "dawn.wav"))
        store.finish()
    assert list(found(client.embeddings("marsh", name))) == ["dawn", "dusk"]  # a copy
    soundfile.write(folder / "dawn.wav", np.zeros(100), RATE)
    with pytest.raises(EarshotError, match=r"has embeddings of .*dawn\.wav under the name 'dawn', not of .*field"):
        list(client.embeddings("marsh", name))


def test_a_store_that_is_missing_or_damaged_is_one_error(client, folder):
    with pytest.raises(EarshotError, match=r"none\.db"):
        link(client, folder, store="none.db")
    assert not client.dataset_exists("marsh", "set")
    name = link(client, folder)
    content = (folder / "store.db").read_bytes()
    (folder / "store.db").write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(EarshotError, match=r"store\.db") as error:
        list(client.embeddings("marsh", name))
    assert "\n" not in str(error.value)
    (folder / "store.db").unlink()
    with pytest.raises(EarshotError, match=r"store\.db"):
        client.embeddings("marsh", name)


def test_predictions_have_embeddings_of_the_store_of_their_data_set(client, folder):
    name = link(client, folder)
    with ResultsStore(folder / "labels", make_manifest()) as results:
        labels = [Label("a", 0.55, 0.65, 0.75), Label("c", 0.0, 0.3, 0.5)]
        write_recording(results, "dawn", np.full((4, 3), 0.5, np.float32), labels)
        results.commit()
    url = str(folder / "labels")
    with pytest.raises(EarshotError, match=r"embeddings_url: names a store, .*; give it to the data set"):
        client.create_inferences("marsh", name, "model", data_url=url, embeddings_url=str(folder / "store.db"))
    client.create_inferences("marsh", name, "model", data_url=url)
    assert list(found(client.embeddings("marsh", name, "model", crops=True)).values()) == [[1, 2], [0]]
    assert list(client.embeddings("marsh", name, "model")) == []


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=8),
    st.integers(0, 40),
    st.integers(1, 60),
)
def test_windows_of_sounds_are_those_that_share_more_than_half(stretches, n_windows, until):
    starts, ends = [start / 8 for start, _ in stretches], [(start + length) / 8 for start, length in stretches]
    times = np.arange(n_windows) * HOP
    those = [_Sound("", str(i), "r", *pair) for i, pair in enumerate(zip(starts, ends, strict=True))]
    expected = set()
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        end = min(end, until / 8)
        for k, time in enumerate(times.tolist()):
            shared = min(end, time + LENGTH) - max(start, time)
            if shared > min(end - start, LENGTH) / 2 and shared > 0:
                expected.add((i, k))
    pairs = _Sounds(those).pairs(times, LENGTH, until / 8)
    assert set(zip(*(column.tolist() for column in pairs), strict=True)) == expected


@pytest.mark.parametrize("first", [8, 256])
def test_the_index_finds_the_frames_that_a_look_at_all_windows_finds(tmp_path, monkeypatch, first):
    monkeypatch.setattr(linked_embeddings, "FIRST_CANDIDATES", first)
    names = [f"{number:03}" for number in range(60)]
    record(tmp_path / "field", names[:50], HOP * WINDOWS)
    write(tmp_path / "store.db", names)
    truth = LinkedTruth(f"{tmp_path / 'field/recordings'}?window=1", DataSettings(), is_labeled=False)
    embeddings = LinkedEmbeddings(tmp_path / "store.db", truth, "field")
    examples = np.concatenate([sounds(1, 5000), sounds(WINDOWS, 55)[3:4]])  # 055 is not in the data set
    examples /= np.linalg.norm(examples, axis=1, keepdims=True)
    exact: dict[str, float] = {}
    for block in embeddings.of_frames():
        cosines = (block.vectors @ examples.T).max(axis=1) / np.linalg.norm(block.vectors, axis=1)
        for frame, cosine in zip(block.frame_ids, cosines.tolist(), strict=True):
            exact[frame] = max(cosine, exact.get(frame, -1.0))
    least = sorted(exact.values())[-40]
    expected = {frame: cosine for frame, cosine in exact.items() if cosine >= least}
    by_index = embeddings.frames_like(examples, least, least_windows=1)
    assert by_index is not None and len(by_index.keys() & expected.keys()) >= 38 and by_index.keys() <= expected.keys()
    assert by_index == pytest.approx({frame: expected[frame] for frame in by_index}, abs=1e-5)
    assert embeddings.frames_like(examples, -0.5, least_windows=1) is None
    assert embeddings.frames_like(examples, least) is None
    assert embeddings.frames_like(examples.repeat(65, axis=0), least, least_windows=1) is None
