"""The MLflow store: where it is, that it exists, and its clients.

MLflow takes seconds to import, so it is imported when a client is needed; checking that a local store is ready needs
none.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lib.config.schema import TrackingSettings
from lib.core.databases import SQLITE, database_of
from lib.core.files import atomic

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the UI open on runs and metrics of models, not on traces of language models."""
QUIET = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is away must not hold up a training for minutes
    "GIT_PYTHON_REFRESH": "quiet",
}


def store_uri(tracking: TrackingSettings) -> str:
    """URI of the MLflow store: tracking.uri, else MLFLOW_TRACKING_URI, else mlflow.db in the project's folder.

    A relative SQLite path counts from the project's folder, so that experiments in copies of it share one store.
    """
    uri = tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    database = database_of(uri)
    return uri if database is None else f"{SQLITE}{database}"


def ensure_store(uri: str, experiment: str) -> str:
    """Make the store, if it is an SQLite file, and the experiment in it, unless they exist; returns its id.

    A lock separates processes that start together, and a new store appears whole or not at all. Artifacts of a local
    store go into the folder mlartifacts beside it; a server decides for itself.
    """
    database = database_of(uri)
    if database is None:
        return _experiment_id(mlflow_client(uri), experiment, artifacts=None)
    if experiment_id := _read_experiment_id(database, experiment):
        return experiment_id
    database.parent.mkdir(parents=True, exist_ok=True)
    artifacts = (database.parent / "mlartifacts").as_uri()
    with FileLock(f"{database}.lock"):
        if database.exists():
            return _experiment_id(mlflow_client(uri), experiment, artifacts)
        with atomic(database) as part:
            part.unlink(missing_ok=True)
            return _experiment_id(mlflow_client(f"{SQLITE}{part}"), experiment, artifacts)


def open_experiment(tracking: TrackingSettings) -> tuple["MlflowClient", str]:
    """A client of the store of the settings, and the id of the experiment, which are made unless they exist."""
    uri = store_uri(tracking)
    experiment_id = ensure_store(uri, tracking.experiment)
    return mlflow_client(uri), experiment_id


def mlflow_client(uri: str) -> "MlflowClient":
    """A client that prints nothing but warnings."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _read_experiment_id(database: Path, experiment: str) -> str | None:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            query = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
            row = connection.execute(query, (experiment,)).fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def _experiment_id(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    if existing := client.get_experiment_by_name(name):
        if existing.lifecycle_stage == "deleted":  # in the UI, and now there are new runs for it
            client.restore_experiment(existing.experiment_id)
        return existing.experiment_id
    try:
        return client.create_experiment(name, artifact_location=artifacts, tags=KIND)
    except MlflowException:
        if existing := client.get_experiment_by_name(name):  # another process was faster
            return existing.experiment_id
        raise
