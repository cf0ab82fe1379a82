import json
import platform

import pytest

from lib.tracking.mlflow_runs import FOLDER, HOST, complete_run, training_run
from lib.tracking.mlflow_store import mlflow_client


def train(pipeline, settings, key="k", first=1, last=3, killed=False):
    block = training_run(settings, key, epochs_done=first - 1)
    log = block.__enter__()
    for epoch in range(first, last + 1):
        log.log_epoch(epoch, {"train_loss": 1 / epoch})
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
    assert run.data.metrics["f1"] == 0.5 and run.data.metrics["f1/gull _big_"] == 1 and "note" not in run.data.metrics
    assert run.data.params["train.epochs"] == "3" and run.data.params["evaluate.threshold"] == "0.5"
    assert run.data.params["data.train.md5"] == "11111111111111111111111111111111.dir"
    assert run.data.tags["md5.data/training.db"] == "33333333333333333333333333333333"
    (data_set,) = run.inputs.dataset_inputs
    assert (data_set.dataset.name, data_set.tags[0].value) == ("data/recordings", "data.train, data.test")
    assert pipeline.artifacts(run, "report") == {"report/curve.png"}
    assert {"dvc.lock", "train.csv"} <= pipeline.artifacts(run)


def test_the_model_goes_into_the_run_as_it_is_with_its_metrics_unless_the_user_says_no(pipeline):
    complete_run(pipeline.settings())
    (run,) = pipeline.runs()
    client = mlflow_client(pipeline.uri)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert {metric.key: metric.value for metric in model.metrics}["f1"] == 0.5
    assert [file.path for file in client.list_logged_model_artifacts(output.model_id)] == ["model.pt"]

    tracking = {"uri": pipeline.uri, "experiment": pipeline.experiment, "log_model": False}
    assert complete_run(pipeline.settings(tracking=tracking)) == []
    assert pipeline.runs()[1].outputs.model_outputs == []


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


def test_evaluate_does_not_complete_the_run_of_a_killed_training_for_another_model(pipeline):
    settings = pipeline.settings()
    train(pipeline, settings, key="other data", last=1, killed=True)
    complete_run(settings)  # of a model that DVC had in its cache
    killed, whole = pipeline.runs()
    assert (killed.info.status, whole.info.status) == ("KILLED", "FINISHED")
    assert "f1" not in killed.data.metrics and pipeline.epochs(whole) == [1, 2, 3]


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
        log.log_epoch(1, {"train_loss": 1.0})
        raise error
    assert pipeline.runs()[0].info.status == status


def test_a_store_that_cannot_be_used_costs_the_training_nothing_but_a_line(pipeline):
    (pipeline.folder / "taken").write_text("a file")
    settings = pipeline.settings(tracking={"uri": f"sqlite:///{pipeline.folder}/taken/mlflow.db"})
    with training_run(settings, "k") as log:
        log.log_epoch(1, {"train_loss": 1.0})
    (problem,) = log.problems
    assert "\n" not in str(problem) and "tracking.uri" in str(problem)
    assert len(complete_run(settings)) == 1


def test_a_store_that_breaks_during_training_costs_a_line_and_evaluate_fills_the_gap(pipeline):
    settings = pipeline.settings()
    with training_run(settings, "k") as log:
        log.log_epoch(1, {"train_loss": 1.0})
        log.log_epoch(2, {"train_loss": "not a number"})
        log.log_epoch(3, {"train_loss": 0.3})
    assert len(log.problems) == 1
    assert complete_run(settings) == []
    (run,) = pipeline.runs()
    assert pipeline.epochs(run) == [1, 2, 3] and run.info.status == "FINISHED"


def test_epochs_of_several_folds_are_counted_on(pipeline):
    rows = "".join(f"{fold},{epoch},0.{fold}{epoch}\n" for fold in (1, 2) for epoch in (1, 2))
    (pipeline.folder / "metrics/train.csv").write_text(f"fold,epoch,train_loss\n{rows}")
    complete_run(pipeline.settings())
    (run,) = pipeline.runs()
    assert pipeline.epochs(run) == [1, 2, 3, 4] and run.data.metrics["train_loss"] == 0.22


def test_a_stage_outside_of_the_pipeline_is_not_tracked(pipeline, monkeypatch):
    complete_run(pipeline.settings())
    monkeypatch.delenv("DVC_STAGE")
    train(pipeline, pipeline.settings())
    assert complete_run(pipeline.settings()) == []
    assert len(pipeline.runs()) == 1


def test_a_plain_repro_is_named_after_its_commit(pipeline, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(pipeline.folder.parent))
    (pipeline.folder / "metrics/evaluation.json").write_text(json.dumps({"f1": float("nan")}))
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
