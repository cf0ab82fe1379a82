import subprocess
import sys
from pathlib import Path

import pytest

from lib.tracking.model_changes import (
    set_metadata_entries,
)
from lib.tracking.model_queries import find_model
from lib.tracking.registered_models import MetadataEntry, ModelError

PROJECT = Path(__file__).parents[2]


def test_metadata_that_cannot_be_stored_changes_nothing(store):
    model = store.add()
    for key, value in (("what?", "x"), ("long", 200_000 * "x")):
        with pytest.raises(ModelError, match="cannot be stored"):
            entries = {"good": MetadataEntry("1", "int"), key: MetadataEntry(value, "str")}
            set_metadata_entries(store.client, model.id, entries)
    assert find_model(store.client, model.id).metadata == {}


CHANGES = """
import sys
from lib.tracking.mlflow_store import mlflow_client
from lib.tracking.model_changes import retag_model, set_metadata_entries
from lib.tracking.registered_models import MetadataEntry

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
