"""The MLflow store: where it is, that it exists, and its clients.

MLflow takes seconds to import, so it is imported when a client is needed; checking that a local store is ready needs
none.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

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
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server that is away must not hold up a training for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}

ANSWER_SECONDS = 5.0
"""How long a server may take to say that it is there."""
ARTIFACTS = "mlartifacts"
"""Folder of the artifacts, beside the file of a local store."""
ARTIFACT_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's database that hold absolute URIs of artifacts."""


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
    store go into the folder mlartifacts beside it, also after both were moved or copied; a server decides for itself.
    Raises OSError at once if a server does not answer.
    """
    database = database_of(uri)
    if database is None:
        _check_that_it_answers(uri)
        return _experiment_id(mlflow_client(uri), experiment, artifacts=None)
    artifacts = (database.parent / ARTIFACTS).as_uri()
    if any(place != artifacts for place in _artifact_places(database)):
        _move_artifacts(database, artifacts)
    if experiment_id := _read_experiment_id(database, experiment):
        return experiment_id
    database.parent.mkdir(parents=True, exist_ok=True)
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


def _check_that_it_answers(uri: str) -> None:
    """Raise OSError if there is no answer, of whatever kind, from a server within ANSWER_SECONDS."""
    if uri.startswith(("http://", "https://")):
        with suppress(HTTPError), urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS):
            pass


def _artifact_places(database: Path) -> list[str]:
    """Where the experiments that were made here have their artifacts; none if there is no store."""
    query = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%/' || ?"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return [place for (place,) in connection.execute(query, (ARTIFACTS,))]
    except sqlite3.Error:
        return []


def _move_artifacts(database: Path, artifacts: str) -> None:
    """Let a store that was moved or copied with its artifacts refer to them where they are now."""
    with FileLock(f"{database}.lock"), closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for place in set(_artifact_places(database)) - {artifacts}:
            for table, column in ARTIFACT_COLUMNS:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (artifacts, len(place) + 1, len(place), place),
                )


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
