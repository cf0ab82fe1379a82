import numpy as np
import pytest

from lib import CollectionClient, LabelClassMap, LabeledDataset, LabeledFrame, UnlabeledDataset, UnlabeledFrame
from lib.core.errors import EarshotError
from lib.curation.issues.issue import IssueElement
from lib.curation.issues.issue_manager import IssueManager

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
