"""What only DVC itself can show: experiments of a small project, whose stages track as the real ones do."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.tracking.mlflow_store import mlflow_client

PROJECT = Path(__file__).parents[2]
STAGES = """
import json, sys, time
from pathlib import Path
from lib.config.load import load_settings
from lib.tracking.mlflow_runs import complete_run, training_run

settings = load_settings()
epochs = settings.train.epochs
Path("metrics/report").mkdir(parents=True, exist_ok=True)
Path("data/models").mkdir(parents=True, exist_ok=True)
if sys.argv[1] == "train":
    with training_run(settings, key=f"{epochs} epochs") as log:
        for epoch in range(1, epochs + 1):
            log.log_epoch(epoch, {"train_loss": epochs + epoch / 100})
            time.sleep(0.3)
        Path("data/models/model.pt").write_text(f"{epochs} epochs")
    rows = [f"{epoch},{epochs + epoch / 100}" for epoch in range(1, epochs + 1)]
    Path("metrics/train.csv").write_text("\\n".join(["epoch,train_loss", *rows]))
    problems = log.problems
else:
    Path("metrics/evaluation.json").write_text(json.dumps({"f1": epochs / 10}))
    problems = complete_run(settings)
sys.exit("\\n".join(map(str, problems)) or 0)
"""
PIPELINE = """
stages:
  train:
    cmd: python stages.py train
    params: [train]
    outs: [data/models, metrics/train.csv]
  evaluate:
    cmd: python stages.py evaluate
    deps: [data/models]
    params: [train, evaluate]
    outs: [metrics/report]
    metrics:
      - metrics/evaluation.json:
          persist: true
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a project that was committed after its first `dvc repro`."""
    for name in list(os.environ):
        if name.startswith(("DVC_", "MLFLOW_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "n")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "e@example.org")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    folder = tmp_path / "project"
    folder.mkdir()

    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (folder / "params.yaml").write_text("train: {epochs: 2}\nevaluate: {threshold: 0.5}\n")
    (folder / "stages.py").write_text(STAGES)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/mlflow.db*\n/mlartifacts\n")
    call("git", "init", "-q")
    call("dvc", "init", "-q")
    call("dvc", "config", "core.analytics", "false")
    call("git", "add", ".")
    call("git", "commit", "-qm", "project")
    call("dvc", "repro", "-q")
    call("git", "add", ".")
    call("git", "commit", "-qm", "results")
    call.folder = folder
    return call


def test_each_experiment_is_a_row_and_a_run_of_its_name_also_side_by_side_and_where_a_result_was_known(run):
    changes = {"four": "train.epochs=4", "three": "train.epochs=3"}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: run("dvc", "exp", "run", "--temp", "-n", name, "-S", changes[name]), changes))
    run("dvc", "exp", "run", "-n", "evaluated", "-S", "evaluate.threshold=0.6")
    run("dvc", "exp", "run", "-n", "again", "-S", "train.epochs=4", "-S", "evaluate.threshold=0.5")
    assert "up to date" in run("dvc", "repro")

    rows = {line.split(",")[0] for line in run("dvc", "exp", "show", "--csv").splitlines()}
    assert {"four", "three", "evaluated", "again"} <= rows

    client = mlflow_client(f"sqlite:///{run.folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("earshot").experiment_id])
    sha = run("git", "rev-parse", "--short=7", "HEAD~1").strip()
    expected = {"four": 4, "three": 3, "evaluated": 2, "again": 4, f"repro-{sha}": 2}
    assert sorted(found.info.run_name for found in runs) == sorted(expected)
    for found in runs:
        epochs = expected[found.info.run_name]
        history = client.get_metric_history(found.info.run_id, "train_loss")
        assert found.info.status == "FINISHED"
        assert [point.value for point in history] == [epochs + epoch / 100 for epoch in range(1, epochs + 1)]
        assert found.data.metrics["f1"] == epochs / 10
        assert found.data.params["train.epochs"] == str(epochs)
    assert run("git", "status", "--porcelain").split() == ["M", "dvc.lock", "M", "params.yaml"]
