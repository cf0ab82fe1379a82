"""Logged models of MLflow with their files, of which a killed process must leave none that nothing refers to.

A logged model has a tag that says so from when it is made until a run or a version of the registry refers to it, and
from before its last version is deleted until it is gone. Whoever stores or removes a model next removes what has had
that tag for a day, the files first: their model is the only way to them.
"""

import time
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

UNFINISHED = "earshot.unfinished"
"""Tag of a logged model that is being stored or removed, and since when, in seconds since 1970."""
ABANDONED = 24 * 3600.0
"""Seconds after which what a killed process was working on is removed."""


def unfinished_tag(doing: Literal["storing", "removing"]) -> dict[str, str]:
    """The tag of a logged model that is being stored or removed from now on."""
    return {UNFINISHED: f"{doing} {time.time():.0f}"}


def finish_model(client: "MlflowClient", model_id: str) -> None:
    """Note that a logged model is stored, and that something refers to it."""
    if UNFINISHED in client.get_logged_model(model_id).tags:
        client.delete_logged_model_tag(model_id, UNFINISHED)


def remove_abandoned_models(client: "MlflowClient", experiment_id: str) -> None:
    """Remove what killed processes left of the models of an experiment, once it is a day old."""
    token = None
    while True:
        page = client.search_logged_models([experiment_id], f"tags.`{UNFINISHED}` LIKE '%'", page_token=token)
        for model in page:
            doing, _, since = model.tags[UNFINISHED].partition(" ")
            if not since.isdecimal() or int(since) + ABANDONED > time.time():
                continue
            if _is_referred_to(client, model, doing):
                finish_model(client, model.model_id)
            else:
                delete_model(client, model.model_id)
        if not (token := page.token):
            return


def _is_referred_to(client: "MlflowClient", model: "LoggedModel", doing: str) -> bool:
    """Whether a version, or unless the model is being removed the run that made it, refers to a logged model."""
    if client.search_model_versions(f"source_path = 'models:/{model.model_id}'", 1):
        return True
    if doing == "removing" or not model.source_run_id:
        return False
    outputs = client.get_run(model.source_run_id).outputs
    return outputs is not None and any(output.model_id == model.model_id for output in outputs.model_outputs)


def delete_model(client: "MlflowClient", model_id: str) -> bool:
    """Delete a logged model with its files; returns whether that was possible."""
    try:
        artifacts_of(client, model_id).delete_artifacts()
        client.delete_logged_model(model_id)
    except Exception:  # whatever the storage of the files raises
        return False
    return True


def artifacts_of(client: "MlflowClient", model_id: str) -> Any:
    """MLflow's artifact repository of a model."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(client.get_logged_model(model_id).artifact_location, client.tracking_uri)
