import json
import platform
import subprocess

import pytest

from lib.models.description import write_description
from lib.tracking.mlflow_runs import FOLDER, HOST, MODEL, complete_run, training_run
from lib.tracking.mlflow_store import mlflow_client
from lib.tracking.registry.model_weights import local_weights
from tests.models.builders import describe
from tests.training_data.builders import AUDIO
from tests.waiting import wait_until


def train(pipeline, settings, key="k", first=1, last=3, killed=False):
    block = training_run(settings, key, epochs_done=first - 1)
    log = block.__enter__()
    for epoch in range(first, last + 1):
        log.log_epoch({"epoch": epoch, "train_loss": 1 / epoch})
    if killed:
        pipeline.left_open.append(block)
    else:
        block.__exit__(None, None, None)
    return log.problems


def test_training_and_evaluation_of_a_pipeline_run_are_one_complete_run(pipeline):
    settings = pipeline.settings(train={"epochs": 3})
    pipeline.name("loud-owl")
    assert train(pipeline, settings) == []
    assert pipeline.runs()[0].info.status == "RUNNING"
    assert complete_run(settings) == []

    (run,) = pipeline.runs()
    assert (run.info.run_name, run.info.status) == ("loud-owl", "FINISHED")
    assert pipeline.epochs(run) == [1, 2, 3]
    metrics = {name: value for name, value in run.data.metrics.items() if not name.startswith("system/")}
    assert metrics == {
        "train/loss": pytest.approx(1 / 3),
        "test/f1": 0.5,
        "test/n_recordings": 3,
        "test/class/gull _big_/pr_auc": 0.25,
    }
    assert run.data.params["train.epochs"] == "3" and run.data.params["evaluate.threshold"] == "0.5"
    assert not [name for name in (*run.data.params, *run.data.tags) if "md5" in name]
    (data_set,) = run.inputs.dataset_inputs
    assert (data_set.dataset.name, data_set.tags[0].value) == ("data/recordings", "data.train, data.test")
    assert data_set.dataset.digest == "11111111111111111111111111111111.dir"
    assert pipeline.artifacts(run, "report") == {
        f"report/{name}" for name in ("curve.png", "classes.csv", "figures.json")
    }
    assert {"dvc.lock", "train.csv"} <= pipeline.artifacts(run)


def test_the_model_goes_into_the_run_as_it_is_with_its_metrics_unless_the_user_says_no(pipeline):
    pipeline.name("loud-owl")
    complete_run(pipeline.settings())
    (run,) = pipeline.runs()
    client = mlflow_client(pipeline.uri)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.name == "loud-owl"
    assert {metric.key: metric.value for metric in model.metrics}["test/f1"] == 0.5
    stored = client.list_logged_model_artifacts(output.model_id, "weights")
    assert [file.path for file in stored] == ["weights/model.json", "weights/model.pt"]

    tracking = {"uri": pipeline.uri, "experiment": pipeline.experiment, "log_model": False}
    assert complete_run(pipeline.settings(tracking=tracking)) == []
    assert pipeline.runs()[1].outputs.model_outputs == []


def test_a_user_id_without_a_name_is_an_unknown_user(pipeline, monkeypatch):
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    assert train(pipeline, pipeline.settings()) == []
    (run,) = pipeline.runs()
    assert run.data.tags["mlflow.user"] == "unknown"


def test_where_only_evaluate_ran_the_run_is_complete_too(pipeline):
    settings = pipeline.settings()
    train(pipeline, settings)
    complete_run(settings)
    pipeline.name("other-threshold")
    assert complete_run(pipeline.settings(evaluate={"threshold": 0.7})) == []
    first, second = pipeline.runs()
    assert first.data.params["evaluate.threshold"] == "0.5"
    assert (second.info.run_name, second.data.params["evaluate.threshold"]) == ("other-threshold", "0.7")
    assert pipeline.epochs(second) == [1, 2, 3]


def test_a_resumed_training_continues_the_run_of_the_killed_one(pipeline):
    settings = pipeline.settings()
    pipeline.name("killed")
    train(pipeline, settings, last=2, killed=True)
    pipeline.name("resumed")
    train(pipeline, settings, first=2, last=3)  # killed after epoch 2 was logged, before it was kept
    complete_run(settings)
    (run,) = pipeline.runs()
    assert (run.info.run_name, run.info.status, pipeline.epochs(run)) == ("resumed", "FINISHED", [1, 2, 3])


def test_a_training_that_was_stopped_before_its_first_epoch_goes_on_in_its_run(pipeline, monkeypatch):
    monkeypatch.setattr("lib.tracking.mlflow_runs.SAMPLE_SECONDS", 0.2)
    with pytest.raises(KeyboardInterrupt), training_run(pipeline.settings(), "k"):
        wait_until(lambda: is_watched(pipeline))
        raise KeyboardInterrupt
    train(pipeline, pipeline.settings())
    complete_run(pipeline.settings())
    (run,) = pipeline.runs()
    assert run.info.status == "FINISHED" and pipeline.epochs(run) == [1, 2, 3]


@pytest.mark.parametrize(
    "change", [{"key": "other data"}, {"settings": {"train": {"epochs": 9}}}, {"first": 1}], ids=str
)
def test_a_training_that_does_not_resume_the_killed_one_closes_it_and_begins_a_run(pipeline, change):
    train(pipeline, pipeline.settings(), last=2, killed=True)
    settings = pipeline.settings(**change.get("settings", {}))
    train(pipeline, settings, key=change.get("key", "k"), first=change.get("first", 3))
    complete_run(settings)
    killed, whole = pipeline.runs()
    assert (killed.info.status, pipeline.epochs(killed)) == ("KILLED", [1, 2])
    assert (whole.info.status, sorted(pipeline.epochs(whole))) == ("FINISHED", [1, 2, 3])


def test_the_run_of_a_training_that_was_never_evaluated_is_no_fault(pipeline):
    train(pipeline, pipeline.settings())  # of a model whose labels are like those of an earlier one, say
    (pipeline.folder / "data/models/model.pt").write_bytes(b"another")
    train(pipeline, pipeline.settings(), key="other data")
    complete_run(pipeline.settings())
    assert [run.info.status for run in pipeline.runs()] == ["FINISHED", "FINISHED"]


def test_evaluate_does_not_complete_the_run_of_a_killed_training_for_another_model(pipeline):
    settings = pipeline.settings()
    train(pipeline, settings, key="other data", last=1, killed=True)
    complete_run(settings)  # of a model that DVC had in its cache
    killed, whole = pipeline.runs()
    assert (killed.info.status, whole.info.status) == ("KILLED", "FINISHED")
    assert "test/f1" not in killed.data.metrics and pipeline.epochs(whole) == [1, 2, 3]


def test_experiments_that_run_at_the_same_time_in_folders_of_their_own_do_not_mix(pipeline, tmp_path):
    settings = pipeline.settings()
    client = mlflow_client(pipeline.uri)
    train(pipeline, settings, last=2, killed=True)
    (mine,) = pipeline.runs()
    copy = tmp_path / "copy"
    copy.mkdir()
    client.set_tag(mine.info.run_id, FOLDER, str(copy))
    train(pipeline, settings, first=3)
    complete_run(settings)
    assert [run.info.status for run in pipeline.runs()] == ["RUNNING", "FINISHED"]


def test_a_run_whose_folder_is_gone_is_closed_by_the_next_unless_it_is_on_another_machine(pipeline):
    settings = pipeline.settings()
    complete_run(settings)
    client = mlflow_client(pipeline.uri)
    experiment_id = pipeline.runs()[0].info.experiment_id
    for host in (platform.node(), "elsewhere"):
        client.create_run(experiment_id, run_name=host, tags={HOST: host, FOLDER: "/no/such/folder"})
    pipeline.name("next")
    complete_run(settings)
    states = {run.info.run_name: run.info.status for run in pipeline.runs()}
    assert states[platform.node()] == "KILLED" and states["elsewhere"] == "RUNNING"


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_training_that_fails_says_so_in_its_run(pipeline, error, status):
    with pytest.raises(error), training_run(pipeline.settings(), "k") as log:
        log.log_epoch({"epoch": 1, "train_loss": 1.0})
        raise error
    assert pipeline.runs()[0].info.status == status


def test_a_store_that_cannot_be_used_costs_the_training_nothing_but_a_line(pipeline):
    (pipeline.folder / "taken").write_text("a file")
    settings = pipeline.settings(tracking={"uri": f"sqlite:///{pipeline.folder}/taken/mlflow.db"})
    with training_run(settings, "k") as log:
        log.log_epoch({"epoch": 1, "train_loss": 1.0})
    (problem,) = log.problems
    assert "\n" not in str(problem) and "tracking.uri" in str(problem)
    assert len(complete_run(settings)) == 1


def test_a_store_that_breaks_during_training_costs_a_line_and_evaluate_fills_the_gap(pipeline):
    settings = pipeline.settings()
    with training_run(settings, "k") as log:
        log.log_epoch({"epoch": 1, "train_loss": 1.0})
        log.log_epoch({"epoch": 2, "train_loss": "not a number"})
        log.log_epoch({"epoch": 3, "train_loss": 0.3})
    assert len(log.problems) == 1
    assert complete_run(settings) == []
    (run,) = pipeline.runs()
    assert pipeline.epochs(run) == [1, 2, 3] and run.info.status == "FINISHED"


def test_each_fold_has_curves_of_its_own_which_a_resumed_training_continues(pipeline):
    rows = [{"fold": fold, "epoch": epoch, "train_loss": fold + epoch / 10} for fold in (1, 2) for epoch in (1, 2)]
    lines = [",".join(map(str, row.values())) for row in rows]
    (pipeline.folder / "metrics/train.csv").write_text("\n".join(["fold,epoch,train_loss", *lines]))
    with training_run(pipeline.settings(), "k") as log:
        log.log_epoch(rows[0])
    with training_run(pipeline.settings(), "k", epochs_done=1) as log:
        for row in rows[:3]:
            log.log_epoch(row)
    complete_run(pipeline.settings())
    (run,) = pipeline.runs()
    client = mlflow_client(pipeline.uri)
    for fold in (1, 2):
        history = client.get_metric_history(run.info.run_id, f"train/fold_{fold}/loss")
        assert [(point.step, point.value) for point in history] == [(1, fold + 0.1), (2, fold + 0.2)]
    assert "train/loss" not in run.data.metrics


def test_a_run_says_what_came_out_and_what_differs_from_the_run_before(pipeline):
    pipeline.name("first")
    complete_run(pipeline.settings())
    pipeline.name("second")
    complete_run(pipeline.settings(train={"epochs": 3, "noise_class": "rain"}))
    pipeline.name("third")
    (pipeline.folder / "data/models/model.pt").write_text("another model")
    complete_run(pipeline.settings(train={"epochs": 3, "noise_class": "rain"}))
    texts = [run.data.tags["mlflow.note.content"] for run in pipeline.runs()]
    assert all("| f1 | 0.500 | 0.400 to 0.600 |" in text for text in texts)
    assert texts[0].startswith("The first run.\n\n| test |")
    assert texts[1].startswith("Compared with first:\n- train.epochs: 22 → 3\n- train.noise_class: none → rain\n\n")
    assert texts[2].startswith("Made from the same as second.\n\n")


def test_a_run_and_an_evaluation_by_hand_are_compared_by_what_both_know(pipeline, monkeypatch):
    pipeline.name("first")
    complete_run(pipeline.settings())
    with monkeypatch.context() as by_hand:
        by_hand.delenv("DVC_STAGE")
        complete_run(pipeline.settings(evaluate={"threshold": 0.3}), track=True)
    pipeline.name("third")
    (pipeline.folder / "data/models/model.pt").write_text("another model")
    complete_run(pipeline.settings(train={"epochs": 3}))
    _, second, third = (run.data.tags["mlflow.note.content"].splitlines() for run in pipeline.runs())
    assert second[:3] == ["Compared with first:", "- evaluate.threshold: 0.5 → 0.3", ""]
    assert third[1:3] == ["- evaluate.threshold: 0.3 → 0.5", ""]


def test_settings_without_effect_are_no_params_and_classes_of_any_name_are_measured(pipeline):
    rows = ["class,pr_auc", "gull (a),0.1", "gull [a],0.2", "sea/gull/,0.3", "..,0.4"]
    (pipeline.folder / "metrics/report/classes.csv").write_text("\n".join(rows))
    assert complete_run(pipeline.settings()) == []
    (run,) = pipeline.runs()
    assert not [name for name in run.data.params if name.startswith(("tune.", "tracking."))]
    classes = {name: value for name, value in run.data.metrics.items() if name.startswith("test/class/")}
    names = ("gull _a_", "gull _a__", "sea_gull_", "__")
    assert classes == {
        f"test/class/{name}/pr_auc": value for name, value in zip(names, (0.1, 0.2, 0.3, 0.4), strict=True)
    }


def test_the_machine_is_watched_while_it_trains(pipeline, monkeypatch):
    monkeypatch.setattr("lib.tracking.mlflow_runs.SAMPLE_SECONDS", 0.2)
    with training_run(pipeline.settings(), "k"):
        wait_until(lambda: is_watched(pipeline))


def is_watched(pipeline) -> bool:
    """Whether a figure of the machine was logged."""
    return any("system/cpu_utilization_percentage" in run.data.metrics for run in pipeline.runs())


def test_a_stage_outside_of_the_pipeline_is_not_tracked(pipeline, monkeypatch):
    complete_run(pipeline.settings())
    monkeypatch.delenv("DVC_STAGE")
    train(pipeline, pipeline.settings())
    assert complete_run(pipeline.settings()) == []
    assert len(pipeline.runs()) == 1


def test_a_plain_repro_is_named_after_its_commit(pipeline, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(pipeline.folder.parent))
    (pipeline.folder / "metrics/report/figures.json").write_text(json.dumps({"f1": float("nan")}))
    complete_run(pipeline.settings())
    assert pipeline.runs()[0].info.run_name == "repro"


def test_an_evaluation_that_was_killed_when_all_was_logged_adds_no_second_run(pipeline):
    settings = pipeline.settings()
    train(pipeline, settings)
    assert complete_run(settings) == complete_run(settings) == []  # DVC runs it again, since it did not see its end
    assert [run.info.status for run in pipeline.runs()] == ["FINISHED"]
    train(pipeline, settings)  # once more, on purpose
    assert complete_run(settings) == []
    pipeline.name("the same in another experiment")
    assert complete_run(settings) == []
    assert [run.info.status for run in pipeline.runs()] == 3 * ["FINISHED"]


def test_an_experiment_is_compared_with_the_commit_that_it_started_from(pipeline):
    params = pipeline.settings().model_dump(mode="json")
    (pipeline.folder / "params.yaml").write_text(json.dumps(params))
    for command in ("init -q", "add params.yaml dvc.lock", "-c user.name=n -c user.email=e commit -qm c"):
        subprocess.run(["git", *command.split()], check=True)
    sha = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout[:7]
    pipeline.name("first")
    complete_run(pipeline.settings(train={"epochs": 3}))
    pipeline.name("second")
    complete_run(pipeline.settings(train={"dropout": 0.5}))
    first, second = (run.data.tags["mlflow.note.content"].splitlines() for run in pipeline.runs())
    assert first[:3] == [f"Compared with commit {sha}:", "- train.epochs: 22 → 3", ""]
    assert second[:3] == [f"Compared with commit {sha}:", "- train.dropout: 0.2 → 0.5", ""]


def test_a_model_that_is_named_as_a_file_has_a_run_of_its_own_with_its_files_and_no_learning_curves(pipeline):
    settings = pipeline.settings()
    train(pipeline, settings)
    assert complete_run(settings) == []
    inputs = pipeline.folder / "data/inputs"
    inputs.mkdir()
    for name in ("frogs", "toads"):
        (inputs / f"{name}.pt").write_text(name)
        write_description(inputs / f"{name}.pt", describe(AUDIO))
        assert complete_run(settings, models=f"data/inputs/{name}.pt") == []
    client = mlflow_client(pipeline.uri)
    trained, *others = pipeline.runs()
    assert len({run.data.tags[MODEL] for run in (trained, *others)}) == 3
    assert "train.csv" in pipeline.artifacts(trained) and pipeline.epochs(trained) == [1, 2, 3]
    for name, run in zip(("frogs", "toads"), others, strict=True):
        folder = local_weights(client, run.outputs.model_outputs[0].model_id)
        assert {file.name for file in folder.iterdir()} == {f"{name}.pt", f"{name}.json"}
        assert "train/loss" not in run.data.metrics
        assert not {"train.csv", "train.json"} & pipeline.artifacts(run)


def test_a_checkpoint_is_the_model_of_a_folder_that_holds_nothing_else(pipeline):
    settings = pipeline.settings()
    train(pipeline, settings)
    assert complete_run(settings, models="data/models/model.pt") == []
    (run,) = pipeline.runs()
    assert run.info.status == "FINISHED" and pipeline.epochs(run) == [1, 2, 3]


def test_the_folder_of_a_run_of_a_file_is_not_taken_for_gone(pipeline, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    assert complete_run(pipeline.settings(), models="data/models/model.pt", track=True) == []
    (run,) = pipeline.runs()
    assert run.data.tags[FOLDER] == str(pipeline.folder / "data/models")
