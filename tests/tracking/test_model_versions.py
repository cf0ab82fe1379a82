import os

import pytest
from mlflow.entities import LoggedModelInput

from lib.tracking.registry.model_queries import find_model, find_models, model_at, users_of
from lib.tracking.registry.model_versions import create_version, remove_model
from lib.tracking.registry.registered_models import COMMENT, ModelError


def test_a_version_is_a_version_of_mlflows_registry_with_its_tags(store):
    run = store.client.create_run(store.experiment_id).info.run_id
    model = store.add("frogs", "best", "dawn chorus", run_id=run, facts={COMMENT: "of the pond"})
    version = store.client.get_model_version(model.name, str(model.version))
    assert version.source == f"models:/{model.id}" and version.run_id == run
    assert version.tags["best"] == version.tags["dawn chorus"] == "" and version.tags["earshot.status"] == "draft"
    assert (model.tags, model.comment, model.task) == (["best", "dawn chorus"], "of the pond", run)
    assert f'"{model.name}"' in store.client.get_logged_model(model.id).tags["mlflow.modelVersions"]
    assert store.add("frogs").version == model.version + 1


def test_registering_leaves_the_default_store_of_the_process_as_it_was(store, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    store.add()
    assert os.environ["MLFLOW_TRACKING_URI"] == mlflow.get_tracking_uri() == "sqlite:///elsewhere.db"


@pytest.mark.parametrize("tag", ["earshot.status", "mlflow.user", "-qa", "__$all", "what?", 300 * "x"])
def test_what_cannot_be_a_tag_is_refused_and_nothing_registered(store, tag):
    model_id = store.logged_model()
    with pytest.raises(ModelError, match="tag "):
        create_version(store.client, store.name("frogs"), model_id, "registered", [tag])
    assert find_models(store.client, name=store.name("frogs")) == []


def test_a_name_that_mlflow_does_not_allow_is_an_error(store):
    with pytest.raises(ModelError, match="name = 'a/b'"):
        create_version(store.client, "a/b", store.logged_model(), "registered")


def test_removing_keeps_the_files_if_asked(store):
    model = store.add()
    assert remove_model(store.client, model.id, with_files=False) == []
    with pytest.raises(ModelError, match="is not a registered model"):
        find_model(store.client, model.id)
    assert [file.path for file in store.client.list_logged_model_artifacts(model.id)] == ["weights"]


def test_files_stay_until_the_last_version_that_has_them_is_removed(store):
    first = store.add("frogs")
    second = create_version(store.client, store.name("toads"), first.id, "registered again")
    first = model_at(store.client, f"{first.name}/1")
    assert [str(each) for each in remove_model(store.client, first)] == [str(second)]
    assert store.client.list_logged_model_artifacts(second.id)
    assert find_model(store.client, second.id).name == second.name
    assert remove_model(store.client, second) == []
    assert store.client.search_logged_models([store.experiment_id]) == []


def test_a_model_is_not_removed_while_a_run_uses_it_unless_forced(store):
    model = store.add()
    run = store.client.create_run(store.experiment_id).info.run_id
    store.client.log_inputs(run, models=[LoggedModelInput(model.id)])
    with pytest.raises(ModelError, match=f"is used by run {run}, which is not finished"):
        remove_model(store.client, model.id)
    assert find_model(store.client, model.id)
    store.client.set_terminated(run)
    assert users_of(store.client, model.id) == []
    store.client.update_run(run, status="RUNNING")
    assert remove_model(store.client, model.id, force=True) == []
