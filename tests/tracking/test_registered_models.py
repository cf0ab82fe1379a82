import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.entities import LoggedModelInput

from lib.core.errors import EarshotError
from lib.tracking import registered_models as registry
from lib.tracking.mlflow_store import mlflow_client, store_errors
from lib.tracking.registered_models import MetadataEntry, ModelError
from tests.tracking.registry_store import RegistryStore

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def store(mlflow_uri, request, tmp_path, monkeypatch) -> RegistryStore:
    monkeypatch.chdir(tmp_path)
    return RegistryStore(mlflow_uri, request.node.name, tmp_path)


def names(models) -> list[str]:
    return [str(model).partition(" ")[0] + f"/{model.version}" for model in models]


def test_a_version_is_a_version_of_mlflows_registry_with_its_tags(store):
    run = store.client.create_run(store.experiment_id).info.run_id
    model = store.add("frogs", "best", "dawn chorus", run_id=run, facts={registry.COMMENT: "of the pond"})
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
        registry.create_version(store.client, store.name("frogs"), model_id, "registered", [tag])
    assert registry.find_models(store.client, name=store.name("frogs")) == []


def test_a_name_that_mlflow_does_not_allow_is_an_error(store):
    with pytest.raises(ModelError, match="name = 'a/b'"):
        registry.create_version(store.client, "a/b", store.logged_model(), "registered")


def test_the_last_changed_model_comes_first(store):
    for _ in range(3):
        store.add("frogs")
    first = registry.model_at(store.client, f"{store.name('frogs')}/1")
    assert names(registry.find_models(store.client, name=first.name)) == ["frogs/3", "frogs/2", "frogs/1"]
    registry.publish_model(store.client, first.id)
    assert names(registry.find_models(store.client, name=first.name)) == ["frogs/1", "frogs/3", "frogs/2"]
    assert names(registry.find_models(store.client, name=first.name, max_results=2)) == ["frogs/1", "frogs/3"]


def test_models_are_found_by_project_tags_status_and_metadata(store):
    frogs, bats = store.add("frogs", "best"), store.add("bats", "best", "qa", is_published=True)
    registry.archive_model(store.client, store.add("owls", "best").id)
    registry.set_metadata_entries(store.client, bats.id, {"hop": MetadataEntry("5", "int")})

    def found(**wanted):
        return sorted(names(registry.find_models(store.client, project=store.experiment, **wanted)))

    assert found() == ["bats/1", "frogs/1"] and found(include_archived=True) == ["bats/1", "frogs/1", "owls/1"]
    assert found(tags=["__$all", "best", "__$not", "qa"]) == ["frogs/1"]
    assert found(only_published=True) == found(metadata={"hop": 5}) == ["bats/1"]
    assert found(metadata={"hop": 6}) == found(name="no such name") == found(tags=["x"]) == []
    assert registry.find_models(store.client, project="no such project", name=frogs.name) == []


def test_a_model_is_named_by_id_version_alias_or_name(store):
    first, second = store.add(), store.add()
    registry.set_alias(store.client, first.id, "champion")
    references = {first.id: 1, second.id: 2, f"{first.name}@champion": 1, f"{first.name}/2": 2, f"{first.name}@2": 2}
    for reference, version in references.items():
        assert registry.model_at(store.client, reference).version == version
    assert registry.model_at(store.client, first.name).version == 1  # which got the alias last
    assert registry.aliases_of(store.client, first.name) == {1: ["champion"]}
    for unknown in (
        "m-0123",
        "no such name",
        f"{first.name}/9",
        f"{first.name}/{10**20}",
        f"{first.name}@none",
        f"{first.name}/x",
    ):
        with pytest.raises(ModelError, match="is no registered model"):
            registry.model_at(store.client, unknown)


@pytest.mark.parametrize("reference", ["frogs@champion", "frogs/3", "frogs", "m-0123"])
def test_a_server_that_is_away_is_not_taken_for_one_without_the_model(reference):
    client = mlflow_client("http://me:secret@127.0.0.1:9")
    with pytest.raises(EarshotError) as error, store_errors():
        registry.model_at(client, reference)
    line = "MLflow store: a request to http://me:***@127.0.0.1:9 failed ([Errno 111] Connection refused)"
    assert str(error.value) == f"{line}; check that tracking.uri can be reached"


def test_an_empty_reference_names_no_model(store):
    store.add()
    with pytest.raises(ModelError, match="model: is not named"):
        registry.model_at(store.client, "")


def test_the_history_tells_who_did_what_and_stays_when_the_model_is_removed(store):
    model = store.add()
    for change in (registry.publish_model, registry.archive_model, registry.unarchive_model):
        change(store.client, model.id)
        change(store.client, model.id)  # does nothing
    registry.retag_model(store.client, model.id, ["new"], ["old"])
    registry.retag_model(store.client, model.id, [], ["new"])
    before = ["registered", "published", "archived", "unarchived", "tagged new", "tagged -new"]
    history = registry.model_history(store.client, model.id)
    assert [entry.did for entry in history] == before
    assert {entry.by for entry in history} == {registry.user_name()} and history[0].at.endswith("+00:00")
    assert registry.remove_model(store.client, model.id) == []
    assert [entry.did for entry in registry.model_history(store.client, model.id)] == [*before, "removed"]
    assert not Path(store.client.get_experiment(store.experiment_id).artifact_location, "models", model.id).exists()
    with pytest.raises(ModelError, match="never was one"):
        registry.model_history(store.client, "m-0123")


def test_the_history_of_a_removed_model_is_found_by_its_version(store):
    first, second = store.add(), store.add()
    registry.publish_model(store.client, first.id)
    for model in (first, second):
        registry.remove_model(store.client, model.id)

    def did(reference: str) -> list[str]:
        return [entry.did for entry in registry.history_at(store.client, reference)]

    assert did(f"{first.name}/1") == did(f"{first.name}@1") == did(first.id) == ["registered", "published", "removed"]
    assert did(f"{first.name}/2") == ["registered", "removed"]
    for unknown in (f"{first.name}/3", first.name, "no such name/1"):
        with pytest.raises(ModelError, match="is no registered model"):
            registry.history_at(store.client, unknown)


def test_removing_keeps_the_files_if_asked(store):
    model = store.add()
    assert registry.remove_model(store.client, model.id, with_files=False) == []
    with pytest.raises(ModelError, match="is no registered model"):
        registry.find_model(store.client, model.id)
    assert [file.path for file in store.client.list_logged_model_artifacts(model.id)] == ["weights"]


def test_files_stay_until_the_last_version_that_has_them_is_removed(store):
    first = store.add("frogs")
    second = registry.create_version(store.client, store.name("toads"), first.id, "registered again")
    first = registry.model_at(store.client, f"{first.name}/1")
    assert [str(each) for each in registry.remove_model(store.client, first)] == [str(second)]
    assert store.client.list_logged_model_artifacts(second.id)
    assert registry.find_model(store.client, second.id).name == second.name
    assert registry.remove_model(store.client, second) == []
    assert store.client.search_logged_models([store.experiment_id]) == []


def test_a_model_is_not_removed_while_a_run_uses_it_unless_forced(store):
    model = store.add()
    run = store.client.create_run(store.experiment_id).info.run_id
    store.client.log_inputs(run, models=[LoggedModelInput(model.id)])
    with pytest.raises(ModelError, match=f"is used by run {run}, which is not finished"):
        registry.remove_model(store.client, model.id)
    assert registry.find_model(store.client, model.id)
    store.client.set_terminated(run)
    assert registry.users_of(store.client, model.id) == []
    store.client.update_run(run, status="RUNNING")
    assert registry.remove_model(store.client, model.id, force=True) == []


def test_metadata_that_cannot_be_stored_changes_nothing(store):
    model = store.add()
    for key, value in (("what?", "x"), ("long", 200_000 * "x")):
        with pytest.raises(ModelError, match="cannot be stored"):
            entries = {"good": MetadataEntry("1", "int"), key: MetadataEntry(value, "str")}
            registry.set_metadata_entries(store.client, model.id, entries)
    assert registry.find_model(store.client, model.id).metadata == {}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("pond", id="word"),
        pytest.param("[1", id="broken"),
        pytest.param("7", id="number"),
        pytest.param('["pond"]', id="list"),
        pytest.param('{"value": 1, "type": "int"}', id="no text"),
        pytest.param('{"value": "1"}', id="part"),
    ],
)
def test_tags_that_were_edited_by_hand_break_no_list(store, text):
    model = store.add("frogs", system_tags=["package"])
    keys = ("metadata.site", "history.0002-abcd", "system_tags")
    for key in keys:
        store.client.set_model_version_tag(model.name, str(model.version), f"earshot.{key}", text)
    (read,) = registry.find_models(store.client, name=model.name)
    assert read.metadata == {"site": MetadataEntry(text, "str")} and read.history == model.history
    assert read.system_tags == (["pond"] if text == '["pond"]' else [])
    assert registry.find_models(store.client, name=model.name, metadata={"site": text}) == [read]


def test_a_history_entry_without_a_time_is_skipped(store):
    model = store.add()
    entry = '{"at": "yesterday", "by": "me", "did": "nothing"}'
    store.client.set_model_version_tag(model.name, str(model.version), "earshot.history.0002-abcd", entry)
    assert registry.find_model(store.client, model.id).history == model.history


CHANGES = """
import sys
from lib.tracking import registered_models as registry
from lib.tracking.mlflow_store import mlflow_client

uri, model_id, writer = sys.argv[1:]
client = mlflow_client(uri)
for index in range(10):
    entry = {f"{writer}-{index}": registry.MetadataEntry(str(index), "int")}
    registry.set_metadata_entries(client, model_id, entry)
    registry.retag_model(client, model_id, [f"tag {writer}-{index}"])
"""


def test_two_processes_that_change_a_model_at_once_lose_nothing(store):
    model = store.add()
    command = [sys.executable, "-c", CHANGES, store.uri, model.id]
    writers = [subprocess.Popen([*command, writer], cwd=PROJECT) for writer in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    changed = registry.find_model(store.client, model.id)
    assert len(changed.metadata) == len(changed.tags) == 20
    assert len(changed.history) == 1 + 40


def test_a_thousand_versions_are_searched_page_by_page(store, monkeypatch):
    model = store.add("many", "even")
    _copy_version(store, model, 1000)
    monkeypatch.setattr(registry, "PAGE", 300)
    found = registry.find_models(store.client, name=model.name)
    assert sorted(each.version for each in found) == list(range(1, 1001))
    assert len(registry.find_models(store.client, name=model.name, tags=["even"])) == 500


def _copy_version(store, model, n: int) -> None:
    """Give a registered model n versions, of which those with even numbers and the first keep the tag `even`."""
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as connection, connection:
        for table, condition in (
            ("model_versions", "1"),
            ("model_version_tags", "key != 'even' OR i % 2 = 0 AND i > 2"),
        ):
            columns = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
            copied = {"version": "i", "source": "'models:/m-' || printf('%032x', i)"}
            connection.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) "
                f"INSERT INTO {table} ({', '.join(columns)}) "
                f"SELECT {', '.join(copied.get(name, name) for name in columns)} FROM {table}, n "
                f"WHERE name = ? AND version = 1 AND ({condition})",
                (model.name,),
            )
