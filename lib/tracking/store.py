"""The MLflow store: where it is, that it exists, and the only place where a client of it is made.

MLflow takes seconds to import, so it is imported when a client is asked for: looking whether a local store is ready
needs none.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lib.config import Tracking
from lib.files import atomic

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the UI open on runs and metrics of models, not on traces of language models."""
QUIET = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is away must not hold up a training for minutes
    "GIT_PYTHON_REFRESH": "quiet",
}


def project_root() -> Path:
    """The main project's folder, also inside a queued or temporary experiment, which runs in a copy of the project."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").exists()), here)


def store_uri(tracking: Tracking) -> str:
    """URI of the MLflow store: tracking.uri, else MLFLOW_TRACKING_URI, else mlflow.db in the project's folder.

    A relative SQLite path counts from the project's folder, so that experiments in copies of it share one store.
    """
    uri = tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    database = _database_of(uri)
    return uri if database is None else f"{SQLITE}{database}"


def ensure_store(uri: str, experiment: str) -> str:
    """Make the store, if it is an SQLite file, and the experiment in it, if they are not there yet; returns its id.

    A lock keeps processes apart that start together, and a new store appears whole or not at all. Artifacts of a
    local store go into the folder mlartifacts beside it; a server decides for itself.
    """
    database = _database_of(uri)
    if database is None:
        return _experiment_id(connect(uri), experiment, artifacts=None)
    if known := _known_id(database, experiment):
        return known
    database.parent.mkdir(parents=True, exist_ok=True)
    artifacts = (database.parent / "mlartifacts").as_uri()
    with FileLock(f"{database}.lock"):
        if database.exists():
            return _experiment_id(connect(uri), experiment, artifacts)
        with atomic(database) as part:
            part.unlink(missing_ok=True)
            return _experiment_id(connect(f"{SQLITE}{part}"), experiment, artifacts)


def connect(uri: str) -> "MlflowClient":
    """A client that prints nothing but warnings."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _database_of(uri: str) -> Path | None:
    """The SQLite file that a URI means, as an absolute path; None for any other store."""
    if not uri.startswith(SQLITE):
        return None
    return Path(os.path.normpath(project_root().absolute() / uri.removeprefix(SQLITE)))


def _known_id(database: Path, experiment: str) -> str | None:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            query = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
            found = connection.execute(query, (experiment,)).fetchone()
    except sqlite3.Error:
        return None
    return str(found[0]) if found else None


def _experiment_id(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        if found.lifecycle_stage == "deleted":  # in the UI, while new runs are wanted again
            client.restore_experiment(found.experiment_id)
        return found.experiment_id
    try:
        return client.create_experiment(name, artifact_location=artifacts, tags=KIND)
    except MlflowException:
        if found := client.get_experiment_by_name(name):  # another process was faster
            return found.experiment_id
        raise
