"""Registered models, found: by id, by name and version or alias, or by what they are like; and what belongs to them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lib.tracking.mlflow_store import raise_unless_refused
from lib.tracking.registry.metadata_values import is_value
from lib.tracking.registry.registered_models import LOGGED_MODEL, URL, ModelError, RegisteredModel, read_version
from lib.tracking.registry.tag_filter import tag_filter

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 1000
"""Versions, runs or models in one answer of the store."""


def find_model(client: "MlflowClient", model_id: str) -> RegisteredModel:
    """The model with that id, also if it is archived; of several versions, which have the same files, the one that was
    changed last.

    Raises ModelError if there is none.
    """
    if model := latest_version(client, model_id):
        return model
    raise ModelError(model_id, "is not a registered model", "`python -m stages.registry list` shows what there is")


def sole_version(client: "MlflowClient", model_id: str) -> RegisteredModel:
    """The only version that was made from the logged model of that id, whatever its name.

    Raises ModelError if there is none, or there are several, since a change is meant for one of them.
    """
    versions = versions_of(client, model_id)
    if len(versions) > 1:
        fault = f"is registered as {' and '.join(sorted(map(str, versions)))}"
        raise ModelError(model_id, fault, "name one of these instead of the id")
    return versions[0] if versions else find_model(client, model_id)


def current_version(client: "MlflowClient", model: RegisteredModel | str) -> RegisteredModel:
    """A version as it is now, or the sole version of an id. Raises ModelError if there is none."""
    return sole_version(client, model) if isinstance(model, str) else model_at(client, str(model))


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
        tags: a filter, see lib.tracking.registry.tag_filter.
        only_published: leave out drafts.
        include_archived: also archived models.
        max_results: how many to return, at most.
        metadata: values of entries, or the texts by which they are stored.
        url: where it was imported from.
    """
    if max_results is not None and max_results < 0:
        raise ModelError(f"max_results = {max_results}", "must not be negative")
    if not isinstance(metadata, Mapping | None):
        raise ModelError(f"metadata = {metadata!r}", "must be a dict", "give the value of each key")
    passes, wanted = tag_filter(tags), metadata or {}
    queries = ([f"name = {_quoted(name)}"] if name else []) + ([f"tags.`{URL}` = {_quoted(url)}"] if url else [])
    versions = pages(client.search_model_versions, " AND ".join(queries), PAGE)
    members = _members(client, project) if project else None
    models = [
        model
        for model in map(read_version, versions)
        if model is not None
        and (members is None or model.id in members)
        and (include_archived or not model.archived)
        and (model.is_published or not only_published)
        and passes(model.tags)
        and all(key in model.metadata and is_value(model.metadata[key], value) for key, value in wanted.items())
    ]
    models.sort(key=lambda model: (model.updated, model.version), reverse=True)
    return models[:max_results]


def model_at(client: "MlflowClient", reference: str) -> RegisteredModel:
    """The model that a text refers to: its id, NAME@ALIAS, NAME/VERSION or NAME@VERSION, or NAME, the last changed one
    of that name that is not archived.

    Raises ModelError if there is none, or an id has several versions.
    """
    from mlflow.exceptions import MlflowException

    if not reference:  # which a search would take for any name
        raise ModelError("model", "is not named", "give NAME, NAME/VERSION, NAME@ALIAS or an id")
    if LOGGED_MODEL.fullmatch(f"models:/{reference}"):
        return sole_version(client, reference)
    try:
        parts = re.fullmatch(r"(.+)([@/])(.+)", reference)
        if parts and parts[3].isdecimal() and len(parts[3]) > 9:  # more than a column of numbers holds
            model = None
        elif parts and (parts[2] == "/" or parts[3].isdecimal()):
            model = read_version(client.get_model_version(parts[1], parts[3]))
        elif parts:
            model = read_version(client.get_model_version_by_alias(parts[1], parts[3]))
        else:
            model = next(iter(find_models(client, name=reference, max_results=1)), None)
    except MlflowException as error:
        raise_unless_refused(error)
        model = None
    if model is None:
        remedy = "give NAME, NAME/VERSION, NAME@ALIAS or an id; `python -m stages.registry list` shows what there is"
        raise ModelError(reference, "is not a registered model", remedy)
    return model


def latest_version(client: "MlflowClient", model_id: str) -> RegisteredModel | None:
    """The version that was made from a logged model, of several the last changed one; None if there is none."""
    return max(versions_of(client, model_id), key=lambda model: model.updated, default=None)


def versions_of(client: "MlflowClient", model_id: str) -> list[RegisteredModel]:
    """All versions made from a logged model: MLflow's page can register it under a second name."""
    versions = pages(client.search_model_versions, f"source_path = {_quoted(f'models:/{model_id}')}", PAGE)
    return list(filter(None, map(read_version, versions)))


def aliases_of(client: "MlflowClient", name: str) -> dict[int, list[str]]:
    """Aliases of the versions of a registered model, by version."""
    found: dict[int, list[str]] = {}
    for alias, version in sorted(client.get_registered_model(name).aliases.items()):
        found.setdefault(int(version), []).append(alias)
    return found


def users_of(client: "MlflowClient", model_id: str) -> list[str]:
    """Ids of unfinished runs that have the model as an input."""
    experiments = pages(client.search_experiments, max_results=PAGE)
    ids = [experiment.experiment_id for experiment in experiments]
    users = []
    for status in ("RUNNING", "SCHEDULED"):
        for run in pages(client.search_runs, ids, f"attributes.status = '{status}'", max_results=PAGE):
            inputs = client.get_run(run.info.run_id).inputs
            if inputs and any(each.model_id == model_id for each in inputs.model_inputs):
                users.append(run.info.run_id)
    return users


def project_of(client: "MlflowClient", model_id: str) -> str:
    """Name of the MLflow experiment that a model belongs to."""
    return client.get_experiment(client.get_logged_model(model_id).experiment_id).name


def pages(search: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    """All results of a search of MLflow, which answers in pages."""
    token = None
    while True:
        page = search(*arguments, page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


def _members(client: "MlflowClient", project: str) -> set[str]:
    """Ids of the logged models of an experiment."""
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        return set()
    ids = [experiment.experiment_id]
    return {model.model_id for model in pages(client.search_logged_models, ids)}


def _quoted(text: str) -> str:
    """A text in a query of MLflow, which knows no escapes. Raises ModelError if it has both kinds of quotes."""
    if '"' not in text:
        return f'"{text}"'
    if "'" in text:
        raise ModelError(text, "has both kinds of quotes, which MLflow cannot search for")
    return f"'{text}'"
