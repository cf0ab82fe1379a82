import json
from pathlib import Path

import pytest

from lib.config.schema import Settings
from lib.models.description import write_description
from lib.tracking.mlflow_store import mlflow_client
from tests.models.builders import describe
from tests.tracking.registry_store import RegistryStore
from tests.training_data.builders import AUDIO


class Pipeline:
    """A project's folder as DVC leaves it for a stage, and the MLflow runs that come of it."""

    def __init__(self, folder: Path, uri: str, experiment: str, monkeypatch) -> None:
        self.folder, self.uri, self.experiment, self.monkeypatch = folder, uri, experiment, monkeypatch
        self.left_open = []  # blocks of killed trainings: never closed, as after SIGKILL
        for name in ("metrics/report", "data/models"):
            (folder / name).mkdir(parents=True)
        (folder / "metrics/report/curve.png").write_bytes(b"picture")
        figures = {"f1": 0.5, "f1_low": 0.4, "f1_high": 0.6, "n_recordings": 3, "note": "text"}
        (folder / "metrics/report/figures.json").write_text(json.dumps(figures))
        (folder / "metrics/report/classes.csv").write_text("class,pr_auc,best_f1,recall\ngull (big),0.25,1,\n")
        (folder / "dvc.lock").write_text(LOCK)
        (folder / "data/models/model.pt").write_text("a model")
        write_description(folder / "data/models/model.pt", describe(AUDIO))
        (folder / "metrics/train.csv").write_text("epoch,train_loss,val_loss\n1,1.0,\n2,0.5,\n3,0.33,\n")
        monkeypatch.chdir(folder)
        monkeypatch.setenv("DVC_STAGE", "evaluate")
        monkeypatch.setenv("DVC_ROOT", str(folder))
        monkeypatch.delenv("DVC_EXP_NAME", raising=False)

    def name(self, experiment_name: str) -> None:
        self.monkeypatch.setenv("DVC_EXP_NAME", experiment_name)

    def settings(self, **sections) -> Settings:
        data_set = {"path": "data/recordings"}
        tracking = {"uri": self.uri, "experiment": self.experiment}
        content = {"data": {"train": data_set, "test": data_set}, "tracking": tracking}
        return Settings.model_validate(content | sections)

    def runs(self) -> list:
        """All runs, oldest first."""
        client = mlflow_client(self.uri)
        experiment_id = client.get_experiment_by_name(self.experiment).experiment_id
        return client.search_runs([experiment_id], order_by=["attributes.start_time ASC"])

    def epochs(self, run) -> list[int]:
        return [metric.step for metric in mlflow_client(self.uri).get_metric_history(run.info.run_id, "train/loss")]

    def artifacts(self, run, folder: str | None = None) -> set[str]:
        return {file.path for file in mlflow_client(self.uri).list_artifacts(run.info.run_id, folder)}


@pytest.fixture
def pipeline(mlflow_uri, tmp_path, request, monkeypatch) -> Pipeline:
    return Pipeline(tmp_path, mlflow_uri, request.node.name, monkeypatch)


@pytest.fixture
def store(mlflow_uri, request, tmp_path, monkeypatch) -> RegistryStore:
    """A registry without models, in a folder whose params.yaml names it."""
    monkeypatch.chdir(tmp_path)
    return RegistryStore(mlflow_uri, request.node.name, tmp_path)


LOCK = """
schema: '2.0'
stages:
  extract:
    deps:
    - {path: data/recordings, hash: md5, md5: "11111111111111111111111111111111.dir"}
    - {path: lib/audio, hash: md5, md5: "22222222222222222222222222222222.dir"}
    outs:
    - {path: data/training.db, hash: md5, md5: "33333333333333333333333333333333"}
  evaluate:
    outs:
    - {path: metrics/report, hash: md5, md5: "44444444444444444444444444444444.dir"}
"""
