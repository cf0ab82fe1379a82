"""What only DVC itself can show: experiments of a small project, whose stages track as the real ones do."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from lib.config.params_file import write_params
from lib.evaluation.figures import COMPARED
from lib.tracking.mlflow_store import mlflow_client

PROJECT = Path(__file__).parents[2]
STAGES = """
import json, sys, time
from pathlib import Path
from lib.config.load import load_settings
from lib.config.schema import AudioSettings
from lib.models.description import Description, write_description
from lib.tracking.mlflow_runs import complete_run, training_run

wren = {"name": "wren", "code": "", "alt_name": "", "alt_code": ""}
model = {"classes": [wren], "backbone": "cnn", "dropout": 0.0, "multi_label": True, "training": {}}
settings = load_settings()
epochs = settings.train.epochs
Path("metrics/report").mkdir(parents=True, exist_ok=True)
Path("data/models").mkdir(parents=True, exist_ok=True)
if sys.argv[1] == "train":
    with training_run(settings, key=f"{epochs} epochs") as log:
        for epoch in range(1, epochs + 1):
            log.log_epoch({"epoch": epoch, "train_loss": epochs + epoch / 100})
            time.sleep(0.3)
        Path("data/models/model.pt").write_text(f"{epochs} epochs")
        write_description("data/models/model.pt", Description(audio=AudioSettings(), **model))
    rows = [f"{epoch},{epochs + epoch / 100}" for epoch in range(1, epochs + 1)]
    Path("metrics/train.csv").write_text("\\n".join(["epoch,train_loss", *rows]))
    problems = log.problems
else:
    for file in ("metrics/evaluation.json", "metrics/report/figures.json"):
        Path(file).write_text(json.dumps({"f1": epochs / 10}))
    Path("metrics/report/classes.csv").write_text("class,pr_auc\\nwren,0.5\\n")
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
def repository(tmp_path, monkeypatch):
    """Run a command in an empty repository of git and DVC."""
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

    call("git", "init", "-q")
    call("dvc", "init", "-q")
    call("dvc", "config", "core.analytics", "false")
    call.folder = folder
    return call


@pytest.fixture
def run(repository):
    """Run a command in a project that was committed after its first `dvc repro`."""
    folder = repository.folder
    (folder / "params.yaml").write_text("train: {epochs: 2}\nevaluate: {threshold: 0.5}\n")
    (folder / "stages.py").write_text(STAGES)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/mlflow.db*\n/mlartifacts\n/.earshot\n")
    repository("git", "add", ".")
    repository("git", "commit", "-qm", "project")
    repository("dvc", "repro", "-q")
    repository("git", "add", ".")
    repository("git", "commit", "-qm", "results")
    return repository


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
        history = client.get_metric_history(found.info.run_id, "train/loss")
        assert found.info.status == "FINISHED"
        assert [point.value for point in history] == [epochs + epoch / 100 for epoch in range(1, epochs + 1)]
        assert found.data.metrics["test/f1"] == epochs / 10
        assert found.data.params["train.epochs"] == str(epochs)
    assert run("git", "status", "--porcelain").split() == ["M", "dvc.lock", "M", "params.yaml"]


def test_the_readme_s_table_of_six_experiments_fits_120_columns(repository):
    """Settings and figures of the project itself; `dvc exp save` makes experiments of what lies in the folder."""
    run, stages = repository, yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    measured = {"cmd": "true", "params": stages["evaluate"]["params"]}
    measured["metrics"] = [{"metrics/evaluation.json": {"cache": False}}]
    names = [name for name in COMPARED if name != "accuracy"]  # which recordings of several classes do not have
    shutil.copy(PROJECT / "params.yaml", run.folder)
    (run.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": measured}}))
    (run.folder / "metrics").mkdir()
    metrics = run.folder / "metrics/evaluation.json"
    metrics.write_text(json.dumps(dict.fromkeys(names, 0.1)))
    run("git", "add", ".")
    run("git", "commit", "-qm", "recognizer")
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\$ dvc exp run (?:--\w+ )*--name (\w+) (.*)$", readme, re.MULTILINE)
    experiments = dict(named) | {"long": "-S train.epochs=40", "calm": "-S infer.min_score=0.75"}
    assert len(experiments) == 6
    for number, (name, settings) in enumerate(experiments.items()):
        changes = (re.split("=", setting, maxsplit=1) for setting in shlex.split(settings) if setting != "-S")
        write_params({key: yaml.safe_load(value) for key, value in changes}, run.folder / "params.yaml")
        metrics.write_text(json.dumps(dict.fromkeys(names, round(0.1234 + number / 1000, 4))))
        run("dvc", "exp", "save", "--force", "--name", name)
        run("git", "restore", ".")
    command = next(line for line in readme.splitlines() if line.startswith("$ dvc exp show")).partition("#")[0]
    shown = run("env", "COLUMNS=120", *shlex.split(command.removeprefix("$ ")))
    assert all(f"[{name}]" in shown for name in experiments) and "…" not in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 120
    assert "macro_pr" in shown and "train.epochs" in shown and "*_[A-D]" in shown
