import numpy as np
import pytest

from lib import CollectionClient, LabelClassMap, LabeledDataset, LabeledFrame, UnlabeledDataset, UnlabeledFrame
from lib.core.errors import EarshotError
from lib.curation.issues.issue import IssueElement
from lib.curation.issues.issue_manager import IssueManager
from tests.curation.builders import embed, make_store, record

MODEL = "cnn"
ANGLES = {"u0": 0, "u30": 30, "u50": 50, "u80": 80, "u120": 120}


def vector(degrees: float) -> list[float]:
    return [float(3 * np.cos(np.radians(degrees))), float(3 * np.sin(np.radians(degrees))), 0.0]


def with_embedding(frame, degrees: float, model=MODEL):
    frame.add_audio(audio_url=f"{degrees}.wav")
    frame.add_frame_embedding(embedding=vector(degrees), model_id=model)
    return frame


def unlabeled() -> list[UnlabeledFrame]:
    return [with_embedding(UnlabeledFrame(frame_id=name), degrees) for name, degrees in ANGLES.items()]


@pytest.fixture
def client(tmp_path):
    with CollectionClient(api_endpoint=f"sqlite:///{tmp_path / 'curation.db'}") as client:
        client.create_project("marsh", LabelClassMap.from_classnames(["owl"]))
        known, field = LabeledDataset(), UnlabeledDataset()
        for name, degrees in (("k0", 0), ("k-90", -90)):
            known.add_frame(with_embedding(LabeledFrame(frame_id=name), degrees))
        for frame in unlabeled():
            field.add_frame(frame)
        client.create_dataset("marsh", "known", dataset=known)
        client.create_dataset("marsh", "field", dataset=field)
        yield client


def campaign(client, elements=("k0",), kind="Collection Campaign", **fields) -> str:
    chosen = [IssueElement(name, name, "frame", "known") for name in elements]
    issues = IssueManager(client, "marsh")
    return issues.create_issue("owls", "known", chosen, "frame", issue_type=kind, custom_template_fields=fields)


def names(collected) -> list[str]:
    return [name for each in collected for name in each.frame_ids]


def test_frames_are_scored_by_the_cosine_to_the_most_similar_element(client):
    issue = campaign(client, ["k0", "k-90"])
    client.sync_state()
    scores = client.sample_probabilities(unlabeled())[issue]
    expected = {name: max(np.cos(np.radians(a)), np.cos(np.radians(a + 90))) for name, a in ANGLES.items()}
    assert scores == pytest.approx(expected, abs=1e-6)


def test_those_at_the_threshold_are_collected_once_into_a_data_set(client):
    issue = campaign(client, sampling_threshold=0.6)
    client.sync_state(["marsh"])
    client.sample_probabilities(unlabeled())
    before = client.get_datasets("marsh", True)
    (planned,) = client.save_for_collection(dry_run=True)
    assert planned.frame_ids == ["u0", "u30", "u50"] and client.get_datasets("marsh", True) == before
    assert client.save_for_collection() == [planned]
    assert client.get_frame_ids("marsh", planned.dataset) == ["u0", "u30", "u50"]
    assert client.get_dataset("marsh", planned.dataset)["kind"] == "unlabeled"
    assert names(client.save_for_collection()) == []
    assert names(client.save_for_collection(override_sampling_threshold=0.1)) == ["u80"]
    assert planned.similarities == pytest.approx([1, np.cos(np.radians(30)), np.cos(np.radians(50))], abs=1e-6)
    elements = [IssueElement(name, name, "frame", planned.dataset) for name in planned.frame_ids]
    queue = IssueManager(client, "marsh").create_work_queue("label owls", planned.dataset, elements, "frame")
    assert client.get_work_queue_manager("marsh").get_work_queue(queue).element_count == 3
    assert planned.issue_id == issue


def test_the_most_similar_ones_are_collected_whatever_the_threshold(client):
    campaign(client, sampling_threshold=0.99)
    client.sync_state()
    client.sample_probabilities(unlabeled()[::-1])
    assert names(client.save_for_collection(target_sample_count=2)) == ["u0", "u30"]
    assert names(client.save_for_collection(target_sample_count=0)) == []


def test_an_unlabelled_data_set_is_searched_for_what_is_like_an_issue(client):
    issue = campaign(client, kind="Bucket", sampling_threshold=0.6)
    asked = {"issue_uuid": issue, "unlabeled_dataset_name": "field"}
    results = client.get_unlabeled_results_for_issue(**asked)
    assert [each["frame_id"] for each in results] == ["u0", "u30", "u50"]
    assert results[1]["similarity"] == pytest.approx(np.cos(np.radians(30)), abs=1e-6)
    client.sync_state(target_issue_uuids=[issue])
    client.sample_probabilities(unlabeled())
    client.save_for_collection(target_sample_count=1)
    assert [each["frame_id"] for each in client.get_unlabeled_results_for_issue(**asked)] == ["u30", "u50"]
    added = client.get_unlabeled_results_for_issue(**asked, sort_status="ADDED", unlabeled_only=False)
    assert [(each["frame_id"], each["sort_status"]) for each in added] == [("u0", "ADDED")]
    assert len(client.get_unlabeled_results_for_issue(**asked, sort_status=None, unlabeled_only=False)) == 3


def test_campaigns_that_are_over_and_other_issues_are_not_read(client):
    issue = campaign(client)
    campaign(client, kind="Bucket")
    client.sync_state()
    assert list(client.sample_probabilities(unlabeled())) == [issue]
    IssueManager(client, "marsh").update_issue_state(issue, "resolved")
    client.sync_state()
    with pytest.raises(EarshotError, match="collection campaigns: none was read; call sync_state"):
        client.sample_probabilities(unlabeled())


def test_what_cannot_be_scored_is_named(client):
    issue = campaign(client)
    client.sync_state()
    with pytest.raises(EarshotError, match="frame 'x': has no embedding"):
        client.sample_probabilities([UnlabeledFrame(frame_id="x")])
    with pytest.raises(EarshotError, match="issue 'owls': has no embeddings of 'other', which the frames have"):
        client.sample_probabilities([with_embedding(UnlabeledFrame(frame_id="x"), 0, "other")])
    short = UnlabeledFrame(frame_id="x")
    short.add_frame_embedding(embedding=[1.0, 2.0], model_id=MODEL)
    with pytest.raises(EarshotError, match="has embeddings of 3 dimensions, the frames of 2"):
        client.sample_probabilities([short])
    with pytest.raises(EarshotError, match="takes projects or issues, not both"):
        client.sync_state(["marsh"], [issue])
    with pytest.raises(EarshotError, match="issue 'none': there is none of this id"):
        client.sync_state(target_issue_uuids=["none"])
    with pytest.raises(EarshotError, match="data set 'none'"):
        client.get_unlabeled_results_for_issue(issue_uuid=issue, unlabeled_dataset_name="none")
    campaign(client, [])
    with pytest.raises(EarshotError, match="issue 'owls': none of its elements has an embedding"):
        client.sync_state()


def field_set(folder, angles: dict[str, list[float]]):
    """Recordings of 1.25 s, whose four windows have embeddings in store.db at these angles."""
    record(folder / "field", angles, 1.25)
    make_store(
        folder / "store.db", {name: [vector(degrees) for degrees in each] for name, each in angles.items()}
    ).close()
    return str(folder / "field/recordings"), str(folder / "store.db")


@pytest.fixture
def linked(tmp_path):
    """With a labelled set `known` and an unlabelled one `field`, both linked; field has a frame each half second."""
    with CollectionClient(api_endpoint=f"sqlite:///{tmp_path / 'curation.db'}") as client:
        client.create_project("marsh", LabelClassMap.from_classnames(["owl"]))
        record(tmp_path / "known", ["k"], 1.25)
        (tmp_path / "known/annotations.csv").write_text("recording,class,start_time,end_time\nk,owl,0,0.5\n")
        make_store(tmp_path / "known.db", {"k": [vector(0), vector(90), vector(90), vector(90)]}).close()
        client.create_dataset(
            "marsh", "known", data_url=str(tmp_path / "known"), embeddings_url=str(tmp_path / "known.db")
        )
        recordings, store = field_set(tmp_path, {"f1": [10, 100, 60, 100], "f2": [100, 100, 20, 100]})
        options = {"embeddings_url": store, "is_unlabeled_indexed_dataset": True}
        client.create_dataset("marsh", "field", data_url=f"{recordings}?window=0.5", **options)
        client.create_dataset("marsh", "whole", data_url=recordings, **options)
        yield client


def linked_campaign(client, **fields) -> str:
    element = IssueElement("k/owl/0-0.5", "k", "crop", "known", "label")
    return IssueManager(client, "marsh").create_issue(
        "owls", "known", [element], "crop", issue_type="Collection Campaign", custom_template_fields=fields
    )


def cosines(*degrees) -> list[float]:
    return pytest.approx([np.cos(np.radians(each)) for each in degrees], abs=1e-3)  # of float16


def test_linked_data_sets_are_searched_by_the_embeddings_of_their_stores(linked):
    issue = linked_campaign(linked, sampling_threshold=0.6)
    results = linked.get_unlabeled_results_for_issue(issue_uuid=issue, unlabeled_dataset_name="field")
    assert [each["frame_id"] for each in results] == ["f1@0-0.5", "f2@0.5-1"]
    assert [each["similarity"] for each in results] == cosines(10, 20)
    results = linked.get_unlabeled_results_for_issue(issue_uuid=issue, unlabeled_dataset_name="whole")
    assert [each["frame_id"] for each in results] == ["f1", "f2"]  # each by its most similar window
    assert [each["similarity"] for each in results] == cosines(10, 20)


def test_frames_of_linked_data_sets_are_collected_with_an_embedding(linked):
    issue = linked_campaign(linked)
    linked.sync_state()
    frames = list(linked.get_frames("marsh", "whole", ["f1", "f2"]).values())
    with pytest.raises(EarshotError, match=r"frame 'f1': has no embedding; .* or name its data set"):
        linked.sample_probabilities(frames)
    scores = linked.sample_probabilities(frames, "whole")[issue]
    assert list(scores) == ["f1", "f2"] and list(scores.values()) == cosines(10, 20)
    (collected,) = linked.save_for_collection(target_sample_count=1)
    assert collected.frame_ids == ["f1"]
    (block,) = linked.embeddings("marsh", collected.dataset)
    assert block.vectors[0] == pytest.approx(vector(10), abs=2e-3)
    found = linked.get_unlabeled_results_for_issue(issue_uuid=issue, unlabeled_dataset_name="whole")
    assert [each["frame_id"] for each in found] == ["f2"]


def test_a_store_by_another_model_is_named(client, tmp_path):
    issue = campaign(client)
    recordings, store = field_set(tmp_path, {"f1": [10]})
    client.create_dataset(
        "marsh", "linked", data_url=recordings, embeddings_url=store, is_unlabeled_indexed_dataset=True
    )
    with pytest.raises(EarshotError, match=r"store\.db: was made by another model than the embeddings of issue 'owls'"):
        client.get_unlabeled_results_for_issue(issue_uuid=issue, unlabeled_dataset_name="linked")


def test_real_embeddings_of_recordings_find_the_recording_that_they_are_of(field, model, tmp_path):
    embed(field, model, tmp_path / "store.db")
    with CollectionClient(api_endpoint=f"sqlite:///{tmp_path / 'curation.db'}") as client:
        client.create_project("marsh", LabelClassMap.from_classnames(["owl"]))
        options = {"embeddings_url": str(tmp_path / "store.db"), "is_unlabeled_indexed_dataset": True}
        for name in ("seed", "field"):
            client.create_dataset("marsh", name, data_url=f"{field}?window=1", **options)
        issue = IssueManager(client, "marsh").create_issue(
            "owls", "seed", [IssueElement("r02@1-2", "r02@1-2", "frame", "seed")], "frame", issue_type="Bucket"
        )
        first = client.get_unlabeled_results_for_issue(issue_uuid=issue, unlabeled_dataset_name="field")[0]
        assert first["frame_id"] == "r02@1-2" and first["similarity"] == pytest.approx(1, abs=1e-5)
