"""Processes that are killed for real while they store or remove a model, and what is left of it a day later."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib.tracking.registry import logged_models
from lib.tracking.registry.imported_models import import_weights
from lib.tracking.registry.model_design import ModelDesign
from lib.tracking.registry.model_history import model_history
from lib.tracking.registry.model_queries import find_model, model_at
from lib.tracking.registry.model_versions import create_version, remove_model
from lib.tracking.registry.model_weights import collected_weights, store_model
from tests.tracking.registry_store import RegistryStore, write_tensors

PROJECT = Path(__file__).parents[2]
KILLED = """
import json, os, signal, sys
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from mlflow import MlflowClient
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from lib.tracking.registry.imported_models import import_weights
from lib.tracking.mlflow_store import mlflow_client
from lib.tracking.registry.model_design import ModelDesign
from lib.tracking.registry.model_versions import remove_model
from lib.tracking.registry.model_weights import store_model, collected_weights

def run(last_call, verb, *arguments):
    owner = LocalArtifactRepository if last_call == "delete_artifacts" else MlflowClient
    call = getattr(owner, last_call)

    def call_and_die(*arguments, **options):
        call(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, last_call, call_and_die)
    client = mlflow_client(uri)
    if verb == "import":
        import_weights(client, experiment_id, arguments[0], ModelDesign.of(), arguments[1])
    elif verb == "store":
        with collected_weights(arguments[0]) as folder:
            store_model(client, experiment_id, "frogs", folder, arguments[1])
    else:
        remove_model(client, arguments[0])

uri, experiment_id, runs = sys.argv[1:]
for each in json.loads(runs):
    if not (child := os.fork()):  # which need not import all this again
        run(*each)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, each
"""


@pytest.fixture
def store(mlflow_uri, request, tmp_path, monkeypatch) -> RegistryStore:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    store = RegistryStore(mlflow_uri, request.node.name, tmp_path)
    store.others = set()
    store.others = models_with_files(store)  # of other tests
    return store


def kill_after(store, *runs: tuple[str, ...]) -> None:
    """Run each of these in a process that dies right after a call of MLflow: call, verb, arguments."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "DVC_ROOT": str(store.folder)}
    command = [sys.executable, "-c", KILLED, store.uri, store.experiment_id, json.dumps(runs, default=str)]
    subprocess.run(command, env=environment, check=True)


def models(store) -> set[str]:
    return {model.model_id for model in store.client.search_logged_models([store.experiment_id])}


def models_with_files(store) -> set[str]:
    place = store.client.get_experiment(store.experiment_id).artifact_location.removeprefix("file://")
    folder = Path(place.replace("%20", " "), "models")
    files = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    return files - store.others


def bring_in(store, name: str) -> str:
    weights = write_tensors(store.folder / f"{name}.safetensors")
    return import_weights(store.client, store.experiment_id, str(weights), ModelDesign.of(), store.name(name)).model.id


def test_what_a_process_that_was_killed_while_storing_left_is_removed_in_a_day(store, monkeypatch):
    paths = [write_tensors(store.folder / f"{i}.safetensors") for i in range(4)]
    run, other_run = (store.client.create_run(store.experiment_id).info.run_id for _ in range(2))
    kill_after(
        store,
        ("log_model_artifacts", "import", paths[0], store.name("cut")),
        ("finalize_logged_model", "import", paths[1], store.name("unregistered")),
        ("create_model_version", "import", paths[2], store.name("registered")),
        ("finalize_logged_model", "store", paths[3], run),
        ("log_outputs", "store", paths[3], other_run),
    )
    left = models(store)
    assert len(left) == 5 and models_with_files(store) == left
    bring_in(store, "toads")
    assert left < models(store)  # for they might still be at work
    monkeypatch.setattr(logged_models, "ABANDONED", -1)
    frogs = bring_in(store, "frogs")
    (output,) = store.client.get_run(other_run).outputs.model_outputs
    kept = {model_at(store.client, store.name(name)).id for name in ("registered", "toads")}
    assert models(store) == models_with_files(store) == {frogs, output.model_id, *kept}
    assert not any(logged_models.UNFINISHED in store.client.get_logged_model(each).tags for each in models(store))
    assert bring_in(store, "frogs") == frogs


def test_what_a_process_that_was_killed_while_removing_left_is_removed_in_a_day(store, monkeypatch):
    run = store.client.create_run(store.experiment_id).info.run_id
    store.client.set_terminated(run)
    with collected_weights(write_tensors(store.folder / "m.safetensors")) as folder:
        of_run = store_model(store.client, store.experiment_id, "m", folder, run)
    create_version(store.client, store.name("of a run"), of_run, "registered")
    marked, unversioned, without_files = (bring_in(store, name) for name in ("a", "b", "c"))
    kill_after(
        store,
        ("set_registered_model_tag", "remove", marked),
        ("delete_model_version", "remove", unversioned),
        ("delete_model_version", "remove", of_run),
        ("delete_artifacts", "remove", without_files),
    )
    assert models(store) == {marked, unversioned, of_run, without_files}
    assert models_with_files(store) == {marked, unversioned, of_run}
    for removed in (unversioned, of_run, without_files):
        assert model_history(store.client, removed)[-1].action == "removed"
    monkeypatch.setattr(logged_models, "ABANDONED", -1)
    frogs = bring_in(store, "frogs")
    assert models(store) == models_with_files(store) == {frogs, marked}
    assert find_model(store.client, marked).version == 1  # which was not removed yet
    assert remove_model(store.client, marked) == []
    assert models(store) == models_with_files(store) == {frogs}
