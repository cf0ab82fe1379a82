"""Who did what to a registered model and when, also after it was removed."""

import getpass
import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lib.tracking.mlflow_store import raise_unless_refused
from lib.tracking.registry.model_queries import latest_version, model_at
from lib.tracking.registry.registered_models import (
    HISTORY,
    LOGGED_MODEL,
    REMOVED,
    HistoryEntry,
    ModelError,
    RegisteredModel,
    now,
    read_entries,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_ACTION = 700
"""Characters that a history says of a change: as JSON, with at most six for each, they fit in LONGEST_TEXT."""


def model_history(client: "MlflowClient", model_id: str) -> list[HistoryEntry]:
    """What was done to a model, oldest first, also if it was removed. Raises ModelError if there was never one."""
    if model := latest_version(client, model_id):
        return model.history
    for parent in client.search_registered_models(f"tags.`{REMOVED}{model_id}` != ''"):
        return _removed_history(parent.tags, model_id)
    raise ModelError(model_id, "is not a registered model and never was one")


def history_at(client: "MlflowClient", reference: str) -> list[HistoryEntry]:
    """What was done to the model that a text refers to, see model_at; a removed one is known by its id or NAME/VERSION.

    Raises ModelError if there was never one.
    """
    try:
        return model_at(client, reference).history
    except ModelError:
        if LOGGED_MODEL.fullmatch(f"models:/{reference}") and not latest_version(client, reference):
            return model_history(client, reference)
        if history := _history_of_removed_version(client, reference):
            return history
        raise


def user_name() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container whose user id has no name; which of them depends on Python
        return "unknown"


def note(client: "MlflowClient", model: RegisteredModel, action: str) -> None:
    """Append to the history of a model."""
    key, value = history_tag(len(model.history), action)
    client.set_model_version_tag(model.name, str(model.version), key, value)


def history_tag(n_before: int, action: str) -> tuple[str, str]:
    return f"{HISTORY}{n_before + 1:04d}-{uuid.uuid4().hex[:4]}", entry_text(new_entry(action))


def new_entry(action: str) -> HistoryEntry:
    return HistoryEntry(now(), user_name(), action)


def entry_text(entry: HistoryEntry) -> str:
    """An entry as the value of a tag, short enough also for the tag of a registered model."""
    action = entry.action if len(entry.action) <= LONGEST_ACTION else f"{entry.action[:LONGEST_ACTION]} ..."
    return json.dumps(entry._replace(action=action)._asdict(), ensure_ascii=False)


def _history_of_removed_version(client: "MlflowClient", reference: str) -> list[HistoryEntry]:
    """History of a removed NAME/VERSION, a number that MLflow never gives again; [] if there is none."""
    from mlflow.exceptions import MlflowException

    name, _, version = reference.replace("@", "/").rpartition("/")
    try:
        tags = client.get_registered_model(name).tags
    except MlflowException as error:
        raise_unless_refused(error)
        return []
    removed = (key for key, value in tags.items() if key.startswith(REMOVED) and value == version)
    return next((_removed_history(tags, key.removeprefix(REMOVED)) for key in removed), [])


def _removed_history(tags: Mapping[str, str], model_id: str) -> list[HistoryEntry]:
    """History of a removed model from the tags of its registered model."""
    return read_entries({key: value for key, value in tags.items() if key.startswith(f"{REMOVED}{model_id}.")})
