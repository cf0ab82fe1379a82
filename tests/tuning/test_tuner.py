"""Tuner as the reference documents it, and what is kept of a search."""

import ast
from itertools import product

import pandas as pd
import pytest

from lib.config.schema import Settings
from lib.core.errors import EarshotError, SettingsError
from lib.tracking.mlflow_store import mlflow_client
from lib.tuning.tuner import Tuner, newest_model
from tests.models.builders import save_random_model
from tests.tracking.tiny import settings_of, write_project
from tests.training_data.builders import AUDIO

SPACE = [
    {"name": "dropout", "type": "float", "bounds": [0.0, 0.2], "step": 0.2},
    {"name": "augmentations.mixup.probability", "type": "categorical", "choices": [0.5]},
]
INFERENCE = [{"name": "overlap", "type": "float", "bounds": [0.0, 0.25], "step": 0.25}]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    save_random_model(folder / "logs/version_2/checkpoints/model.pt", AUDIO, ["high", "low", "mid"])
    return folder


@pytest.fixture(autouse=True)
def here(project, monkeypatch):
    monkeypatch.chdir(project)


@pytest.fixture
def tracked(project, mlflow_uri, request) -> Settings:
    """Settings with a study and an MLflow experiment for this test alone."""
    settings = settings_of(project)
    settings.tracking.uri = mlflow_uri
    settings.tune.study = settings.tracking.experiment = request.node.name
    return settings


def make_tuner(project, output, metric="macro_pr", space=SPACE, **arguments) -> Tuner:
    recordings, annotations = project / "set/recordings", project / "set/annotations.csv"
    arguments = {"cfg": settings_of(project), "track": "cfg" in arguments} | arguments
    return Tuner(str(recordings), str(output), str(annotations), str(project / "logs"), metric, space, **arguments)


def search_model(project, output, settings, runs=1, track=True):
    """A search that trains nothing."""
    arguments = {"space": INFERENCE, "skip_training": True, "num_runs": runs, "cfg": settings, "track": track}
    return make_tuner(project, output, **arguments).tune()


def runs_of(settings) -> tuple:
    """The MLflow run of the only study, and those of its trials, sorted by name."""
    client = mlflow_client(settings.tracking.uri)
    runs = client.search_runs([client.get_experiment_by_name(settings.tracking.experiment).experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return parent, sorted(children, key=lambda run: run.info.run_name), client


def test_search_returns_the_best_score_and_values_and_leaves_reports_and_runs(project, tracked, tmp_path):
    best_score, best_values = make_tuner(project, tmp_path, num_runs=2, extract=True, cfg=tracked).run()
    summary = pd.read_csv(tmp_path / "metrics-summary.csv")
    details = pd.read_csv(tmp_path / "metrics-details.csv")
    values = [{"dropout": dropout, "augmentations.mixup.probability": 0.5} for dropout in (0.0, 0.2)]
    assert [ast.literal_eval(text) for text in summary["Params"]] == values
    assert list(zip(details["Trial #"], details["Run #"], strict=True)) == list(product((1, 2), (1, 2)))
    best = summary.loc[summary["Macro PR-AUC (mean)"].idxmax()]
    assert best_score == pytest.approx(best["Macro PR-AUC (mean)"], abs=1e-4)
    assert best_values == ast.literal_eval(best["Params"])

    parent, children, client = runs_of(tracked)
    assert [run.info.run_name for run in children] == ["trial 1", "trial 2"]
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    assert parent.data.metrics["best_score"] == pytest.approx(best_score)
    assert [run.data.params["train.dropout"] for run in children] == ["0.0", "0.2"]
    assert {run.data.tags["seeds"] for run in children} == {"1, 2"}
    for run, (_, row) in zip(children, summary.iterrows(), strict=True):
        assert run.data.metrics["score"] == pytest.approx(row["Macro PR-AUC (mean)"], abs=1e-4)
        history = client.get_metric_history(run.info.run_id, "run/macro_pr")
        assert [point.step for point in history] == [1, 2]

    again = make_tuner(project, tmp_path / "again", num_runs=2, extract=True, cfg=tracked).tune()
    assert (again.best.score("macro_pr"), again.best.values) == (best_score, best_values)
    assert not any(trial.is_new for trial in again.trials)
    assert (tmp_path / "again/metrics-details.csv").read_text() == (tmp_path / "metrics-details.csv").read_text()
    assert len(runs_of(tracked)[1]) == 2


def test_without_training_the_newest_model_is_used_and_only_inference_varies(project, tmp_path, capsys):
    with pytest.raises(SettingsError, match="varies settings of train, but the model is used as it is"):
        make_tuner(project, tmp_path, space=[{"name": "batch_size", "choices": [8]}], skip_training=True)
    arguments = {"skip_training": True, "num_trials": 9, "num_runs": 2}
    tuning = make_tuner(project, tmp_path, "combo_roc", INFERENCE, **arguments).tune()
    assert [trial.values for trial in tuning.trials] == [{"overlap": 0.0}, {"overlap": 0.25}]
    assert all(trial.figures[0] == trial.figures[1] for trial in tuning.trials)
    figures = tuning.best.figures[0]
    score, values = make_tuner(project, tmp_path, "combo_roc", INFERENCE, **arguments).run()
    assert score == pytest.approx((figures["macro_roc"] + figures["micro_roc"]) / 2)
    assert values == tuning.best.values
    assert "warning: infer.overlap: changes the segments that are counted" in capsys.readouterr().err


def test_without_a_space_the_settings_as_they_are_are_measured_and_folders_of_the_user_stay(project, tmp_path):
    files = [project / "logs" / name / "mine.txt" for name in ("databases", "labels", "locks")]
    for file in files:
        file.parent.mkdir()
        file.write_text("mine")
    score, values = make_tuner(project, tmp_path, "micro_roc", None, skip_training=True).run()
    assert 0 <= score <= 1
    assert values == {}
    assert pd.read_csv(tmp_path / "metrics-summary.csv")["Params"].isna().all()
    assert all(file.read_text() == "mine" for file in files)
    assert not any((project / "logs/work" / file.parent.name).exists() for file in files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "f1"}, r"^tune\.metric = 'f1': must be 'macro_pr', "),
        ({"space": [{"name": "lerning_rate", "choices": [0.1]}]}, "lerning_rate is not a setting that can be tuned"),
        ({"num_runs": 0}, r"^tune\.runs = 0: must be greater than or equal to 1$"),
    ],
)
def test_invalid_arguments_are_refused_when_a_tuner_is_made(project, tmp_path, arguments, message):
    with pytest.raises(SettingsError, match=message):
        make_tuner(project, tmp_path, **arguments)


def test_trial_that_a_killed_search_had_not_written_is_written_by_the_next_one(project, tracked, tmp_path):
    search_model(project, tmp_path, tracked, track=False)
    assert not any(trial.is_new for trial in search_model(project, tmp_path, tracked).trials)
    _, children, _ = runs_of(tracked)
    assert [(run.info.run_name, run.info.status) for run in children] == [
        ("trial 1", "FINISHED"),
        ("trial 2", "FINISHED"),
    ]
    assert all("score" in run.data.metrics for run in children)


def test_trial_that_a_killed_search_had_written_in_part_is_written_to_its_end(project, tracked, tmp_path):
    search_model(project, tmp_path, tracked)
    _, before, client = runs_of(tracked)
    first = before[0].info.run_id
    client.update_run(first, status="RUNNING")
    client.delete_tag(first, "seeds")
    search_model(project, tmp_path, tracked)
    _, children, _ = runs_of(tracked)
    assert [run.info.run_id for run in children] == [run.info.run_id for run in before]
    assert {run.info.status for run in children} == {"FINISHED"}
    assert children[0].data.tags["seeds"] == "1"
    assert [point.step for point in client.get_metric_history(first, "run/micro_pr")] == [1]


def test_more_runs_of_a_trial_go_into_its_run(project, tracked, tmp_path):
    search_model(project, tmp_path, tracked)
    search_model(project, tmp_path, tracked, runs=2)
    _, children, client = runs_of(tracked)
    assert [run.info.run_name for run in children] == ["trial 1", "trial 2"]
    assert {run.data.tags["seeds"] for run in children} == {"1, 2"}
    for run in children:
        assert [point.step for point in client.get_metric_history(run.info.run_id, "run/macro_pr")] == [1, 2]
        assert "test/macro_pr_sd" in run.data.metrics
    problems = search_model(project, tmp_path, tracked, runs=1).problems
    assert not any("tracked" in str(problem) for problem in problems)
    assert {run.data.tags["seeds"] for run in runs_of(tracked)[1]} == {"1, 2"}


def test_other_data_are_another_study(project, tmp_path):
    studies = []
    for seed in (3, 3, 4):
        save_random_model(project / "logs/version_3/model.pt", AUDIO, ["high", "low", "mid"], seed=seed)
        studies.append(make_tuner(project, tmp_path, space=None, skip_training=True).tune())
    assert [tuning.trials[0].is_new for tuning in studies] == [True, False, True]
    assert studies[0].study == studies[1].study != studies[2].study


def test_trial_that_diverges_is_a_problem_and_the_next_is_tried_also_when_the_search_is_resumed(project, tmp_path):
    space = [{"name": "learning_rate", "choices": [1e30, 0.003]}]
    for _ in range(2):
        tuning = make_tuner(project, tmp_path, space=space, extract=True).tune()
        assert [trial.number for trial in tuning.trials] == [2]
        (problem,) = [problem for problem in tuning.problems if problem.subject.startswith("trial 1")]
        assert "training diverged in epoch 1 (loss is nan); lower train.learning_rate" in str(problem)


def test_newest_model_is_of_the_highest_version(tmp_path):
    with pytest.raises(EarshotError, match="holds no model"):
        newest_model(tmp_path)
    for version in (2, 10, 9):
        save_random_model(tmp_path / f"version_{version}/checkpoints/model.pt", AUDIO)
    assert newest_model(tmp_path) == tmp_path / "version_10/checkpoints"
    assert newest_model(tmp_path / "version_2/checkpoints") == tmp_path / "version_2/checkpoints"
