"""Changes of registered models, each with an entry in the model's history: tags, metadata, status, alias.

Each function takes a version as it was read before, or an id that has a sole version, and raises ModelError if there is
no such version.
"""

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from lib.core.errors import store_fault
from lib.tracking.mlflow_store import raise_unless_refused
from lib.tracking.registry.model_history import note
from lib.tracking.registry.model_queries import aliases_of, current_version, model_at
from lib.tracking.registry.registered_models import (
    ARCHIVED,
    COMMENT,
    CONNECTED,
    LONGEST_VERSION_TAG,
    METADATA,
    PUBLISHED,
    STATUS,
    MetadataEntry,
    ModelError,
    RegisteredModel,
    can_be_version_tag,
    check_comment,
    check_tags,
    now,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


def retag_model(
    client: "MlflowClient", model: RegisteredModel | str, added: Collection[str] = (), removed: Collection[str] = ()
) -> None:
    """Add and remove user tags of a model. Raises ModelError if one cannot be a tag."""
    check_tags([*added, *removed])
    model = current_version(client, model)
    new, old = sorted({*added} - {*model.tags}), sorted({*removed} & {*model.tags})
    for tag in new:
        client.set_model_version_tag(model.name, str(model.version), tag, "")
    for tag in old:
        client.delete_model_version_tag(model.name, str(model.version), tag)
    if new or old:
        note(client, model, f"tagged {', '.join([*new, *(f'-{tag}' for tag in old)])}")


def publish_model(client: "MlflowClient", model: RegisteredModel | str) -> None:
    """Make a draft published; a published model stays as it is."""
    model = current_version(client, model)
    if not model.is_published:
        client.set_model_version_tag(model.name, str(model.version), STATUS, PUBLISHED)
        note(client, model, "published")


def archive_model(client: "MlflowClient", model: RegisteredModel | str) -> None:
    """Hide a model from searches; an archived model stays as it is."""
    model = current_version(client, model)
    if not model.archived:
        client.set_model_version_tag(model.name, str(model.version), ARCHIVED, now())
        note(client, model, "archived")


def unarchive_model(client: "MlflowClient", model: RegisteredModel | str) -> None:
    """Let searches find an archived model again."""
    model = current_version(client, model)
    if model.archived:
        client.delete_model_version_tag(model.name, str(model.version), ARCHIVED)
        note(client, model, "unarchived")


def set_comment(client: "MlflowClient", model: RegisteredModel | str, comment: str) -> None:
    """Change what people say about a model; a model without a card has it as its description in MLflow's page, too."""
    check_comment(comment)
    model = current_version(client, model)
    if comment != model.comment:
        client.set_model_version_tag(model.name, str(model.version), COMMENT, comment)
        if model.description == model.comment:
            client.update_model_version(model.name, str(model.version), comment)
        note(client, model, "commented")


def set_alias(client: "MlflowClient", model: RegisteredModel | str, alias: str) -> None:
    """Give a model an alias, such as champion, which only one version of its name has. Raises ModelError."""
    from mlflow.exceptions import MlflowException

    model = current_version(client, model)
    holders = [version for version, aliases in aliases_of(client, model.name).items() if alias in aliases]
    try:
        client.set_registered_model_alias(model.name, alias, str(model.version))
    except MlflowException as error:
        raise_unless_refused(error)
        raise ModelError(f"alias {alias!r}", store_fault(error), "use letters, digits, _ and -") from None
    if holders == [model.version]:
        return
    for version in holders:
        holder = model_at(client, f"{model.name}/{version}")
        note(client, holder, f"alias {alias} moved to version {model.version}")
    note(client, model, f"given the alias {alias}")


def remove_alias(client: "MlflowClient", model: RegisteredModel | str, alias: str) -> None:
    """Take an alias from a model. Raises ModelError if it does not have it."""
    model = current_version(client, model)
    aliases = aliases_of(client, model.name).get(model.version, [])
    if alias not in aliases:
        has = f"it has {' and '.join(aliases)}" if aliases else "it has none"
        raise ModelError(f"alias {alias!r}", f"is not an alias of {model}", has)
    client.delete_registered_model_alias(model.name, alias)
    note(client, model, f"alias {alias} removed")


def set_metadata_entries(
    client: "MlflowClient",
    model: RegisteredModel | str,
    entries: Mapping[str, MetadataEntry],
    replace: bool = False,
    removed: Collection[str] = (),
) -> None:
    """Set entries of the metadata of a model.

    replace: remove all others. removed: keys of entries to remove. Raises ModelError, and sets nothing, if a key or a
    value cannot be stored.
    """
    model = current_version(client, model)
    content = {f"{METADATA}{key}": json.dumps(entry._asdict(), ensure_ascii=False) for key, entry in entries.items()}
    for key, text in content.items():
        if not can_be_version_tag(key, text):
            remedy = (
                "use up to 200 letters, digits, spaces and _ - . : / for the key, "
                f"and values of up to {LONGEST_VERSION_TAG:,} characters"
            )
            raise ModelError(f"metadata {key.removeprefix(METADATA)!r}", "cannot be stored", remedy)
    changed = {key for key, entry in entries.items() if model.metadata.get(key) != entry}
    unwanted = model.metadata.keys() if replace else model.metadata.keys() & {*removed}
    superfluous = sorted(unwanted - entries.keys())
    for key in sorted(changed):
        client.set_model_version_tag(model.name, str(model.version), METADATA + key, content[METADATA + key])
    for key in superfluous:
        client.delete_model_version_tag(model.name, str(model.version), METADATA + key)
    if changed or superfluous:
        note(client, model, f"metadata set: {', '.join([*sorted(changed), *(f'-{key}' for key in superfluous)])}")


def note_connection(client: "MlflowClient", model: RegisteredModel | str, run_id: str, name: str) -> None:
    """Note that a model became an input of a run, under a name."""
    model = current_version(client, model)
    client.set_model_version_tag(model.name, str(model.version), CONNECTED, run_id)
    note(client, model, f"connected to run {run_id} as {name}")
