"""Registered models in place of files: a recognizer that was trained, registered, and is used by its name."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from lib.config.inputs import REGISTERED, registered_place, unwatched_inputs
from lib.config.load import load_settings, with_changes
from lib.config.schema import Settings
from lib.core.errors import EarshotError
from lib.results.results_store import ResultsStore
from lib.tracking.mlflow_store import open_experiment
from lib.tracking.registry.model_changes import set_alias
from lib.tracking.registry.model_queries import model_at
from lib.tracking.registry.model_versions import create_version
from lib.tracking.registry.model_weights import collected_weights, store_model
from lib.tracking.registry.registered_inputs import inference_model, update_copies, with_start_model
from stages.evaluate import evaluate
from stages.infer import infer
from stages.registry import registry as registry_stage
from stages.store import store as store_stage
from stages.train import train
from tests.tracking.registry_store import write_tensors
from tests.tracking.tiny import PLAIN, QUICK
from tests.training_data.builders import extract_folder, write_data_set, write_params

INFER = PLAIN | {"overlap": 0.25}
EVALUATE = {"min_seconds": 0.2, "bootstrap": 0}


def register(client, experiment_id: str, name: str, weights: Path) -> None:
    with collected_weights(weights) as folder:
        create_version(client, name, store_model(client, experiment_id, "model", folder), "registered")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a data set, its database, and two trained models, a and b."""
    folder = tmp_path_factory.mktemp("trained")
    extract_folder(write_data_set(folder / "set", 4), folder / "training.db")
    params = write_params(folder / "params.yaml", folder / "set", train=QUICK | PLAIN, infer=INFER, evaluate=EVALUATE)
    for seed, name in enumerate("ab"):
        model = str(folder / name / "model.pt")
        train(database=str(folder / "training.db"), model=model, params=str(params), seed=seed)
    return folder


@pytest.fixture
def project(trained, tmp_path, monkeypatch, mlflow_uri, request):
    """A copy of that folder, in which both models are registered as NAME/1, the champion, and NAME/2; returns NAME."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    name = request.node.name.partition("[")[0]
    sections = {
        "train": QUICK | PLAIN,
        "infer": INFER,
        "evaluate": EVALUATE,
        "tracking": {"uri": mlflow_uri, "experiment": name},
    }
    write_params(tmp_path / "params.yaml", tmp_path / "set", **sections)
    (tmp_path / "dvc.yaml").touch()
    client, experiment_id = open_experiment(load_settings().tracking)
    for folder in "ab":
        register(client, experiment_id, name, tmp_path / folder)
    registry_stage("alias", f"{name}/1", "champion")
    return name


def labels_of(folder: str) -> dict:
    with ResultsStore(folder) as store:
        return store.manifest.models


def digest(folder: str) -> dict:
    infer(recordings="set/recordings", output=f"labels of {folder}", model=folder)
    return labels_of(f"labels of {folder}")


def test_infer_uses_a_registered_model_as_it_is_named(project):
    infer(recordings="set/recordings", output="labels", model=f"registry:{project}@champion")
    assert labels_of("labels") == digest("a") != digest("b")
    infer(recordings="set/recordings", output="labels", **{"infer.model": f"registry:{project}/2"})
    assert labels_of("labels") == digest("b")
    with pytest.raises(EarshotError, match="none@champion: is not a registered model"):
        infer(recordings="set/recordings", output="labels", model="registry:none@champion")


def test_the_pipeline_uses_a_copy_that_dvc_watches(project, monkeypatch):
    reference = f"registry:{project}@champion"
    settings = with_changes(load_settings(), {"infer.model": reference})
    monkeypatch.setenv("DVC_STAGE", "infer")
    source = inference_model(settings)
    place = Path("data/registry/infer") / f"{project}@champion"
    assert source.path == registered_place("infer.model", reference) == place
    assert (place / "model.pt").read_bytes() == Path("a/model.pt").read_bytes()
    assert unwatched_inputs(settings, "infer.model") == []
    before = (place / "model.pt").stat().st_ino

    client, _ = open_experiment(settings.tracking)
    set_alias(client, model_at(client, f"{project}/2").id, "champion")
    assert inference_model(settings) == source  # what DVC recorded
    assert (place / "model.pt").stat().st_ino == before
    assert update_copies(settings) == [f"infer.model = {reference} is {project}/2 -> {place}"]
    assert (place / "model.pt").read_bytes() == Path("b/model.pt").read_bytes()
    assert inference_model(settings).model_id != source.model_id
    assert json.loads((place / ".registry.json").read_text())["model"] == f"{project}/2"
    assert update_copies(load_settings()) == [] and not place.exists()


def test_the_store_stage_brings_copies_up_to_date(project, capsys):
    store_stage(**{"train.load_checkpoint": f"registry:{project}@champion"})
    place = f"data/registry/train/{project}@champion"
    assert f"registry:{project}@champion is {project}/1 -> {place}" in capsys.readouterr().out
    assert {path.name for path in Path(place).iterdir()} >= {"model.pt", ".registry.json"}


def test_training_starts_from_a_registered_model_which_its_run_records(project):
    reference = f"registry:{project}@champion"
    train(database="training.db", model="c/model.pt", load_checkpoint=reference, freeze_backbone=True, track=True)
    client, experiment_id = open_experiment(load_settings().tracking)
    run = client.get_run(client.search_runs([experiment_id])[0].info.run_id)
    champion = model_at(client, f"{project}@champion")
    assert [each.model_id for each in run.inputs.model_inputs] == [champion.id]
    assert run.data.tags["earshot.input_model.train.load_checkpoint"] == champion.id
    assert run.data.params["train.load_checkpoint"] == reference
    assert champion.history[-1].action == f"connected to run {run.info.run_id} as train.load_checkpoint"


def test_the_run_of_an_evaluation_has_the_registered_model_as_its_input(project):
    model = {"infer.model": f"registry:{project}@champion"}
    infer(recordings="set/recordings", output="labels", **model)
    evaluate(labels="labels", output="report", metrics="evaluation.json", database="training.db", track=True, **model)
    client, experiment_id = open_experiment(load_settings().tracking)
    run = client.get_run(client.search_runs([experiment_id])[0].info.run_id)
    assert run.data.tags["earshot.input_model.infer.model"] == run.inputs.model_inputs[0].model_id
    assert "test/f1" in run.data.metrics and not run.outputs.model_outputs
    with pytest.raises(EarshotError, match="did not make labels"):
        evaluate(labels="labels", output="report", metrics="x.json", track=True, model=f"registry:{project}@2")


def test_a_model_is_trained_registered_published_found_by_tag_used_and_archived(project, capsys):
    train(database="training.db", model="d/model.pt", track=True)
    infer(recordings="set/recordings", output="labels", model="d")
    files = {"labels": "labels", "output": "report", "metrics": "evaluation.json", "database": "training.db"}
    evaluate(**files, model="d", track=True, **{"tracking.register_as": f"{project} made"})
    registry_stage("publish", f"{project} made")
    registry_stage("tag", f"{project} made", "pond,best")

    def listed() -> list[str]:
        capsys.readouterr()
        registry_stage("list", tags="__$all,pond,best", project=project, published=True, json=True)
        return [each["id"] for each in json.loads(capsys.readouterr().out)]

    (model_id,) = listed()
    infer(recordings="set/recordings", output="found", model=f"registry:{model_id}")
    assert labels_of("found") == labels_of("labels")
    registry_stage("show", model_id)
    assert "# " in capsys.readouterr().out.partition("\n\n")[2]  # the card
    registry_stage("archive", model_id)
    assert listed() == []


@pytest.mark.parametrize("stage", ["", "infer"])
def test_a_registered_model_without_checkpoints_is_named_with_what_can_be_done(project, tmp_path, monkeypatch, stage):
    registry_stage("import", str(write_tensors(tmp_path / "other.safetensors")), name=f"other {project}")
    if stage:
        monkeypatch.setenv("DVC_STAGE", stage)
    with pytest.raises(
        EarshotError, match=rf"other {project}/1, which holds no checkpoint .*; name another model; an ON"
    ):
        infer(model=f"registry:other {project}/1")


def test_training_cannot_start_from_several_checkpoints(project):
    client, experiment_id = open_experiment(load_settings().tracking)
    shutil.copy("b/model.pt", "a/other.pt")
    register(client, experiment_id, project, Path("a"))
    settings = with_changes(load_settings(), {"train.load_checkpoint": f"registry:{project}/3"})
    with pytest.raises(EarshotError, match=r"is 2 checkpoints \(model.pt, other.pt, ...\); register one alone"):
        with_start_model(settings)


def test_removing_copies_leaves_alone_what_another_process_is_copying(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part, place = REGISTERED / "infer/.toads@champion.part", REGISTERED / "infer/frogs@champion"
    for folder in (part, place):
        folder.mkdir(parents=True)
    with FileLock(REGISTERED / "infer/.frogs@champion.lock"):
        update = threading.Thread(target=update_copies, args=(Settings(),))
        update.start()
        update.join(0.3)
        assert update.is_alive() and place.exists()
    update.join()
    assert part.exists() and not place.exists()


@pytest.mark.parametrize("stem", ["frogs", "registry"])
def test_an_imported_checkpoint_is_copied_with_its_description(project, monkeypatch, capsys, stem):
    for suffix in (".pt", ".json"):
        shutil.copy(f"a/model{suffix}", f"{stem}{suffix}")
    name = f"{project} {stem}"
    registry_stage("import", f"{stem}.pt", name=name)
    reference, description = f"registry:{name}/1", Path(f"{stem}.json").read_bytes()
    capsys.readouterr()
    registry_stage("fetch", f"{name}/1", output="fetched")
    assert capsys.readouterr().out == f"{name}/1 -> fetched/{stem}.pt\n"
    assert Path(f"fetched/{stem}.json").read_bytes() == description

    monkeypatch.setenv("DVC_STAGE", "infer")
    infer(recordings="set/recordings", output="labels", **{"infer.model": reference})
    assert (registered_place("infer.model", reference) / f"{stem}.json").read_bytes() == description
    assert list(labels_of("labels")) == [f"{stem}.pt"]
