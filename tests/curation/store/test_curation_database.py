"""The database under several writers, in SQLite and in PostgreSQL."""

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from lib import Client, LabelClassMap, UpdateGTLabelSet
from lib.core.errors import EarshotError
from lib.curation.store.curation_database import CurationDatabase
from lib.curation.store.curation_tables import FRAME_SET
from tests.curation.frame_builders import boxed, dataset_of, open_client, truth_of
from tests.memory import peak_memory
from tests.tracking.mlflow_server import postgresql, postgresql_programs
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[3]
UPLOADER = """
import sys
from lib import Client, LabelClassMap
from lib.core.errors import EarshotError
from tests.curation.frame_builders import boxed, dataset_of
client, who = Client(api_endpoint=sys.argv[1]), sys.argv[2]
try:
    client.create_project("marsh", LabelClassMap.from_classnames(["Wren", "Owl"]))
except EarshotError as error:
    assert "exists" in str(error)
for n in range(5):
    frames = [boxed(f"{who}-{n}-{k}") for k in range(20)]
    client.create_or_update_dataset("marsh", "day", dataset=dataset_of(*frames))
"""
ENDLESS = """
import itertools, sys
from lib import Client, LabeledDataset
from tests.curation.frame_builders import boxed

class Endless(LabeledDataset):
    def lines(self):
        import json
        for n in itertools.count():
            if n == 1000:
                print("half", flush=True)
            yield json.dumps(boxed(f"new-{n}").to_dict())

Client(api_endpoint=sys.argv[1]).create_or_update_dataset("marsh", "day", dataset=Endless())
"""


def started(script: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def server():
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql(programs) as url:
        yield url


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request, tmp_path) -> str:
    """URL of a database, which is not there yet or has no projects."""
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path}/curation.db"
    url = request.getfixturevalue("server")
    with Client(api_endpoint=url) as client:
        for project in client.get_projects():
            client.delete_project(project["id"])
    return url


def test_two_processes_that_make_and_fill_it_at_once_lose_nothing(url):
    processes = [started(UPLOADER, url, who) for who in "ab"]
    assert [process.wait(120) for process in processes] == [0, 0]
    with Client(api_endpoint=url) as client:
        assert len(truth_of(client)) == 200
        (version,) = client.get_dataset("marsh", "day")["upload_versions"]
        assert (version["added"], version["failed"]) == (200, 0)


def test_four_threads_share_a_client(url):
    with Client(api_endpoint=url) as client:
        client.create_project("marsh", LabelClassMap.from_classnames(["Wren", "Owl"]))
        client.create_dataset("marsh", "day", dataset=dataset_of(boxed("shared")))

        def change(who: int) -> None:
            for n in range(5):
                client.add_to_streaming_dataset(
                    "marsh", "day", dataset_of(boxed(f"{who}-{n}")), upload_version=str(who)
                )
                update = UpdateGTLabelSet(frame_id="shared")
                update.add_2d_classification(label_id=f"label-{who}-{n}", classification="Owl")
                client.update_dataset_labels("marsh", "day", [update])
                assert len(truth_of(client)) > 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, range(4)))
        labels = truth_of(client)
        assert len(labels) == 41 and sum(frame == "shared" for frame, _ in labels.values()) == 21
        assert len(client.get_frame("marsh", "day", "shared").to_dict()["label_data"]) == 21


def test_an_upload_that_is_killed_is_absent(url):
    with Client(api_endpoint=url) as client:
        client.create_project("marsh", LabelClassMap.from_classnames(["Wren", "Owl"]))
        client.create_dataset("marsh", "day", dataset=dataset_of(boxed("a")))
        process = started(ENDLESS, url)
        assert process.stdout.readline() == "half\n"
        assert set(truth_of(client)) == {"a-1"}  # readers need not wait
        process.kill()
        process.wait()
        client.add_to_streaming_dataset("marsh", "day", dataset_of(boxed("b")))
        assert set(truth_of(client)) == {"a-1", "b-1"}
        assert client.get_dataset_ingest_error_logs("marsh", "day") == []


def test_an_upload_that_fails_midway_is_absent(tmp_path):
    with open_client(tmp_path) as client:
        stream = dataset_of(boxed("a"))

        def lines():
            yield from dataset_of(*(boxed(str(n)) for n in range(1000))).lines()
            raise OSError("the disk is gone")

        stream.lines = lines
        with pytest.raises(OSError, match="the disk is gone"):
            client.create_dataset("marsh", "day", dataset=stream)
        assert not client.dataset_exists("marsh", "day")


def test_memory_does_not_grow_with_an_upload(tmp_path):
    with open_client(tmp_path) as client:

        def upload(name: str, n: int) -> int:
            stream = dataset_of()
            for k in range(n):
                stream.add_frame(boxed(f"{name}-{k}", user_attrs={"note": 500 * "x"}))
            peak = peak_memory(lambda: client.create_dataset("marsh", name, dataset=stream))
            return max(peak, peak_memory(lambda: sum(len(table) for table in client.truth("marsh", name))))

        upload("warm", 10)
        assert upload("large", 3000) < 1.8 * upload("small", 1200)


def test_a_reader_sees_all_of_an_upload_or_nothing(tmp_path):
    with open_client(tmp_path) as client:
        client.create_dataset("marsh", "day")
        seen, done = set(), threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.add(len(truth_of(client)))

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: bool(seen))
        client.add_to_streaming_dataset("marsh", "day", dataset_of(*(boxed(str(n)) for n in range(1000))))
        done.set()
        reader.join()
        assert seen <= {0, 1000} and len(truth_of(client)) == 1000


def test_a_reader_sees_the_database_as_it_was_at_its_first_query(url):
    with Client(api_endpoint=url) as client:
        client.create_project("marsh", LabelClassMap.from_classnames(["Wren"]))
        count = select(func.count()).select_from(FRAME_SET)
        with client.database.reading() as connection:
            before = connection.execute(count).scalar_one()
            client.create_dataset("marsh", "day")
            assert connection.execute(count).scalar_one() == before
        assert client.database.rows(count)[0][0] == before + 1


def test_another_file_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE Other (ID INTEGER)")
    (tmp_path / "text.db").write_text("no database, but a text that is longer than a header" * 20)
    (tmp_path / "folder.db").mkdir()
    for name in ("other.db", "text.db", "folder.db"):
        with pytest.raises(EarshotError, match=name):
            CurationDatabase(f"sqlite:///{tmp_path}/{name}")
    for url in ("nonsense", "postgresql+psycopg://me:secret@127.0.0.1:1/none"):
        with pytest.raises(EarshotError, match="cannot be used") as caught:
            CurationDatabase(url)
        assert "secret" not in str(caught.value)
