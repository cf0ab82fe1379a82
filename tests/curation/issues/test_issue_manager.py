import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lib.core.errors import EarshotError
from lib.curation.issues.issue import ISSUE_STATES, ISSUE_TYPES, IssueElement
from lib.curation.issues.issue_manager import IssueManager
from lib.sound.scenario_tables import Scenario, ScenarioStretch, read_scenario_files
from tests.curation.curation_projects import FOUND, PROJECT, TRUTH, crop, frame, make_client, write_linked

HOSTILE = "<img src=x onerror=alert(1)> =cmd() 'a;b"


@pytest.fixture
def client(tmp_path):
    write_linked(tmp_path)
    return make_client(tmp_path)


@pytest.fixture
def issues(client) -> IssueManager:
    return IssueManager(client, PROJECT)


def names(issue) -> list[str]:
    return [element.element_id for element in issue.elements]


def test_every_type_of_issue_is_created_listed_and_deleted(issues):
    ids = [issues.create_issue(f"my {kind}", TRUTH, [frame("r1")], "frame", issue_type=kind) for kind in ISSUE_TYPES]
    listed = issues.list_issues()
    assert [(each.issue_id, each.name, each.template_type) for each in listed] == [
        (id, f"my {kind}", kind) for id, kind in zip(ids, ISSUE_TYPES, strict=True)
    ]
    assert {each.state for each in listed} == {"triage"} and all(names(each) == ["r1"] for each in listed)
    for issue_id in ids:
        issues.delete_issue(issue_id)
        with pytest.raises(EarshotError, match="there is none of this id"):
            issues.get_issue(issue_id)
    assert issues.list_issues() == []


def test_elements_are_added_once_removed_and_marked(issues):
    issue_id = issues.create_issue("mine", f"{PROJECT}.{TRUTH}", [frame("r1")], "frame")
    issues.add_elements_to_issue(issue_id, [frame("r2"), frame("r1")])
    issues.update_elements_status(issue_id, ["r1"], "done")
    issues.add_elements_to_issue(issue_id, [frame("r1"), frame("r3")])
    issue = issues.get_issue(issue_id)
    assert names(issue) == ["r1", "r2", "r3"] and issue.dataset == TRUTH
    assert [element.status for element in issue.elements] == ["done", "unstarted", "unstarted"]
    issues.update_elements_status(issue_id, ["r1"], "unstarted")
    issues.remove_elements_from_issue(issue_id, [frame("r2")])
    assert [(each.element_id, each.status) for each in issues.get_issue(issue_id).elements] == [
        ("r1", "unstarted"),
        ("r3", "unstarted"),
    ]
    with pytest.raises(EarshotError, match="element 'r2': is not in the issue 'mine'"):
        issues.remove_elements_from_issue(issue_id, [frame("r3"), frame("r2")])
    assert names(issues.get_issue(issue_id)) == ["r1", "r3"]  # nothing of it was done


def test_lists_in_the_metadata_of_an_element_grow_when_it_is_added_again(issues):
    def noted(*classes, **values):
        return replace(frame("r1"), label_metadata={"classes": list(classes), **values})

    issue_id = issues.create_issue("mine", TRUTH, [noted("a", score=0.5)], "frame")
    issues.add_elements_to_issue(issue_id, [noted("b", "a", score=0.9), frame("r2")])
    issues.add_elements_to_issue(issue_id, [frame("r1")])
    metadata = [each.label_metadata for each in issues.get_issue(issue_id).elements]
    assert metadata == [{"classes": ["a", "b"], "score": 0.5}, {}]


def test_states_names_and_assignees_change(issues):
    issue_id = issues.create_issue("old", TRUTH, [], "frame", reporter="ann@x.org")
    for state in ISSUE_STATES:
        issues.update_issue_state(issue_id, state)
        assert issues.get_issue(issue_id).state == state
    issues.update_issue_name(issue_id, HOSTILE)
    issues.update_issue_assignee(issue_id, "bob@x.org")
    issue = issues.get_issue(issue_id)
    assert (issue.name, issue.reporter, issue.assignee) == (HOSTILE, "ann@x.org", "bob@x.org")
    assert issue.updated_at >= issue.created_at


def test_frames_and_crops_come_with_their_data_unless_excluded(issues):
    crops = [crop("r1", "r1/b/3-6"), crop("r1", "r1/1", "inference")]
    crops[1].label_metadata = {"confidence": 0.7, "iou": 1.0}
    issue_id = issues.create_issue("confused", TRUTH, crops, "crop", FOUND)
    truth, found = issues.get_issue(issue_id).elements
    assert truth.crop_data["classification"] == "b" and truth.crop_data["left"] == 3.0
    assert found.crop_data["classification"] == "a" and found.crop_data["confidence"] == pytest.approx(0.7)
    assert found.label_metadata == {"confidence": 0.7, "iou": 1.0}
    ids = {each["label_id"] for each in truth.frame_data["label_data"]}
    assert ids == {"r1/a/0-3", "r1/b/3-6", "r1/a/6-9"}
    assert len(truth.frame_data["inference_data"]) == 3
    json.dumps(truth.frame_data)
    (without, _) = issues.get_issue(issue_id, exclude_frame_inferences=True).elements
    assert "inference_data" not in without.frame_data
    (bare, _) = issues.get_issue(issue_id, exclude_frame_data=True).elements
    assert bare.frame_data is None and bare.crop_data is None and bare.element_id == "r1/b/3-6"
    assert issues.list_issues()[0].elements[0].frame_data is None


def test_comments_are_kept_in_order_as_they_were_written(issues):
    issue_id = issues.create_issue("mine", TRUTH, [frame("r1")], "frame")
    issues.add_comment(issue_id, "ann", HOSTILE)
    issues.add_comment(issue_id, "bob", "yes")
    issues.add_comment(issue_id, "bob", "here", "r1")
    issue = issues.get_issue(issue_id, include_comment_data=True)
    assert [(each["author"], each["content"]) for each in issue.comments] == [("ann", HOSTILE), ("bob", "yes")]
    assert [each["content"] for each in issue.elements[0].comments] == ["here"]
    assert issues.get_issue(issue_id).comments is None
    with pytest.raises(EarshotError, match="element 'r2': is not in"):
        issues.add_comment(issue_id, "bob", "there", "r2")


@pytest.mark.parametrize(
    "elements, more, fault",
    [
        ([frame("r9")], {}, "frame 'r9': is not in the data set 'test'"),
        ([crop("r1", "r1/b/3-6")], {}, "is no frame, as the issue's are"),
        ([IssueElement("r1", "r2", "frame", TRUTH)], {}, "is a frame, but its frame_id is 'r2'"),
        ([IssueElement("r1", "r1", "frame", "other")], {}, "is of another data set"),
        ([crop("r1", "r1/b/9-9")], {"element_type": "crop"}, "label 'r1/b/9-9': is not in the frame 'r1'"),
        ([crop("r2", "r1/b/3-6")], {"element_type": "crop"}, "label 'r1/b/3-6': is not in the frame 'r2'"),
        ([crop("r1", "r1/1", "inference")], {"element_type": "crop"}, "of another data set or inference set"),
        ([], {"issue_type": "Wish"}, "issue type 'Wish': is not one of Split"),
        ([], {"element_type": "box"}, "element type 'box': is not one of"),
        ([], {"dataset": "other"}, "data set 'other' in 'field'"),
        ([], {"name": ""}, "must be a text that is not empty"),
        ([], {"name": "a\nb"}, "must not hold control characters"),
        ([], {"work_queue_batch_size": 0, "issue_type": "Work Queue"}, "work_queue_batch_size 0: must be a whole"),
    ],
)
def test_what_cannot_be_is_named_and_changes_nothing(issues, elements, more, fault):
    values = {"name": "mine", "dataset": TRUTH, "elements": elements, "element_type": "frame"} | more
    with pytest.raises(EarshotError, match=fault):
        issues.create_issue(**values)
    assert issues.list_issues() == []


def test_wrong_states_and_statuses_are_named(issues):
    issue_id = issues.create_issue("mine", TRUTH, [frame("r1")], "frame")
    with pytest.raises(EarshotError, match="state 'open': is not one of triage, inProgress"):
        issues.update_issue_state(issue_id, "open")
    with pytest.raises(EarshotError, match="status 'later': is not one of"):
        issues.update_elements_status(issue_id, ["r1"], "later")


def test_threads_that_add_elements_at_once_lose_nothing(client):
    issue_id = IssueManager(client, PROJECT).create_issue("mine", TRUTH, [], "frame")
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda name: IssueManager(client, PROJECT).add_elements_to_issue(issue_id, [frame(name)]),
                ["r1", "r2", "r3", "r1"],
            )
        )
    assert sorted(names(IssueManager(client, PROJECT).get_issue(issue_id))) == ["r1", "r2", "r3"]


def scenarios(tmp_path) -> list[Scenario]:
    found, problems = read_scenario_files(tmp_path / "scenarios")
    assert problems == []
    return found


def test_a_scenario_is_a_file_that_follows_the_issue(issues, tmp_path):
    assert scenarios(tmp_path) == []
    issues.create_issue("bucket", TRUTH, [frame("r1")], "frame")
    assert scenarios(tmp_path) == []
    elements = [crop("r1", "r1/b/3-6"), crop("r1", "r1/2", "inference")]
    issue_id = issues.create_issue("dawn/rain", TRUTH, elements, "crop", FOUND, "Regression Test")
    stretches = ScenarioStretch("r1", 3.0, 6.0, "b"), ScenarioStretch("r1", 9.0, 12.0, "")
    assert scenarios(tmp_path) == [Scenario("dawn/rain", stretches, True)]
    issues.remove_elements_from_issue(issue_id, elements[1:])
    issues.update_issue_name(issue_id, "dusk")
    assert scenarios(tmp_path) == [Scenario("dusk", stretches[:1], True)]
    frames = issues.create_issue("frames", TRUTH, [frame("r2")], "frame", issue_type="Scenario")
    issues.add_elements_to_issue(frames, [frame("r3")])
    expected = tuple(ScenarioStretch(name, 0.0, float("inf")) for name in ("r2", "r3"))
    assert scenarios(tmp_path)[1] == Scenario("frames", expected, False)
    with pytest.raises(EarshotError, match="scenario 'dusk': there is one of this name"):
        issues.create_issue("dusk", TRUTH, [], "frame", issue_type="Scenario")
    with pytest.raises(EarshotError, match="scenario 'frames': there is one of this name"):
        issues.update_issue_name(issue_id, "frames")
    for each in (issue_id, frames):
        issues.delete_issue(each)
    assert scenarios(tmp_path) == []


def test_a_scenario_whose_name_is_too_long_for_a_file_is_not_created(issues, tmp_path):
    with pytest.raises(EarshotError, match="makes a file name of more than 240 bytes"):
        issues.create_issue(100 * "/", TRUTH, [frame("r1")], "frame", issue_type="Scenario")
    issue_id = issues.create_issue(236 * "x", TRUTH, [frame("r1")], "frame", issue_type="Scenario")
    with pytest.raises(EarshotError, match="makes a file name of more than 240 bytes"):
        issues.update_issue_name(issue_id, 237 * "x")
    assert [each.name for each in issues.list_issues()] == [each.name for each in scenarios(tmp_path)] == [236 * "x"]


def test_of_several_who_create_a_scenario_of_a_name_at_once_one_does(client, tmp_path):
    def create(_: int) -> bool:
        try:
            IssueManager(client, PROJECT).create_issue("dawn", TRUTH, [frame("r1")], "frame", issue_type="Scenario")
        except EarshotError as error:
            assert "there is one of this name" in str(error)
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(create, range(8))) == 1
    assert len(IssueManager(client, PROJECT).list_issues()) == len(scenarios(tmp_path)) == 1
