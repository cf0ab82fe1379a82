from pathlib import Path

import pytest

from lib.tracking.registry.model_changes import archive_model, publish_model, retag_model, unarchive_model
from lib.tracking.registry.model_history import history_at, model_history, user_name
from lib.tracking.registry.model_queries import find_model
from lib.tracking.registry.model_versions import remove_model
from lib.tracking.registry.registered_models import ModelError


def test_the_history_tells_who_did_what_and_stays_when_the_model_is_removed(store):
    model = store.add()
    for change in (publish_model, archive_model, unarchive_model):
        change(store.client, model.id)
        change(store.client, model.id)  # does nothing
    retag_model(store.client, model.id, ["new"], ["old"])
    retag_model(store.client, model.id, [], ["new"])
    before = ["registered", "published", "archived", "unarchived", "tagged new", "tagged -new"]
    history = model_history(store.client, model.id)
    assert [entry.action for entry in history] == before
    assert {entry.by for entry in history} == {user_name()} and history[0].at.endswith("+00:00")
    assert remove_model(store.client, model.id) == []
    assert [entry.action for entry in model_history(store.client, model.id)] == [*before, "removed"]
    assert not Path(store.client.get_experiment(store.experiment_id).artifact_location, "models", model.id).exists()
    with pytest.raises(ModelError, match="never was one"):
        model_history(store.client, "m-0123")


def test_the_history_of_a_removed_model_is_found_by_its_version(store):
    first, second = store.add(), store.add()
    publish_model(store.client, first.id)
    for model in (first, second):
        remove_model(store.client, model.id)

    def did(reference: str) -> list[str]:
        return [entry.action for entry in history_at(store.client, reference)]

    assert did(f"{first.name}/1") == did(f"{first.name}@1") == did(first.id) == ["registered", "published", "removed"]
    assert did(f"{first.name}/2") == ["registered", "removed"]
    for unknown in (f"{first.name}/3", first.name, "no such name/1"):
        with pytest.raises(ModelError, match="is not a registered model"):
            history_at(store.client, unknown)


def test_a_history_entry_without_a_time_is_skipped(store):
    model = store.add()
    entry = '{"at": "yesterday", "by": "me", "action": "nothing"}'
    store.client.set_model_version_tag(model.name, str(model.version), "earshot.history.0002-abcd", entry)
    assert find_model(store.client, model.id).history == model.history
