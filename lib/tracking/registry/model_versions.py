"""Versions of registered models in MLflow's registry: made from logged models, and removed."""

import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lib.core.errors import store_fault
from lib.tracking.registry.logged_models import delete_model, finish_model, remove_abandoned_models, unfinished_tag
from lib.tracking.registry.model_history import entry_text, history_tag, new_entry
from lib.tracking.registry.model_queries import current_version, model_at, users_of, versions_of
from lib.tracking.registry.registered_models import (
    DRAFT,
    PUBLISHED,
    REMOVED,
    STATUS,
    SYSTEM_TAGS,
    TASK,
    ModelError,
    RegisteredModel,
    check_comment,
    check_name,
    check_tags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_default_store_lock = threading.Lock()


def create_version(
    client: "MlflowClient",
    name: str,
    model_id: str,
    action: str,
    tags: Collection[str] = (),
    system_tags: Collection[str] = (),
    is_published: bool = False,
    facts: Mapping[str, str] | None = None,
    description: str | None = None,
) -> RegisteredModel:
    """Register a logged model under a name, as its next version.

    Args:
        client: of the store.
        name: of the registered model, which is made unless it exists; without `/` and `:`.
        model_id: of the logged model.
        action: what its history begins with.
        tags: user tags.
        system_tags: others.
        is_published: else it is a draft.
        facts: further tags of the version, such as COMMENT, URL, FRAMEWORK and TASK; empty ones are left out.
        description: Markdown for MLflow's page, up to LONGEST_TEXT characters.

    Raises ModelError, and registers nothing, if MLflow does not allow the name, a tag or the description.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    check_name(name)
    check_tags(tags)
    check_comment(description or "")
    content = {key: value for key, value in (facts or {}).items() if value} | dict.fromkeys(tags, "")
    content[STATUS] = PUBLISHED if is_published else DRAFT
    if system_tags:
        content[SYSTEM_TAGS] = json.dumps(sorted(system_tags))
    content |= [history_tag(0, action)]
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise ModelError(name, f"could not be registered: {store_fault(error)}") from None
    source, run = f"models:/{model_id}", (facts or {}).get(TASK)
    try:
        with _default_store(client.tracking_uri):
            version = client.create_model_version(
                name, source, run, content, description=description, await_creation_for=0, model_id=model_id
            )
    except MlflowException as error:
        raise ModelError(name, f"could not be registered: {store_fault(error)}") from None
    links = json.loads(client.get_logged_model(model_id).tags.get("mlflow.modelVersions", "[]"))
    link = {"name": name, "version": str(version.version)}
    if not any(str(each["version"]) == link["version"] and each["name"] == name for each in links):
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps([*links, link])})
    finish_model(client, model_id)
    return model_at(client, f"{name}/{version.version}")


def remove_model(
    client: "MlflowClient", model: str | RegisteredModel, with_files: bool = True, force: bool = False
) -> list[RegisteredModel]:
    """Remove a model from the registry; its history stays.

    Args:
        client: of the store.
        model: a version as it was read before, or an id that has a sole version.
        with_files: remove its files, too, unless other versions have the same; else they stay with the experiment, as
            a logged model.
        force: also if an unfinished run uses it.

    Returns the versions that still use its files. Raises ModelError if there is no such model or a run uses it, and
    after it was removed, if its files cannot be deleted.
    """
    from mlflow.exceptions import MlflowException

    model = current_version(client, model)
    if not force and (users := users_of(client, model.id)):
        raise ModelError(model, f"is used by run {users[0]}, which is not finished", "wait for it, or force it")
    others = [each for each in versions_of(client, model.id) if str(each) != str(model)]
    with_files = with_files and not others
    if with_files:
        with suppress(MlflowException):  # as when someone has deleted the logged model by hand
            remove_abandoned_models(client, client.get_logged_model(model.id).experiment_id)
            client.set_logged_model_tags(model.id, unfinished_tag("removing"))
    history = [*model.history, new_entry("removed" + ("" if with_files else ", its files kept"))]
    client.set_registered_model_tag(model.name, REMOVED + model.id, str(model.version))
    for index, entry in enumerate(history):
        client.set_registered_model_tag(model.name, f"{REMOVED}{model.id}.{index:04d}", entry_text(entry))
    client.delete_model_version(model.name, str(model.version))
    if with_files and not delete_model(client, model.id):
        raise ModelError(model.id, "is removed, but its files could not be deleted", "delete them by hand")
    return others


def undo_registration(client: "MlflowClient", model_id: str) -> None:
    """Delete a logged model and the version that a failed registration may have made of it.

    The version goes first: if it cannot be deleted the files stay, since a version must not point at nothing.
    """
    try:
        for model in versions_of(client, model_id):
            client.delete_model_version(model.name, str(model.version))
    except Exception:  # as when the server is away; what failed before is raised
        return
    delete_model(client, model_id)


@contextmanager
def _default_store(uri: str) -> Iterator[None]:
    """Make a database the store that MLflow looks in by default, while the block lasts.

    A client of a database registers a logged model by its id only if the model is in the default store; a server looks
    in its own.
    """
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    if uri.startswith(("http://", "https://")):
        yield
        return
    with _default_store_lock:
        variable = os.environ.get("MLFLOW_TRACKING_URI")
        try:
            with _use_tracking_uri(uri):
                yield
        finally:
            if variable is not None:
                os.environ["MLFLOW_TRACKING_URI"] = variable
