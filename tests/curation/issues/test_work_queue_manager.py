import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.core.errors import EarshotError
from lib.curation.client.client import Client
from lib.curation.issues.issue_manager import IssueManager
from lib.curation.issues.work_queue_manager import WorkQueueManager
from tests.curation.curation_projects import PROJECT, TRUTH, frame, make_client, write_linked
from tests.tracking.mlflow_server import postgresql, postgresql_programs

RECORDINGS = [f"r{number:02}" for number in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("queues")
    write_linked(folder, [("r00", "a", 0, 3)], {name: [] for name in RECORDINGS})
    return folder


@pytest.fixture
def client(folder, tmp_path) -> Client:
    return make_client(folder, f"sqlite:///{tmp_path / 'curation.db'}")


def make_queue(client, n=10, size=3) -> str:
    elements = [frame(name) for name in RECORDINGS[:n]]
    return IssueManager(client, PROJECT).create_work_queue("to do", TRUTH, elements, "frame", None, size)


def queue(client, issue_id):
    return WorkQueueManager(client, PROJECT).get_work_queue(issue_id)


def test_elements_are_dealt_out_in_batches(client):
    issue_id = make_queue(client)
    found = queue(client, issue_id)
    assert list(found.batch_statuses.items()) == [(f"batch {k:04}", "queued") for k in range(1, 5)]
    assert Counter(each.batch_name for each in found.elements) == {
        "batch 0001": 3,
        "batch 0002": 3,
        "batch 0003": 3,
        "batch 0004": 1,
    }
    assert (found.element_count, found.element_type, found.batch_assignees) == (10, "frame", {})
    (listed,) = WorkQueueManager(client, PROJECT).list_work_queues()
    assert listed.elements is None and (listed.element_count, listed.batch_statuses) == (10, found.batch_statuses)


def test_added_elements_fill_the_last_batch_and_removed_ones_leave_none_empty(client):
    issue_id, issues = make_queue(client), IssueManager(client, PROJECT)
    issues.add_elements_to_issue(issue_id, [frame(name) for name in RECORDINGS[10:14]])
    sizes = Counter(each.batch_name for each in queue(client, issue_id).elements)
    assert [sizes[f"batch {k:04}"] for k in range(1, 6)] == [3, 3, 3, 3, 2]
    issues.remove_elements_from_issue(issue_id, [frame(name) for name in RECORDINGS[3:6]])
    assert "batch 0002" not in queue(client, issue_id).batch_statuses
    manager = WorkQueueManager(client, PROJECT)
    for _ in range(4):
        manager.claim_batch(issue_id, "ann")
    issues.add_elements_to_issue(issue_id, [frame(RECORDINGS[20])])  # not to a batch that somebody works on
    assert queue(client, issue_id).elements[-1].batch_name == "batch 0006"


def test_a_batch_is_claimed_finished_or_given_back(client):
    issue_id, manager = make_queue(client), WorkQueueManager(client, PROJECT)
    assert manager.claim_batch(issue_id, "ann") == "batch 0001"
    assert manager.claim_batch(issue_id, "bob") == "batch 0002"
    manager.finish_batch(issue_id, "batch 0001", "ann")
    manager.give_back_batch(issue_id, "batch 0002", "bob")
    found = queue(client, issue_id)
    assert list(found.batch_statuses.values()) == ["done", "queued", "queued", "queued"]
    assert found.batch_assignees == {"batch 0001": "ann"}
    assert [each.status for each in found.elements] == ["done"] * 3 + ["queued"] * 7
    assert manager.claim_batch(issue_id, "ann") == "batch 0002"
    IssueManager(client, PROJECT).update_elements_status(issue_id, [RECORDINGS[3]], "done")
    assert [each.status for each in queue(client, issue_id).elements[3:6]] == ["done", "assigned", "assigned"]


def test_only_its_assignee_disposes_of_a_batch(client):
    issue_id, manager = make_queue(client), WorkQueueManager(client, PROJECT)
    name = manager.claim_batch(issue_id, "ann")
    for change in (manager.finish_batch, manager.give_back_batch, manager.touch_batch):
        with pytest.raises(EarshotError, match="batch 0001: is not assigned to 'bob', but assigned; claim another"):
            change(issue_id, name, "bob")
        with pytest.raises(EarshotError, match="batch 0002: is not assigned to 'ann', but queued"):
            change(issue_id, "batch 0002", "ann")
        with pytest.raises(EarshotError, match="batch 9: the work queue has no batch"):
            change(issue_id, "batch 9", "ann")
    manager.finish_batch(issue_id, name, "ann")
    with pytest.raises(EarshotError, match="but done"):
        manager.finish_batch(issue_id, name, "ann")


def test_an_abandoned_batch_is_free_again(client):
    issue_id, manager = make_queue(client, 3), WorkQueueManager(client, PROJECT)
    name = manager.claim_batch(issue_id, "ann")
    assert manager.claim_batch(issue_id, "bob") is None
    assert manager.claim_batch(issue_id, "bob", claim_hours=-1) == name  # as if a day had passed
    with pytest.raises(EarshotError, match="is not assigned to 'ann'"):
        manager.finish_batch(issue_id, name, "ann")
    manager.touch_batch(issue_id, name, "bob")
    manager.finish_batch(issue_id, name, "bob")
    assert manager.claim_batch(issue_id, "ann", claim_hours=-1) is None


def test_what_is_no_queue_or_no_person_is_named(client):
    issue_id = IssueManager(client, PROJECT).create_issue("mine", TRUTH, [], "frame")
    with pytest.raises(EarshotError, match="issue 'mine': is a Bucket, no work queue"):
        queue(client, issue_id)
    with pytest.raises(EarshotError, match="assignee ' ': must be a name"):
        WorkQueueManager(client, PROJECT).claim_batch(make_queue(client), " ")


CLAIM = """
import sys
from lib.curation.client.client import Client
from lib.curation.issues.work_queue_manager import WorkQueueManager
manager = WorkQueueManager(Client(api_endpoint=sys.argv[1]), "field")
print("ready", flush=True)
input()
while name := manager.claim_batch(sys.argv[2], sys.argv[3]):
    print(name, flush=True)
"""


def check_claims(client: Client, url: str) -> None:
    """Two processes, and four threads of this one, claim all batches of a queue at the same time: each once."""
    issue_id = make_queue(client, 40, 1)
    begin = threading.Barrier(5)

    def claim_all(person: str) -> list[str]:
        manager, claimed = WorkQueueManager(client, PROJECT), []
        begin.wait()
        while name := manager.claim_batch(issue_id, person):
            claimed.append(name)
        return claimed

    command = [sys.executable, "-c", CLAIM, url, issue_id]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([*command, "p1"], **pipes) as one,
        subprocess.Popen([*command, "p2"], **pipes) as two,
        ThreadPoolExecutor(4) as pool,
    ):
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        threads = [pool.submit(claim_all, f"t{k}") for k in range(4)]
        for process in (one, two):
            process.stdin.write("\n")
            process.stdin.flush()
        begin.wait()
        lists = [future.result() for future in threads]
        lists += [process.communicate()[0].split("\n")[:-1] for process in (one, two)]
    claimed = [name for each in lists for name in each]
    assert sorted(claimed) == [f"batch {k:04}" for k in range(1, 41)]
    found = queue(client, issue_id).batch_assignees
    people = ["t0", "t1", "t2", "t3", "p1", "p2"]
    assert found == {name: person for person, names in zip(people, lists, strict=True) for name in names}


def test_no_two_people_get_the_same_batch(client, tmp_path):
    check_claims(client, f"sqlite:///{tmp_path / 'curation.db'}")


def test_no_two_people_get_the_same_batch_on_postgresql(folder):
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql(programs) as url:
        client = make_client(folder, url)
        try:
            check_claims(client, url)
        finally:
            client.database.close()
