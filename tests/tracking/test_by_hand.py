"""Stages that are run by hand, in MLflow where that is asked for."""

import pytest

from lib.config.load import load_settings
from lib.core.errors import SettingsError
from lib.tracking.mlflow_runs import training_run
from lib.tracking.mlflow_store import mlflow_client
from stages.evaluate import evaluate
from stages.infer import infer
from stages.train import train
from tests.tracking.tiny import PLAIN, QUICK
from tests.training_data.builders import extract_folder, write_data_set, write_params


@pytest.fixture
def project(tmp_path, monkeypatch, mlflow_uri, request):
    """A folder with a database and params.yaml; returns a function that gives its runs, oldest first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    extract_folder(write_data_set(tmp_path / "set", 4), tmp_path / "training.db")
    name = request.node.name
    sections = {
        "train": QUICK | PLAIN,
        "infer": PLAIN | {"overlap": 0.25},
        "evaluate": {"min_seconds": 0.2, "bootstrap": 0},
        "tracking": {"uri": mlflow_uri, "experiment": name},
    }
    write_params(tmp_path / "params.yaml", tmp_path / "set", **sections)
    (tmp_path / "dvc.yaml").touch()

    def runs():
        client = mlflow_client(mlflow_uri)
        experiment = client.get_experiment_by_name(name)
        found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]) if experiment else []
        return [run for run in found if not run.data.tags.get("mlflow.parentRunId")]

    return runs


def train_in(folder, **changes):
    outputs = {"metrics": f"{folder}/train.json", "curves": f"{folder}/train.csv", "state": f"{folder}/state"}
    train(database="training.db", model=f"{folder}/models/model.pt", **outputs, **changes)


def evaluate_in(folder, **changes):
    infer(recordings="set/recordings", output=f"{folder}/labels", model=f"{folder}/models")
    files = {"labels": f"{folder}/labels", "output": f"{folder}/report", "metrics": f"{folder}/evaluation.json"}
    evaluate(**files, database="training.db", **{"model": f"{folder}/models"} | changes)


def test_training_and_evaluation_by_hand_are_one_finished_run_where_that_is_asked_for(project):
    train_in("a")
    evaluate_in("a")
    assert project() == []

    train_in("a", again=True, track=True)
    (run,) = project()
    assert run.info.status == "FINISHED" and "train/loss" in run.data.metrics and "test/f1" not in run.data.metrics
    evaluate_in("a", track=True)
    (run,) = project()
    assert run.info.status == "FINISHED" and {"train/loss", "test/f1"} <= set(run.data.metrics)
    assert run.data.params["evaluate.bootstrap"] == "0" and run.outputs.model_outputs
    evaluate_in("a", track=True)
    assert len(project()) == 1
    evaluate_in("a", track=True, threshold=0.3)
    assert [run.data.params["evaluate.threshold"] for run in project()] == ["0.5", "0.3"]


def test_a_training_that_was_stopped_is_resumed_in_its_run(project, tmp_path):
    settings = load_settings("params.yaml")
    for epoch, is_complete in ((1, False), (2, True)):
        with training_run(settings, "one", tmp_path / "models", epochs_done=epoch - 1, track=True) as log:
            log.log_epoch({"epoch": epoch, "train_loss": 1 / epoch})
            log.is_complete = is_complete
        assert [run.info.status for run in project()] == ["FINISHED" if is_complete else "KILLED"]


def test_a_training_under_way_is_left_alone_by_another(project, tmp_path):
    settings = load_settings("params.yaml")
    with training_run(settings, "one", tmp_path / "new/models", track=True):
        train_in("b", track=True)
        assert [run.info.status for run in project()] == ["RUNNING", "FINISHED"]


def test_trainings_side_by_side_in_one_project_have_their_own_runs(project):
    train_in("a", track=True)
    train_in("b", track=True, seed=2)
    evaluate_in("b", track=True)
    evaluate_in("a", track=True)
    first, second = project()
    assert (first.data.params["train.seed"], second.data.params["train.seed"]) == ("1", "2")
    assert all("test/f1" in run.data.metrics and run.info.status == "FINISHED" for run in (first, second))
    assert first.info.run_name != second.info.run_name
    with pytest.raises(SettingsError, match="model a/models: did not make b/labels; run infer again"):
        evaluate(labels="b/labels", output="b/report", metrics="b/evaluation.json", model="a/models", track=True)
