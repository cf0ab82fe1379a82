import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from lib.config.schema import TrackingSettings
from lib.core.databases import SQLITE
from lib.core.errors import EarshotError
from lib.core.files import without_password
from lib.tracking import mlflow_store
from lib.tracking.mlflow_store import ensure_store, mlflow_client, runs_page, store_errors, store_uri
from lib.tracking.runs_view import view_tags

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "data/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "data/deep")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_the_store_lies_beside_dvc_yaml_unless_the_environment_or_before_it_the_setting_says_otherwise(
    project, monkeypatch
):
    assert store_uri(TrackingSettings()) == f"sqlite:///{project}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert store_uri(TrackingSettings()) == "http://localhost:5000"
    assert store_uri(TrackingSettings(uri="sqlite:////elsewhere/x.db")) == "sqlite:////elsewhere/x.db"


def test_an_experiment_in_a_copy_of_the_project_uses_the_store_of_the_main_project(project, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", "/main/project")
    assert store_uri(TrackingSettings()) == "sqlite:////main/project/mlflow.db"
    assert store_uri(TrackingSettings(uri="sqlite:///runs/all.db")) == "sqlite:////main/project/runs/all.db"


def test_artifacts_lie_beside_the_database_at_an_absolute_place(mlflow_uri):
    folder = Path(mlflow_uri.removeprefix(SQLITE)).parent
    assert (
        mlflow_client(mlflow_uri).get_experiment_by_name("first").artifact_location == (folder / "mlartifacts").as_uri()
    )


def test_another_experiment_enters_a_store_that_exists(mlflow_uri):
    names = ("first", "second", "second")
    ids = [ensure_store(mlflow_uri, name) for name in names]
    assert ids == [mlflow_client(mlflow_uri).get_experiment_by_name(name).experiment_id for name in names]


def test_processes_that_start_together_make_one_whole_store_whatever_a_killed_one_left_and_say_nothing(tmp_path):
    (tmp_path / ".mlflow.db.part").write_bytes(b"half a database")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", f"from lib.tracking.mlflow_store import ensure_store; ensure_store({uri!r}, 'e')"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, cwd=PROJECT, **pipes) for _ in range(2)]
    assert [(*process.communicate(timeout=120), process.returncode) for process in processes] == [(b"", b"", 0)] * 2
    experiments = mlflow_client(uri).search_experiments()
    assert sorted(experiment.name for experiment in experiments) == ["Default", "e"]
    assert not (tmp_path / ".mlflow.db.part").exists()


def test_a_store_that_is_ready_is_recognized_without_importing_mlflow(mlflow_uri):
    code = (
        "import sys; from lib.tracking.mlflow_store import ensure_store; "
        f"ensure_store({mlflow_uri!r}, 'first'); sys.exit('mlflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


def test_a_store_that_is_moved_or_copied_with_its_project_keeps_its_artifacts_with_it(tmp_path):
    def log(project: Path, text: str) -> str:
        uri = f"{SQLITE}{project / 'mlflow.db'}"
        client = mlflow_client(uri)
        run = client.create_run(ensure_store(uri, "e"))
        client.log_text(run.info.run_id, text, "note.txt")
        return run.info.run_id

    def read(project: Path, run: str) -> str:
        client = mlflow_client(f"{SQLITE}{project / 'mlflow.db'}")
        return Path(client.download_artifacts(run, "note.txt")).read_text()

    (tmp_path / "old").mkdir()
    first = log(tmp_path / "old", "of the first run")
    shutil.copytree(tmp_path / "old", tmp_path / "a copy")
    (tmp_path / "old").rename(tmp_path / "moved")
    for name in ("moved", "a copy"):
        second = log(tmp_path / name, f"of {name}")
        assert read(tmp_path / name, first) == "of the first run" and read(tmp_path / name, second) == f"of {name}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a copy", "moved"]  # nothing at the old place
    assert [len(list((tmp_path / name).rglob("note.txt"))) for name in ("moved", "a copy")] == [2, 2]


def test_the_printed_address_opens_the_runs_of_experiments_that_were_made_elsewhere(tmp_path):
    uri = f"{SQLITE}{tmp_path / 'mlflow.db'}"
    made = mlflow_client(uri).create_experiment("theirs")
    command, address = runs_page(TrackingSettings(uri=uri, experiment="theirs"))
    assert command == f"mlflow ui --backend-store-uri {uri}" and f"/experiments/{made}/runs?" in address
    assert view_tags().items() <= mlflow_client(uri).get_experiment_by_name("theirs").tags.items()
    away = TrackingSettings(uri="http://user:secret@127.0.0.1:9")
    assert runs_page(away) == ("", without_password(away.uri)) and "secret" not in runs_page(away)[1]


def test_an_experiment_that_keeps_its_artifacts_elsewhere_is_left_alone(tmp_path):
    uri, elsewhere = f"{SQLITE}{tmp_path / 'mlflow.db'}", (tmp_path / "large disk/mlartifacts").as_uri()
    ensure_store(uri, "ours")
    client = mlflow_client(uri)
    run = client.create_run(client.create_experiment("theirs", artifact_location=elsewhere))
    client.log_text(run.info.run_id, "kept", "note.txt")
    ensure_store(uri, "ours")
    assert client.get_experiment_by_name("theirs").artifact_location == elsewhere
    assert Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text() == "kept"


def test_a_store_of_an_earlier_version_that_was_moved_is_noticed_too(tmp_path):
    (tmp_path / "old").mkdir()
    ensure_store(f"{SQLITE}{tmp_path / 'old/mlflow.db'}", "e")
    with closing(sqlite3.connect(tmp_path / "old/mlflow.db")) as connection, connection:
        connection.execute("DELETE FROM experiment_tags WHERE key = ?", (mlflow_store.PLACE,))
    (tmp_path / "old").rename(tmp_path / "new")
    uri = f"{SQLITE}{tmp_path / 'new/mlflow.db'}"
    ensure_store(uri, "e")
    experiment = mlflow_client(uri).get_experiment_by_name("e")
    assert (
        experiment.artifact_location == experiment.tags[mlflow_store.PLACE] == (tmp_path / "new/mlartifacts").as_uri()
    )


def test_a_server_that_accepts_and_never_answers_is_given_up_soon(monkeypatch):
    monkeypatch.setattr(mlflow_store, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        with pytest.raises(MlflowException, match="timed out"):
            ensure_store(f"http://user:secret@127.0.0.1:{server.getsockname()[1]}", "e")
        assert time.monotonic() - begin < 30  # MLflow itself would try for minutes


def test_what_no_server_answers_is_a_line_with_the_cause():
    said = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=lambda: [server.accept()[0].close() for _ in range(2)], daemon=True).start()
        for uri in (f"http://{address}", "http://nowhere.invalid", "http://127.0.0.1:9"):
            with pytest.raises(EarshotError) as error, store_errors():
                mlflow_client(uri).search_experiments()
            said.append(str(error.value))
    assert re.fullmatch(
        rf"MLflow store: a request to http://{address} failed \((Remote end closed .*|Connection reset by peer)\); .*",
        said[0],
    )
    assert said[1].startswith("MLflow store: a request to http://nowhere.invalid failed ([Errno -")
    assert "127.0.0.1:9 failed ([Errno 111] Connection refused); check that tracking.uri can be reached" in said[2]


@pytest.mark.parametrize(("name", "fault"), [("", "is a folder"), ("caf\udce9/mlflow.db", "a name that MLflow cannot")])
def test_what_can_be_no_store_is_an_error_at_once(tmp_path, name, fault):
    with pytest.raises(EarshotError, match=fault):
        ensure_store(f"{SQLITE}{tmp_path}/{name}", "earshot")
