import subprocess
import sys
from pathlib import Path

import pytest

from lib.tracking.registry.model_changes import remove_alias, retag_model, set_alias, set_comment, set_metadata_entries
from lib.tracking.registry.model_history import model_history
from lib.tracking.registry.model_queries import aliases_of, find_model, find_models
from lib.tracking.registry.model_versions import remove_model
from lib.tracking.registry.registered_models import COMMENT, LONGEST_TEXT, MetadataEntry, ModelError

PROJECT = Path(__file__).parents[2]


def test_metadata_that_cannot_be_stored_changes_nothing(store):
    model = store.add()
    for key, value in (("what?", "x"), ("long", 200_000 * "x")):
        with pytest.raises(ModelError, match="cannot be stored"):
            entries = {"good": MetadataEntry("1", "int"), key: MetadataEntry(value, "str")}
            set_metadata_entries(store.client, model.id, entries)
    assert find_model(store.client, model.id).metadata == {}


def test_a_comment_is_changed_with_the_description_that_was_made_of_it_and_a_card_stays(store):
    plain = store.add("frogs", facts={COMMENT: "frogs"}, description="frogs")
    described = store.add("frogs", facts={COMMENT: "frogs"}, description="# A card")
    for model in (plain, described):
        set_comment(store.client, model, "frogs of the pond")
        set_comment(store.client, model, "frogs of the pond")  # does nothing
    changed = [find_model(store.client, model.id) for model in (plain, described)]
    assert [model.comment for model in changed] == ["frogs of the pond"] * 2
    assert [model.description for model in changed] == ["frogs of the pond", "# A card"]
    assert [entry.action for entry in changed[0].history] == ["registered", "commented"]


def test_a_moved_alias_is_noted_by_both_versions_and_a_removed_one_by_its_own(store):
    first, second = store.add("frogs"), store.add("frogs")
    for model in (first, first, second):  # giving it twice changes nothing
        set_alias(store.client, model, "champion")
    with pytest.raises(ModelError, match=f"alias 'best': is not an alias of {second}; it has champion"):
        remove_alias(store.client, second, "best")
    with pytest.raises(ModelError, match=f"alias 'champion': is not an alias of {first}; it has none"):
        remove_alias(store.client, first, "champion")
    remove_alias(store.client, second, "champion")
    assert aliases_of(store.client, first.name) == {}
    actions = [[entry.action for entry in model_history(store.client, model.id)] for model in (first, second)]
    assert actions[0] == ["registered", "given the alias champion", "alias champion moved to version 2"]
    assert actions[1] == ["registered", "given the alias champion", "alias champion removed"]


def test_what_is_longer_than_mlflows_databases_hold_is_refused_or_cut(store):
    told = "comment: has 5,001 characters; MLflow's databases hold 5,000; shorten it"
    model = store.add("frogs")
    with pytest.raises(ModelError, match=told):
        set_comment(store.client, model, 5001 * "x")
    with pytest.raises(ModelError, match=told):
        store.add("toads", description=5001 * "x")
    assert find_models(store.client, name=store.name("toads")) == []
    set_comment(store.client, model, 5000 * "x")
    retag_model(store.client, model, [f"{index}{240 * 'x'}" for index in range(30)])
    remove_model(store.client, model)
    history = model_history(store.client, model.id)
    assert history[-2].action.startswith("tagged 0xxx") and history[-2].action.endswith("x ...")
    tags = store.client.get_registered_model(model.name).tags
    assert max(len(value) for value in tags.values()) < LONGEST_TEXT


CHANGES = """
import sys
from lib.tracking.mlflow_store import mlflow_client
from lib.tracking.registry.model_changes import retag_model, set_metadata_entries
from lib.tracking.registry.registered_models import MetadataEntry

uri, model_id, writer = sys.argv[1:]
client = mlflow_client(uri)
for index in range(10):
    entry = {f"{writer}-{index}": MetadataEntry(str(index), "int")}
    set_metadata_entries(client, model_id, entry)
    retag_model(client, model_id, [f"tag {writer}-{index}"])
"""


def test_two_processes_that_change_a_model_at_once_lose_nothing(store):
    model = store.add()
    command = [sys.executable, "-c", CHANGES, store.uri, model.id]
    writers = [subprocess.Popen([*command, writer], cwd=PROJECT) for writer in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    changed = find_model(store.client, model.id)
    assert len(changed.metadata) == len(changed.tags) == 20
    assert len(changed.history) == 1 + 40
