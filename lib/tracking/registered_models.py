"""Registered models: versions in MLflow's registry, made from models that runs logged, found and changed by tags.

A model is known by the id of its logged model (`m-...`). All that is known about it stands in tags of its version, one
for each fact, so that processes which change different facts at once lose nothing:

- people's tags, each a tag without a value;
- `earshot.status`, draft or published; `earshot.archived`, when it was archived; `earshot.comment`, `earshot.url`,
  `earshot.framework`, `earshot.task` (the run that made it), `earshot.connected` (the last run that it became an input
  of), `earshot.system_tags` (JSON);
- `earshot.metadata.KEY`: JSON with value and type, both texts;
- `earshot.history.NNNN-XXXX`: JSON with at, by and did. The last digits are random, for two writers at a time.

When a version is removed, its history goes to tags of the registered model. Configuration and labels, which may be
long, are in the model's artifact `earshot/model.json`.
"""

import getpass
import json
import os
import re
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.core.errors import EarshotError, store_fault
from lib.tracking.mlflow_store import raise_unless_refused
from lib.tracking.tag_filter import tag_filter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

RESERVED = ("earshot.", "mlflow.")
"""How tags begin that are not people's."""
STATUS, ARCHIVED, COMMENT, URL, FRAMEWORK, TASK, CONNECTED, SYSTEM_TAGS, METADATA, HISTORY, REMOVED = (
    f"earshot.{name}"
    for name in (
        "status",
        "archived",
        "comment",
        "url",
        "framework",
        "task",
        "connected",
        "system_tags",
        "metadata.",
        "history.",
        "removed.",
    )
)
DRAFT, PUBLISHED = "draft", "published"
PAGE = 1000
"""Versions, runs or models in one answer of the store."""
LONGEST_NAME, LONGEST_TEXT = 256, 5000
"""Characters of a registered model's name, and of a description or a registered model's tag: what MLflow's tables hold
in a database that keeps to their widths, such as PostgreSQL."""
LONGEST_DEED = 2000
"""Characters of what a history says that someone did; with its time and author, escaped, it must fit into a tag."""
LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]+)")
"""The source of a version that was made from a logged model."""
_default_store_lock = threading.Lock()


class ModelError(EarshotError, ValueError):
    """A registered model is missing, or cannot be used or changed in that way."""


class HistoryEntry(NamedTuple):
    """What someone did to a model: when (ISO time, UTC), who, and what, in words."""

    at: str
    by: str
    did: str


class MetadataEntry(NamedTuple):
    """The value of a metadata entry and the name of its type, both as text."""

    value: str
    type: str


class RegisteredModel(NamedTuple):
    """A registered model as it was when it was read.

    id: of its logged model.
    name, version: in the registry.
    tags: people's, sorted.
    archived: when it was archived, ISO time; "": it is not.
    task: id of the run that made it, "" if none did.
    connected: id of the run that it became an input of last, "" if none.
    description: what MLflow's page shows, Markdown.
    updated: seconds since 1970 of the last change.
    """

    id: str
    name: str
    version: int
    tags: list[str]
    system_tags: list[str]
    is_published: bool
    archived: str
    comment: str
    url: str
    framework: str
    task: str
    connected: str
    metadata: dict[str, MetadataEntry]
    history: list[HistoryEntry]
    description: str
    updated: float

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


def find_model(client: "MlflowClient", model_id: str) -> RegisteredModel:
    """The model with that id, also if it is archived. Raises ModelError if there is none."""
    if model := _version_of(client, model_id):
        return model
    raise ModelError(model_id, "is no registered model", "`python -m stages.registry list` shows what there is")


def find_models(
    client: "MlflowClient",
    project: str | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
    only_published: bool = False,
    include_archived: bool = False,
    max_results: int | None = None,
    metadata: Mapping[str, object] | None = None,
    url: str | None = None,
) -> list[RegisteredModel]:
    """Models that fulfil all of these, the one that was changed last first.

    Args:
        client: of the store.
        project: name of the MLflow experiment that the model belongs to.
        name: of the registered model.
        tags: a filter, see lib.tracking.tag_filter.
        only_published: leave out drafts.
        include_archived: also archived models.
        max_results: how many to return, at most.
        metadata: values of entries, whatever their types.
        url: where it was imported from.
    """
    if max_results is not None and max_results < 0:
        raise ModelError(f"max_results = {max_results}", "must not be negative")
    passes, wanted = tag_filter(tags), {key: str(value) for key, value in (metadata or {}).items()}
    queries = ([f"name = {_quoted(name)}"] if name else []) + ([f"tags.`{URL}` = {_quoted(url)}"] if url else [])
    versions = _pages(client.search_model_versions, " AND ".join(queries), PAGE)
    members = _members(client, project) if project else None
    models = [
        model
        for model in map(_read, versions)
        if model is not None
        and (members is None or model.id in members)
        and (include_archived or not model.archived)
        and (model.is_published or not only_published)
        and passes(model.tags)
        and all(key in model.metadata and model.metadata[key].value == value for key, value in wanted.items())
    ]
    models.sort(key=lambda model: (model.updated, model.version), reverse=True)
    return models[:max_results]


def model_at(client: "MlflowClient", reference: str) -> RegisteredModel:
    """The model that a text refers to: its id, NAME@ALIAS, NAME/VERSION or NAME@VERSION, or NAME, the last changed one
    of that name that is not archived.

    Raises ModelError if there is none.
    """
    from mlflow.exceptions import MlflowException

    if not reference:  # which a search would take for any name
        raise ModelError("model", "is not named", "give NAME, NAME/VERSION, NAME@ALIAS or an id")
    if LOGGED_MODEL.fullmatch(f"models:/{reference}"):
        return find_model(client, reference)
    try:
        parts = re.fullmatch(r"(.+)([@/])(.+)", reference)
        if parts and parts[3].isdecimal() and len(parts[3]) > 9:  # more than a column of numbers holds
            model = None
        elif parts and (parts[2] == "/" or parts[3].isdecimal()):
            model = _read(client.get_model_version(parts[1], parts[3]))
        elif parts:
            model = _read(client.get_model_version_by_alias(parts[1], parts[3]))
        else:
            model = next(iter(find_models(client, name=reference, max_results=1)), None)
    except MlflowException as error:
        raise_unless_refused(error)
        model = None
    if model is None:
        remedy = "give NAME, NAME/VERSION, NAME@ALIAS or an id; `python -m stages.registry list` shows what there is"
        raise ModelError(reference, "is no registered model", remedy)
    return model


def create_version(
    client: "MlflowClient",
    name: str,
    model_id: str,
    did: str,
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
        did: what its history begins with.
        tags: people's.
        system_tags: others.
        is_published: else it is a draft.
        facts: further tags of the version, such as COMMENT, URL, FRAMEWORK and TASK; empty ones are left out.
        description: Markdown for MLflow's page, which shows up to LONGEST_TEXT characters of it.

    Raises ModelError, and registers nothing, if MLflow does not allow the name or a tag.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    check_name(name)
    check_tags(tags)
    content = {key: value for key, value in (facts or {}).items() if value} | dict.fromkeys(tags, "")
    content[STATUS] = PUBLISHED if is_published else DRAFT
    if system_tags:
        content[SYSTEM_TAGS] = json.dumps(sorted(system_tags))
    content |= [_history_tag(0, did)]
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise ModelError(name, f"could not be registered: {store_fault(error)}") from None
    source, run = f"models:/{model_id}", (facts or {}).get(TASK)
    shown = description and description[:LONGEST_TEXT]
    try:
        with _default_store(client.tracking_uri):
            version = client.create_model_version(
                name, source, run, content, description=shown, await_creation_for=0, model_id=model_id
            )
    except MlflowException as error:
        raise ModelError(name, f"could not be registered: {store_fault(error)}") from None
    links = json.loads(client.get_logged_model(model_id).tags.get("mlflow.modelVersions", "[]"))
    link = {"name": name, "version": str(version.version)}
    if not any(str(each["version"]) == link["version"] and each["name"] == name for each in links):
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps([*links, link])})
    return find_model(client, model_id)


def check_name(name: str) -> None:
    """Raise ModelError if a registered model cannot have that name."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_model_name

    try:
        _validate_model_name(name)
    except MlflowException as error:
        raise ModelError(f"name = {name!r}", store_fault(error), "give another name") from None
    if len(name) > LONGEST_NAME:
        raise ModelError(f"name = {name!r}", f"has {len(name)} characters", f"give one of up to {LONGEST_NAME}")


def check_tags(tags: Collection[str]) -> None:
    """Raise ModelError if any of these cannot be a tag of a model."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_model_version_tag

    for tag in tags:
        if tag.startswith(RESERVED):
            raise ModelError(f"tag {tag!r}", f"begins with {' or '.join(RESERVED)}, which are reserved")
        if tag.startswith(("-", "__$")):
            raise ModelError(f"tag {tag!r}", "begins as operators of tag filters do", "give another tag")
        try:
            _validate_model_version_tag(tag, "")
        except MlflowException:
            remedy = "use up to 250 letters, digits, spaces and _ - . : /"
            raise ModelError(f"tag {tag!r}", "cannot be a tag in MLflow", remedy) from None


def retag_model(
    client: "MlflowClient", model_id: str, added: Collection[str] = (), removed: Collection[str] = ()
) -> None:
    """Add and remove people's tags of a model. Raises ModelError if one cannot be a tag."""
    check_tags([*added, *removed])
    model = find_model(client, model_id)
    new, old = sorted({*added} - {*model.tags}), sorted({*removed} & {*model.tags})
    for tag in new:
        client.set_model_version_tag(model.name, str(model.version), tag, "")
    for tag in old:
        client.delete_model_version_tag(model.name, str(model.version), tag)
    if new or old:
        _note(client, model, f"tagged {', '.join([*new, *(f'-{tag}' for tag in old)])}")


def publish_model(client: "MlflowClient", model_id: str) -> None:
    """Make a draft published; a published model stays as it is."""
    model = find_model(client, model_id)
    if not model.is_published:
        client.set_model_version_tag(model.name, str(model.version), STATUS, PUBLISHED)
        _note(client, model, "published")


def archive_model(client: "MlflowClient", model_id: str) -> None:
    """Hide a model from searches; an archived model stays as it is."""
    model = find_model(client, model_id)
    if not model.archived:
        client.set_model_version_tag(model.name, str(model.version), ARCHIVED, _now())
        _note(client, model, "archived")


def unarchive_model(client: "MlflowClient", model_id: str) -> None:
    """Let searches find an archived model again."""
    model = find_model(client, model_id)
    if model.archived:
        client.delete_model_version_tag(model.name, str(model.version), ARCHIVED)
        _note(client, model, "unarchived")


def set_alias(client: "MlflowClient", model_id: str, alias: str) -> None:
    """Give a model an alias, such as champion, which only one version of its name has. Raises ModelError."""
    from mlflow.exceptions import MlflowException

    model = find_model(client, model_id)
    try:
        client.set_registered_model_alias(model.name, alias, str(model.version))
    except MlflowException as error:
        raise_unless_refused(error)
        raise ModelError(f"alias {alias!r}", store_fault(error), "use letters, digits, _ and -") from None
    _note(client, model, f"given the alias {alias}")


def aliases_of(client: "MlflowClient", name: str) -> dict[int, list[str]]:
    """Aliases of the versions of a registered model, by version."""
    found: dict[int, list[str]] = {}
    for alias, version in sorted(client.get_registered_model(name).aliases.items()):
        found.setdefault(int(version), []).append(alias)
    return found


def set_metadata_entries(
    client: "MlflowClient", model_id: str, entries: Mapping[str, MetadataEntry], replace: bool = False
) -> None:
    """Set entries of the metadata of a model.

    replace: remove all others. Raises ModelError, and sets nothing, if a key or a value cannot be stored.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_model_version_tag

    model = find_model(client, model_id)
    content = {f"{METADATA}{key}": json.dumps(entry._asdict(), ensure_ascii=False) for key, entry in entries.items()}
    for key, text in content.items():
        try:
            _validate_model_version_tag(key, text)
        except MlflowException:
            remedy = "use up to 200 letters, digits, spaces and _ - . : / for the key, and shorter values than 100 kB"
            raise ModelError(f"metadata {key.removeprefix(METADATA)!r}", "cannot be stored", remedy) from None
    changed = {key for key, entry in entries.items() if model.metadata.get(key) != entry}
    superfluous = sorted(model.metadata.keys() - entries.keys()) if replace else []
    for key in sorted(changed):
        client.set_model_version_tag(model.name, str(model.version), METADATA + key, content[METADATA + key])
    for key in superfluous:
        client.delete_model_version_tag(model.name, str(model.version), METADATA + key)
    if changed or superfluous:
        _note(client, model, f"metadata set: {', '.join([*sorted(changed), *(f'-{key}' for key in superfluous)])}")


def note_connection(client: "MlflowClient", model_id: str, run_id: str, name: str) -> None:
    """Note that a model became an input of a run, under a name."""
    model = find_model(client, model_id)
    client.set_model_version_tag(model.name, str(model.version), CONNECTED, run_id)
    _note(client, model, f"connected to run {run_id} as {name}")


def users_of(client: "MlflowClient", model_id: str) -> list[str]:
    """Ids of unfinished runs that have the model as an input."""
    experiments = _pages(client.search_experiments, max_results=PAGE)
    ids = [experiment.experiment_id for experiment in experiments]
    users = []
    for status in ("RUNNING", "SCHEDULED"):
        for run in _pages(client.search_runs, ids, f"attributes.status = '{status}'", max_results=PAGE):
            inputs = client.get_run(run.info.run_id).inputs
            if inputs and any(each.model_id == model_id for each in inputs.model_inputs):
                users.append(run.info.run_id)
    return users


def remove_model(
    client: "MlflowClient", model: str | RegisteredModel, with_files: bool = True, force: bool = False
) -> list[RegisteredModel]:
    """Remove a model from the registry; its history stays.

    Args:
        client: of the store.
        model: one version, or the id of a logged model, of whose versions the last changed one is meant.
        with_files: remove its files, too, unless other versions have the same; else they stay with the experiment, as
            a logged model.
        force: also if an unfinished run uses it.

    Returns the versions that still use its files. Raises ModelError if there is no such model or a run uses it, and
    after it was removed, if its files cannot be deleted.
    """
    if isinstance(model, str):
        model = find_model(client, model)
    if not force and (users := users_of(client, model.id)):
        raise ModelError(model, f"is used by run {users[0]}, which is not finished", "wait for it, or force it")
    others = [each for each in _versions_of(client, model.id) if str(each) != str(model)]
    with_files = with_files and not others
    history = [*model.history, _entry("removed" + ("" if with_files else ", its files kept"))]
    client.set_registered_model_tag(model.name, REMOVED + model.id, str(model.version))
    for index, entry in enumerate(history):
        client.set_registered_model_tag(model.name, f"{REMOVED}{model.id}.{index:04d}", _text(entry))
    client.delete_model_version(model.name, str(model.version))
    if with_files and not delete_files(client, model.id):
        raise ModelError(model.id, "is removed, but its files could not be deleted", "delete them by hand")
    return others


def undo_registration(client: "MlflowClient", model_id: str) -> None:
    """Delete a logged model and the version that a failed registration may have made of it.

    The version goes first: if it cannot be deleted the files stay, since a version must not point at nothing.
    """
    try:
        for model in _versions_of(client, model_id):
            client.delete_model_version(model.name, str(model.version))
    except Exception:  # as when the server is away; what failed before is raised
        return
    delete_files(client, model_id)


def delete_files(client: "MlflowClient", model_id: str) -> bool:
    """Delete a logged model with its files; returns whether that was possible."""
    try:
        artifacts_of(client, model_id).delete_artifacts()
        client.delete_logged_model(model_id)
    except Exception:  # whatever the storage of the files raises
        return False
    return True


def model_history(client: "MlflowClient", model_id: str) -> list[HistoryEntry]:
    """What was done to a model, oldest first, also if it was removed. Raises ModelError if there was never one."""
    if model := _version_of(client, model_id):
        return model.history
    for parent in client.search_registered_models(f"tags.`{REMOVED}{model_id}` != ''"):
        return _removed_history(parent.tags, model_id)
    raise ModelError(model_id, "is no registered model and never was one")


def history_at(client: "MlflowClient", reference: str) -> list[HistoryEntry]:
    """What was done to the model that a text refers to, see model_at; a removed one is known by its id or NAME/VERSION.

    Raises ModelError if there was never one.
    """
    if LOGGED_MODEL.fullmatch(f"models:/{reference}"):
        return model_history(client, reference)
    try:
        return model_at(client, reference).history
    except ModelError:
        if history := _history_of_removed_version(client, reference):
            return history
        raise


def project_of(client: "MlflowClient", model_id: str) -> str:
    """Name of the MLflow experiment that a model belongs to."""
    return client.get_experiment(client.get_logged_model(model_id).experiment_id).name


def artifacts_of(client: "MlflowClient", model_id: str) -> Any:
    """MLflow's artifact repository of a model."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(client.get_logged_model(model_id).artifact_location, client.tracking_uri)


def user_name() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container whose user id has no name; which of them depends on Python
        return "unknown"


def _version_of(client: "MlflowClient", model_id: str) -> RegisteredModel | None:
    return max(_versions_of(client, model_id), key=lambda model: model.updated, default=None)


def _versions_of(client: "MlflowClient", model_id: str) -> list[RegisteredModel]:
    """All versions made from a logged model: MLflow's page can register it under a second name."""
    versions = _pages(client.search_model_versions, f"source_path = {_quoted(f'models:/{model_id}')}", PAGE)
    return list(filter(None, map(_read, versions)))


def _read(version: "ModelVersion") -> RegisteredModel | None:
    """The model of a version; None if it was not made from a logged model."""
    source = LOGGED_MODEL.fullmatch(version.source or "")
    if source is None:
        return None
    tags = version.tags
    history = _entries({key: value for key, value in tags.items() if key.startswith(HISTORY)})
    changed = datetime.fromisoformat(history[-1].at).timestamp() if history else 0.0
    return RegisteredModel(
        id=source[1],
        name=version.name,
        version=int(version.version),
        tags=sorted(tag for tag in tags if not tag.startswith(RESERVED)),
        system_tags=_system_tags(tags.get(SYSTEM_TAGS, "[]")) + (["archived"] if ARCHIVED in tags else []),
        is_published=tags.get(STATUS) == PUBLISHED,
        archived=tags.get(ARCHIVED, ""),
        comment=tags.get(COMMENT, ""),
        url=tags.get(URL, ""),
        framework=tags.get(FRAMEWORK, ""),
        task=tags.get(TASK) or version.run_id or "",
        connected=tags.get(CONNECTED, ""),
        metadata={
            key.removeprefix(METADATA): _metadata_entry(value)
            for key, value in sorted(tags.items())
            if key.startswith(METADATA)
        },
        history=history,
        description=version.description or "",
        updated=max(changed, (version.last_updated_timestamp or 0) / 1000),
    )


def _members(client: "MlflowClient", project: str) -> set[str]:
    """Ids of the logged models of an experiment."""
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        return set()
    ids = [experiment.experiment_id]
    return {model.model_id for model in _pages(client.search_logged_models, ids)}


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
    return _entries({key: value for key, value in tags.items() if key.startswith(f"{REMOVED}{model_id}.")})


def _pages(search: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    """All results of a search of MLflow, which answers in pages."""
    token = None
    while True:
        page = search(*arguments, page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


def _note(client: "MlflowClient", model: RegisteredModel, did: str) -> None:
    """Append to the history of a model."""
    key, value = _history_tag(len(model.history), did)
    client.set_model_version_tag(model.name, str(model.version), key, value)


def _history_tag(n_before: int, did: str) -> tuple[str, str]:
    return f"{HISTORY}{n_before + 1:04d}-{uuid.uuid4().hex[:4]}", _text(_entry(did))


def _entry(did: str) -> HistoryEntry:
    return HistoryEntry(_now(), user_name(), did)


def _text(entry: HistoryEntry) -> str:
    did = entry.did if len(entry.did) <= LONGEST_DEED else f"{entry.did[:LONGEST_DEED]} ..."
    return json.dumps(entry._replace(did=did)._asdict(), ensure_ascii=False)


def _entries(tags: Mapping[str, str]) -> list[HistoryEntry]:
    """Entries of a history in the order in which they were made; what is none is skipped."""
    texts = [(key, _texts(value, HistoryEntry._fields)) for key, value in tags.items()]
    entries = [(key, HistoryEntry(**content)) for key, content in texts if content and _is_time(content["at"])]
    return [entry for _, entry in sorted(entries, key=lambda pair: (pair[1].at, pair[0]))]


def _texts(tag: str, keys: Collection[str]) -> dict[str, str] | None:
    """The texts that a tag's JSON holds by these keys; None if it is no such JSON, as after an edit by hand."""
    content = _parsed(tag)
    if not isinstance(content, dict) or content.keys() != {*keys}:
        return None
    return content if all(isinstance(value, str) for value in content.values()) else None


def _metadata_entry(tag: str) -> MetadataEntry:
    """The entry in a tag, which is plain text if people wrote it in MLflow's page."""
    return MetadataEntry(**(_texts(tag, MetadataEntry._fields) or {"value": tag, "type": "str"}))


def _system_tags(text: str) -> list[str]:
    content = _parsed(text)
    return [tag for tag in content if isinstance(tag, str)] if isinstance(content, list) else []


def _parsed(text: str) -> Any:
    """The value of a JSON text, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _quoted(text: str) -> str:
    """A text in a query of MLflow, which knows no escapes. Raises ModelError if it has both kinds of quotes."""
    if '"' not in text:
        return f'"{text}"'
    if "'" in text:
        raise ModelError(text, "has both kinds of quotes, which MLflow cannot search for")
    return f"'{text}'"


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
