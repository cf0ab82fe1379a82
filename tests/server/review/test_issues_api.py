"""What the review page's server answers about issues and work queues."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from lib.curation.client.client import Client
from lib.curation.issues.issue import IssueElement
from lib.curation.reviewed_issues import ReviewedIssues
from lib.server.review.review_app import make_review_app
from lib.server.review.reviewed_project import ReviewedProject
from tests.server.review.builders import FOUND, HOSTILE, N_FIELD, write_results


@contextmanager
def serving(project, by="ana", token="", url=None):
    settings = project.settings()
    reviewed = ReviewedProject(settings, str(project.labels), "none", by, "none")
    issues = ReviewedIssues(settings, str(project.labels), url or project.curation, "review")
    with TestClient(make_review_app(settings, reviewed, token, issues), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(project):
    with serving(project) as client:
        yield client


@pytest.fixture
def manager(project):
    with Client(api_endpoint=project.curation, data=project.settings().data) as client:
        yield lambda: client.get_issue_manager("review")


def clips(client, **values) -> list[dict]:
    return client.get("/clips", params={"order": "time", "limit": 500} | values).json()["clips"]


def create(client, chosen, name="odd", **values) -> dict:
    body = {"name": name, "clips": [one["id"] for one in chosen], "by": "ana"} | values
    answer = client.post("/issues", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_issue_of_clips_is_the_one_that_python_sees(client, manager):
    made = create(client, clips(client, recording="t0", origin="found")[:2], type="Label Quality")
    (issue,) = manager().list_issues()
    assert (issue.name, issue.template_type, issue.dataset, issue.reporter) == ("odd", "Label Quality", "test", "ana")
    assert [element.element_id for element in issue.elements] == ["t0@3-6", "t0@12-15"]
    frames = [element.frame_data for element in manager().get_issue(made["issue"]["id"]).elements]
    assert [[label["classification"] for label in frame["label_data"]] for frame in frames] == [["low"], ["mid"]]

    manager().update_issue_state(issue.issue_id, "inReview")
    manager().add_comment(issue.issue_id, "bob", "from python", "t0@3-6")
    answer = client.get(f"/issues/{issue.issue_id}").json()
    assert answer["issue"]["state"] == "inReview"
    assert [(one["author"], one["content"], one["about"]) for one in answer["comments"]] == [
        ("bob", "from python", "t0@3-6")
    ]
    manager().remove_elements_from_issue(issue.issue_id, issue.elements[:1])
    assert client.get("/issues").json()["issues"][0]["n"] == 1


def test_elements_open_their_clips_also_after_the_pipeline_has_run(client, project):
    chosen = clips(client, recording="t0")
    made = create(client, chosen)["issue"]["id"]
    opened = client.get(f"/issues/{made}/clips").json()
    assert opened["total"] == len(chosen) == 7
    assert [one["id"] for one in opened["clips"]] == [one["id"] for one in chosen]
    (project.labels / "results.db").unlink()
    write_results(project.labels, {"f0": project.folder / "field/f0.wav"}, {"f0": FOUND["f0"][:5]})
    client.get("/overview")
    again = client.get(f"/issues/{made}/clips", params={"order": "time"}).json()["clips"]
    key = lambda one: (one["recording"], one["class_name"], one["start"], one["end"])  # noqa: E731
    assert sorted(map(key, again)) == sorted(map(key, chosen))
    assert {one["id"] for one in again}.isdisjoint(one["id"] for one in chosen)


def test_classes_at_the_same_place_are_clips_of_one_element(project):
    rows = {"t0": [("low", 3.0, 6.0, 0.9), ("mid", 3.0, 6.0, 0.8)]}
    (project.labels / "results.db").unlink()
    write_results(project.labels, {"t0": project.folder / "test/recordings/t0.wav"}, rows)
    with serving(project) as client:
        low, mid = clips(client, recording="t0", origin="found")
        made = create(client, [low])["issue"]["id"]
        assert [one["class_name"] for one in client.get(f"/issues/{made}/clips").json()["clips"]] == ["low"]
        more = client.post(f"/issues/{made}/clips", json={"clips": [mid["id"], low["id"]]}).json()
        assert more["n"] == 1
        opened = client.get(f"/issues/{made}/clips").json()["clips"]
        assert sorted(one["class_name"] for one in opened) == ["low", "mid"]


def test_clips_of_any_recordings_go_together_in_an_issue_of_their_own(client, manager):
    mixed = [*clips(client, recording="f0")[:2], *clips(client, recording="t0")[:1]]
    made = create(client, mixed)["issue"]
    assert (made["data_set"], made["n"]) == ("others", 3)
    assert [one["id"] for one in client.get(f"/issues/{made['id']}/clips").json()["clips"]] == sorted(
        one["id"] for one in mixed
    )
    assert {each.frame_id for each in manager().list_issues()[0].elements} == {"f0@0-3", "f0@3-6", "t0@3-6"}
    tested = create(client, mixed[2:], "of the test set")["issue"]["id"]
    answer = client.post(f"/issues/{tested}/clips", json={"clips": [mixed[0]["id"]]})
    assert answer.status_code == 422
    assert "make another issue" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["Scenario", "Regression Test"])
def test_scenarios_become_files_that_evaluate_reads(client, project, kind):
    create(client, clips(client, recording="t0", origin="found")[:2], "at night", type=kind)
    (file,) = (project.folder / "scenarios").glob("*.csv")
    text = file.read_text()
    assert "t0,3" in text and "t0,12" in text
    body = {"name": "at night", "type": kind, "clips": [clips(client)[0]["id"]], "by": "ana"}
    assert client.post("/issues", json=body).status_code == 422


def test_states_assignees_and_comments_are_kept(client):
    made = create(client, clips(client)[:1])["issue"]["id"]
    assert client.post(f"/issues/{made}", json={"state": "resolved", "assignee": "eve"}).status_code == 200
    client.post(f"/issues/{made}/comments", json={"by": "ana", "content": "one\ntwo"})
    shown = client.get(f"/issues/{made}").json()
    assert (shown["issue"]["state"], shown["issue"]["assignee"]) == ("resolved", "eve")
    assert [(one["author"], one["content"]) for one in shown["comments"]] == [("ana", "one\ntwo")]
    assert client.post(f"/issues/{made}", json={"assignee": ""}).json()["issue"]["assignee"] == ""
    for path, body in (
        ("", {"state": "gone"}),
        ("/comments", {"by": "ana", "content": " "}),
        ("/comments", {"by": "", "content": "x"}),
        ("/clips", {"clips": []}),
        ("/clips", {"clips": [7]}),
        ("/batches", {"by": "ana"}),
    ):
        assert client.post(f"/issues/{made}{path}", json=body).status_code == 422, path
    assert client.get("/issues/00000000-0000-0000-0000-000000000000").status_code == 404
    assert client.get("/issues/x' OR 1=1").status_code == 422


def test_names_that_are_markup_stay_as_they_are(client, project):
    chosen = clips(client, class_name=HOSTILE)
    shown = create(client, chosen, HOSTILE)
    assert shown["issue"]["name"] == HOSTILE
    assert shown["elements"][0]["classes"] == [HOSTILE]
    client.post(f"/issues/{shown['issue']['id']}/comments", json={"by": HOSTILE, "content": HOSTILE})
    listed = client.get("/issues")
    assert listed.headers["content-type"].startswith("application/json")
    assert listed.headers["x-content-type-options"] == "nosniff"
    answer = client.post("/issues", json={"name": "\x00", "clips": [chosen[0]["id"]], "by": "ana"})
    assert answer.status_code == 422
    assert str(project.folder) not in answer.text


def test_elements_made_in_python_open_clips_too(client, manager):
    create(client, clips(client, recording="t0")[:1])
    crop = IssueElement("t0/low/4-4.6", "t0", "crop", "test", "label")
    whole = IssueElement("t0", "t0", "frame", "test")
    crops = manager().create_issue("labels", "test", [crop], "crop")
    frames = manager().create_issue("frames", "test", [whole], "frame")
    opened = client.get(f"/issues/{crops}/clips").json()["clips"]
    assert [(one["origin"], one["class_name"], one["start"]) for one in opened] == [("annotated", "low", 4.0)]
    assert client.get(f"/issues/{frames}/clips").json()["total"] == 7
    assert [one["takes_clips"] for one in client.get("/issues").json()["issues"]] == [True, False, True]
    assert client.post(f"/issues/{crops}/clips", json={"clips": [opened[0]["id"]]}).status_code == 422


def test_two_servers_at_once_never_give_two_people_the_same_batch(client, project):
    chosen = clips(client, recording="f0")
    queue = create(client, chosen, "check", type="Work Queue", batch_size=8)["issue"]
    assert (queue["n"], queue["n_batches"]) == (N_FIELD, 12)
    with serving(project, "bob") as second:
        barrier = threading.Barrier(4)

        def take(who):
            server, by = who
            barrier.wait()
            batches = []
            while batch := server.post(f"/issues/{queue['id']}/batches", json={"by": by}).json()["batch"]:
                batches.append((by, batch))
            return batches

        with ThreadPoolExecutor(4) as pool:
            people = [(client, "ana"), (second, "bob"), (client, "cid"), (second, "dot")]
            taken = [each for batches in pool.map(take, people) for each in batches]
        assert len(taken) == len({batch for _, batch in taken}) == 12
        shown = client.get(f"/issues/{queue['id']}").json()["batches"]
        assert sorted((one["assignee"], one["name"]) for one in shown) == sorted(taken)
        by, batch = taken[0]
        other = next(name for name, _ in taken if name != by) if len({name for name, _ in taken}) > 1 else "zoe"
        path = f"/issues/{queue['id']}/batch"
        for step in ("finish", "give back", "touch"):
            assert client.post(path, json={"by": other, "batch": batch, "step": step}).status_code == 422
        assert second.post(path, json={"by": by, "batch": batch, "step": "give back"}).status_code == 200
        assert client.post(f"/issues/{queue['id']}/batches", json={"by": "zoe"}).json()["batch"] == batch


def test_a_batch_tells_how_far_it_is(client, manager):
    queue = create(client, clips(client, recording="f0"), "check", type="Work Queue", batch_size=5)["issue"]["id"]
    batch = client.post(f"/issues/{queue}/batches", json={"by": "ana"}).json()["batch"]
    inside = client.get(f"/issues/{queue}/clips", params={"batch": batch}).json()["clips"]
    assert [one["start"] for one in inside] == [0.0, 3.0, 6.0, 9.0, 12.0]
    ids = [one["id"] for one in inside]
    client.post("/decisions", json={"clips": ids[:3], "decision": "accept", "by": "ana"})
    shown = client.get(f"/issues/{queue}/batch", params={"batch": batch}).json()
    assert (shown["n"], shown["decided"], shown["status"], shown["assignee"]) == (5, 3, "assigned", "ana")
    left = client.get(f"/issues/{queue}/clips", params={"batch": batch, "decided": "undecided"}).json()
    assert left["total"] == 2
    client.post(f"/issues/{queue}/batch", json={"by": "ana", "batch": batch, "step": "finish"})
    assert client.get("/issues").json()["issues"][0]["n_done"] == 1
    done = [each.element_id for each in manager().list_issues()[0].elements if each.status == "done"]
    assert done == ["f0@0-3", "f0@3-6", "f0@6-9", "f0@9-12", "f0@12-15"]
    assert client.get(f"/issues/{queue}/batch", params={"batch": "batch 9999"}).status_code == 422


def test_two_servers_make_the_project_once(project):
    with serving(project) as one, serving(project, "bob") as two:
        ids = [clips(each, recording="t0")[:1] for each in (one, two)]
        barrier = threading.Barrier(2)

        def make(server, chosen):
            barrier.wait()
            return create(server, chosen, f"of {chosen[0]['id']} {id(server)}")

        with ThreadPoolExecutor(2) as pool:
            assert len([*pool.map(make, (one, two), ids)]) == 2
        assert len(one.get("/issues").json()["issues"]) == 2


def test_issues_need_the_token_and_hide_the_database(project):
    with serving(project, token="secret") as client:
        assert client.get("/issues").status_code == 401
        assert client.post("/issues", json={}).status_code == 401
        assert client.get("/issues", headers={"authorization": "Bearer secret"}).status_code == 200
    (project.folder / "bad.db").write_text("not a database, but long enough to look like a file of something else")
    with serving(project, url=f"sqlite:///{project.folder / 'bad.db'}") as client:
        answer = client.get("/issues")
        assert answer.status_code == 422
        assert str(project.folder) not in answer.text
