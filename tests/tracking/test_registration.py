import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from lib.config.schema import Settings
from lib.core.databases import SQLITE
from lib.tracking.mlflow_runs import complete_run, training_run
from lib.tracking.mlflow_store import mlflow_client, open_experiment
from lib.tracking.registry.model_card import CardInputs
from lib.tracking.registry.model_changes import set_alias
from lib.tracking.registry.model_design import read_design
from lib.tracking.registry.model_queries import find_models
from lib.tracking.registry.model_versions import remove_model
from lib.tracking.registry.model_weights import local_weights
from lib.tracking.registry.registration import register_run_model, stored_card
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, write_data_set

PROJECT = Path(__file__).parents[2]
FIGURES = {"f1": 0.5, "f1_low": 0.4, "f1_high": 0.6, "n_recordings": 3}


@pytest.fixture
def registered(pipeline, request):
    """A function that runs evaluate's end and returns the versions of its own registered model."""
    name = request.node.name[:200]
    save_random_model(pipeline.folder / "data/models/model.pt", AUDIO)
    client = mlflow_client(pipeline.uri)

    def run(problems=(), **tracking):
        options = {"uri": pipeline.uri, "experiment": pipeline.experiment, "register_as": name} | tracking
        settings = pipeline.settings(tracking=options, infer={"device": "cpu", "overlap": 0.25})
        assert [str(problem) for problem in complete_run(settings)] == list(problems)
        return sorted(find_models(client, name=name), key=lambda model: model.version)

    run.client, run.name = client, name
    return run


def test_evaluate_registers_its_model_with_all_that_is_known_about_it(pipeline, registered):
    pipeline.name("loud-owl")
    (pipeline.folder / "data/inputs").mkdir()
    (pipeline.folder / "data/inputs/model_card.yaml").write_text("license: CC0\ntaxonomy: eBird 2024\n")
    (model,) = registered()
    (run,) = pipeline.runs()
    assert (model.version, model.is_published, model.task) == (1, False, run.info.run_id)
    assert [entry.action for entry in model.history] == ["registered by evaluate"]
    assert run.outputs.model_outputs[0].model_id == model.id
    version = registered.client.get_model_version(registered.name, "1")
    tags = version.tags
    assert tags["earshot.card.test.f1"] == "0.5000 (0.400 to 0.600)"
    assert tags["earshot.card.experiment"] == "loud-owl"
    assert tags["earshot.card.sampling_rate"] == str(AUDIO.sampling_rate)
    assert tags["earshot.card.data.data/recordings"] == "1" * 32 + ".dir"
    assert tags["earshot.card.license"] == "CC0"
    assert json.loads(tags["earshot.sha256"]).keys() == {"model.pt", "model.json"}
    assert "| F1 | 0.500 | 0.400 to 0.600 |" in version.description and "| a | A |" in version.description
    assert read_design(registered.client, model.id).labels == {"a": 0, "b": 1, "c": 2}
    assert "sampling_rate" in read_design(registered.client, model.id).config_text
    card = stored_card(registered.client, model.id)
    assert card.details.taxonomy == "eBird 2024" and card.weights == json.loads(tags["earshot.sha256"])
    logged = registered.client.get_logged_model(model.id)
    assert logged.params["audio.sampling_rate"] == str(AUDIO.sampling_rate)
    assert json.loads(logged.params["classes"]) == ["a", "b", "c"]
    metrics = {each.key: each.value for each in logged.metrics}
    assert metrics["test/f1"] == 0.5
    assert {path.name for path in local_weights(registered.client, model.id).iterdir()} == {"model.pt", "model.json"}


def test_an_evaluation_of_which_nothing_has_changed_adds_no_version(pipeline, registered):
    pipeline.name("loud-owl")
    first = registered()
    assert registered() == first and len(first) == 1
    (pipeline.folder / "metrics/report/figures.json").write_text(json.dumps(FIGURES | {"f1": 0.7}))
    assert [model.version for model in registered()] == [1, 2]


def test_an_evaluation_that_was_killed_before_or_after_registering_leads_to_one_version(pipeline, registered):
    pipeline.name("loud-owl")
    assert registered(register_as="") == []  # as if it was killed before
    (model,) = registered()
    run_id = pipeline.runs()[0].info.run_id
    registered.client.set_terminated(run_id, "RUNNING")
    registered.client.delete_tag(run_id, "mlflow.earshot.complete")
    assert registered() == [model]  # which was killed while it was completed
    register_run_model(registered.client, run_id, registered.name)
    assert len(find_models(registered.client, name=registered.name)) == 1


def test_a_setting_turns_registration_off_and_without_a_model_there_is_none(pipeline, registered):
    assert registered(register_as="") == [] and registered(log_model=False) == []


def test_a_name_that_is_not_allowed_becomes_a_problem_of_a_run_that_is_finished(pipeline, registered):
    settings = pipeline.settings(
        tracking={"uri": pipeline.uri, "experiment": pipeline.experiment, "register_as": "a/b"}
    )
    (problem,) = complete_run(settings)
    assert str(problem).startswith("MLflow store: this run is not fully tracked (ModelError: name = 'a/b': ")
    assert [run.info.status for run in pipeline.runs()] == ["FINISHED"]


@pytest.mark.parametrize("with_files", [True, False])
def test_a_model_that_was_removed_is_not_registered_again(pipeline, registered, with_files):
    (model,) = registered()
    remove_model(registered.client, model.id, with_files)
    assert registered() == []


def test_a_faulty_card_of_hand_is_told_and_the_model_registered_without_it(pipeline, registered):
    (pipeline.folder / "data/inputs").mkdir()
    (pipeline.folder / "data/inputs/model_card.yaml").write_text("licence: CC0\n")
    told = "data/inputs/model_card.yaml: licence = 'CC0': unknown key; did you mean license? allowed: "
    told += "license, contact, authors, intended_use, limitations, citation, taxonomy, calibrated_on, training_data"
    (model,) = registered(problems=[told])
    assert stored_card(registered.client, model.id).details.license is None


def test_a_model_of_others_is_registered_without_what_this_project_says_of_its_own(pipeline, registered):
    pipeline.name("loud-owl")
    (pipeline.folder / "data/inputs").mkdir()
    (pipeline.folder / "data/inputs/model_card.yaml").write_text("license: CC0\ntraining_data: {region: Ontario}\n")
    save_random_model(pipeline.folder / "theirs/model.pt", AUDIO, seed=2)
    options = {"uri": pipeline.uri, "experiment": pipeline.experiment, "register_as": registered.name}
    settings = pipeline.settings(tracking=options, infer={"device": "cpu", "overlap": 0.25})
    assert complete_run(settings, models="theirs") == []
    (model,) = find_models(registered.client, name=registered.name)
    card = stored_card(registered.client, model.id)
    assert (card.details, card.data, card.commit, card.experiment) == (CardInputs(), {}, "", "")
    assert card.test["f1"].value == 0.5  # which it was tested for here
    registered()
    own = stored_card(registered.client, find_models(registered.client, name=registered.name)[0].id)
    assert own.details.license == "CC0" and own.data and own.experiment == "loud-owl"


def test_a_model_that_was_trained_by_hand_is_the_projects_own_wherever_it_lies(pipeline, registered):
    pipeline.monkeypatch.delenv("DVC_STAGE")
    (pipeline.folder / "data/inputs").mkdir()
    (pipeline.folder / "data/inputs/model_card.yaml").write_text("license: CC0\n")
    options = {"uri": pipeline.uri, "experiment": pipeline.experiment, "register_as": registered.name}
    settings = pipeline.settings(tracking=options, infer={"device": "cpu", "overlap": 0.25})
    with training_run(settings, "key", "big", track=True):
        save_random_model(pipeline.folder / "big/model.pt", AUDIO, seed=3)
    shutil.copytree("big", "copied")
    assert complete_run(settings, models="copied", track=True) == []
    (model,) = find_models(registered.client, name=registered.name)
    assert stored_card(registered.client, model.id).details.license == "CC0"


def test_a_folder_that_holds_no_model_becomes_a_problem_and_leaves_none(pipeline, registered):
    (pipeline.folder / "data/models/model.json").write_text("{}")
    options = {"uri": pipeline.uri, "experiment": pipeline.experiment, "register_as": registered.name}
    (problem,) = complete_run(pipeline.settings(tracking=options))
    assert "is not a model description" in problem.fault
    experiment_id = registered.client.get_experiment_by_name(pipeline.experiment).experiment_id
    assert list(registered.client.search_logged_models([experiment_id])) == []


def test_mlflow_loads_a_registered_model_where_only_the_project_can_be_imported(pipeline, registered, tmp_path):
    (model,) = registered()
    set_alias(registered.client, model.id, "champion")
    data_set = write_data_set(tmp_path / "set", 1)
    (recording,) = Path(data_set, "recordings").iterdir()
    code = (
        "import mlflow; "
        f"model = mlflow.pyfunc.load_model('models:/{registered.name}@champion'); "
        f"print(model.predict([{str(recording)!r}]).to_csv(index=False))"
    )
    (tmp_path / "elsewhere").mkdir()
    known = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    environment = known | {"PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": pipeline.uri}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.split()
    assert header == "recording,name,start_time,end_time,score" and rows[0].startswith(f"{recording.stem},")
    assert "WARNING" not in done.stderr


def test_a_project_that_was_moved_finds_its_registered_models(tmp_path, monkeypatch, pipeline):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "data").mkdir(parents=True)
    (old / "dvc.yaml").touch()
    save_random_model(old / "data/models/model.pt", AUDIO)
    shutil.copytree(pipeline.folder / "metrics", old / "metrics")
    for name in ("DVC_STAGE", "DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(old)
    settings = Settings(infer={"device": "cpu", "overlap": 0.25})
    assert complete_run(settings, track=True) == []
    old.rename(new)
    monkeypatch.chdir(new)
    client, _ = open_experiment(settings.tracking)
    (model,) = find_models(client, name="earshot")
    assert (local_weights(client, model.id) / "model.pt").is_relative_to(new)
    set_alias(client, model.id, "champion")
    recording = next(Path(write_data_set(tmp_path / "set", 1), "recordings").iterdir())
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"{SQLITE}{new}/mlflow.db")
        loaded = mlflow.pyfunc.load_model("models:/earshot@champion")
    assert set(loaded.predict([str(recording)])["recording"]) == {recording.stem}
    assert not old.exists()
