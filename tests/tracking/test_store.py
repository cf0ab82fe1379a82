import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.config import Tracking
from lib.tracking.store import SQLITE, connect, ensure_store, store_uri

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "data/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "data/deep")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_the_store_lies_beside_dvc_yaml_wherever_the_stage_runs(project):
    assert store_uri(Tracking()) == f"sqlite:///{project}/mlflow.db"


def test_an_experiment_in_a_copy_of_the_project_uses_the_store_of_the_main_project(project, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", "/main/project")
    assert store_uri(Tracking()) == "sqlite:////main/project/mlflow.db"
    assert store_uri(Tracking(uri="sqlite:///runs/all.db")) == "sqlite:////main/project/runs/all.db"


def test_the_setting_comes_before_the_environment_and_that_before_the_default(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert store_uri(Tracking()) == "http://localhost:5000"
    assert store_uri(Tracking(uri="sqlite:////elsewhere/x.db")) == "sqlite:////elsewhere/x.db"


def test_artifacts_lie_beside_the_database_at_an_absolute_place(store):
    folder = Path(store.removeprefix(SQLITE)).parent
    assert connect(store).get_experiment_by_name("first").artifact_location == (folder / "mlartifacts").as_uri()


def test_another_experiment_enters_a_store_that_exists(store):
    ids = [ensure_store(store, name) for name in ("first", "second", "second")]
    assert ids == [connect(store).get_experiment_by_name(name).experiment_id for name in ("first", "second", "second")]


def test_processes_that_start_together_make_one_whole_store_and_say_nothing(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    code = f"from lib.tracking.store import ensure_store; ensure_store('sqlite:///{tmp_path}/mlflow.db', 'e')"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    def make(_) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(make, range(3)))
    assert [(result.returncode, result.stdout, result.stderr) for result in results] == [(0, "", "")] * 3
    experiments = connect(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()
    assert sorted(experiment.name for experiment in experiments) == ["Default", "e"]


def test_what_a_killed_process_left_of_a_store_does_no_harm(tmp_path):
    (tmp_path / ".mlflow.db.part").write_bytes(b"half a database")
    ensure_store(f"sqlite:///{tmp_path}/mlflow.db", "e")
    assert connect(f"sqlite:///{tmp_path}/mlflow.db").get_experiment_by_name("e")
    assert not (tmp_path / ".mlflow.db.part").exists()


def test_a_store_that_is_ready_is_recognized_without_importing_mlflow(store):
    code = (
        "import sys; from lib.tracking.store import ensure_store; "
        f"ensure_store({store!r}, 'first'); sys.exit('mlflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)
