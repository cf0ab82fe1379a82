import sqlite3
from contextlib import closing

import pytest

from lib.core.errors import EarshotError
from lib.tracking.mlflow_store import mlflow_client, store_errors
from lib.tracking.registry import model_queries
from lib.tracking.registry.model_changes import archive_model, publish_model, set_alias, set_metadata_entries
from lib.tracking.registry.model_queries import aliases_of, find_models, model_at
from lib.tracking.registry.registered_models import MetadataEntry, ModelError


def names(models) -> list[str]:
    return [str(model).partition(" ")[0] + f"/{model.version}" for model in models]


def test_the_last_changed_model_comes_first(store):
    for _ in range(3):
        store.add("frogs")
    first = model_at(store.client, f"{store.name('frogs')}/1")
    assert names(find_models(store.client, name=first.name)) == ["frogs/3", "frogs/2", "frogs/1"]
    publish_model(store.client, first.id)
    assert names(find_models(store.client, name=first.name)) == ["frogs/1", "frogs/3", "frogs/2"]
    assert names(find_models(store.client, name=first.name, max_results=2)) == ["frogs/1", "frogs/3"]


def test_models_are_found_by_project_tags_status_and_metadata(store):
    frogs, bats = store.add("frogs", "best"), store.add("bats", "best", "qa", is_published=True)
    archive_model(store.client, store.add("owls", "best").id)
    set_metadata_entries(store.client, bats.id, {"hop": MetadataEntry("5", "int")})

    def found(**wanted):
        return sorted(names(find_models(store.client, project=store.experiment, **wanted)))

    assert found() == ["bats/1", "frogs/1"] and found(include_archived=True) == ["bats/1", "frogs/1", "owls/1"]
    assert found(tags=["__$all", "best", "__$not", "qa"]) == ["frogs/1"]
    assert found(only_published=True) == found(metadata={"hop": 5}) == ["bats/1"]
    assert found(metadata={"hop": 6}) == found(name="no such name") == found(tags=["x"]) == []
    assert find_models(store.client, project="no such project", name=frogs.name) == []


def test_a_model_is_named_by_id_version_alias_or_name(store):
    first, second = store.add(), store.add()
    set_alias(store.client, first.id, "champion")
    references = {first.id: 1, second.id: 2, f"{first.name}@champion": 1, f"{first.name}/2": 2, f"{first.name}@2": 2}
    for reference, version in references.items():
        assert model_at(store.client, reference).version == version
    assert model_at(store.client, first.name).version == 1  # which got the alias last
    assert aliases_of(store.client, first.name) == {1: ["champion"]}
    versions = (f"{first.name}/9", f"{first.name}/{10**20}", f"{first.name}@none", f"{first.name}/x")
    for unknown in ("m-0123", "no such name", *versions):
        with pytest.raises(ModelError, match="is not a registered model"):
            model_at(store.client, unknown)


@pytest.mark.parametrize("reference", ["frogs@champion", "frogs/3", "frogs", "m-0123"])
def test_a_server_that_is_away_is_not_taken_for_one_without_the_model(reference):
    client = mlflow_client("http://me:secret@127.0.0.1:9")
    with pytest.raises(EarshotError) as error, store_errors():
        model_at(client, reference)
    line = "MLflow store: a request to http://me:***@127.0.0.1:9 failed ([Errno 111] Connection refused)"
    assert str(error.value) == f"{line}; check that tracking.uri can be reached"


def test_an_empty_reference_names_no_model(store):
    store.add()
    with pytest.raises(ModelError, match="model: is not named"):
        model_at(store.client, "")


def test_a_thousand_versions_are_searched_page_by_page(store, monkeypatch):
    model = store.add("many", "even")
    _copy_version(store, model, 1000)
    monkeypatch.setattr(model_queries, "PAGE", 300)
    found = find_models(store.client, name=model.name)
    assert sorted(each.version for each in found) == list(range(1, 1001))
    assert len(find_models(store.client, name=model.name, tags=["even"])) == 500


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
