"""The MLflow store: where it is, that it exists, and its clients.

MLflow takes seconds to import, so it is imported when a client is needed; checking that a local store is ready needs
none.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from lib.config.schema import TrackingSettings
from lib.core.databases import LOCK_SECONDS, SQLITE, database_of
from lib.core.errors import EarshotError, store_error
from lib.core.files import atomic, printable, without_password
from lib.tracking.runs_view import runs_address, view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

PLACE = "earshot.artifacts"
"""Tag of experiments that were made here: where their artifacts lie, so that a moved store is noticed."""
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the UI open on runs and metrics of models, not on traces of language models."""
QUIET = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server that is away must not hold up a training for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # a server is silent while it hands a large model on to its own storage
    "GIT_PYTHON_REFRESH": "quiet",
}

ANSWER_SECONDS = 5.0
"""How long a server may take to say that it is there."""
REFUSALS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST")
"""Codes of MLflow's errors about what it was asked for; others are about the store."""
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
    Raises MlflowException within ANSWER_SECONDS if a server does not answer, EarshotError if there can be no such file.
    """
    database = database_of(uri)
    if database is None:
        client = mlflow_client(uri)
        _check_that_it_answers(uri)
        return _experiment_id(client, experiment, artifacts=None)
    _check_path(database)
    artifacts = _follow_artifacts(database)
    if experiment_id := _read_experiment_id(database, experiment):
        return experiment_id
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{database}.lock", timeout=LOCK_SECONDS):
            if database.exists():
                return _experiment_id(mlflow_client(uri), experiment, artifacts)
            with atomic(database) as part:
                os.truncate(part, 0)
                return _experiment_id(mlflow_client(f"{SQLITE}{part}"), experiment, artifacts)
    except Timeout:
        fault = f"another process has been making it for {LOCK_SECONDS:g} s"
        raise EarshotError(database, fault, f"end that process, or remove {database}.lock") from None


def _check_path(database: Path) -> None:
    """Raise EarshotError if a file of that name cannot be a store: MLflow would try for minutes."""
    setting = "set tracking.uri to sqlite:///PATH of another file"
    if database.is_dir():
        raise EarshotError(database, "is a folder", setting)
    if printable(str(database)) != str(database):
        raise EarshotError(database, "has a name that MLflow cannot use", f"rename the folder, or {setting}")


def runs_page(tracking: TrackingSettings) -> tuple[str, str]:
    """The command that serves MLflow's page, "" where a server does, and the address of the experiment's runs."""
    uri = store_uri(tracking)
    server, experiment_id = without_password(uri), ""
    with suppress(
        Exception
    ):  # whatever a store of another version, or a server that does not answer, makes MLflow raise
        experiment_id = ensure_store(uri, tracking.experiment)
    if database_of(uri) is not None:
        return f"mlflow ui --backend-store-uri {uri}", runs_address(experiment_id or "1")
    has_page = experiment_id and server.startswith(("http://", "https://"))
    return "", runs_address(experiment_id, server) if has_page else server


def open_experiment(tracking: TrackingSettings) -> tuple["MlflowClient", str]:
    """A client of the store of the settings, and the id of the experiment, which are made unless they exist."""
    uri = store_uri(tracking)
    experiment_id = ensure_store(uri, tracking.experiment)
    return mlflow_client(uri), experiment_id


@contextmanager
def store_errors() -> Iterator[None]:
    """What a store or a disk that fails makes MLflow raise becomes an EarshotError."""
    try:
        yield
    except Exception as error:
        from mlflow.exceptions import MlflowException  # not before: what needs no store need not wait for it

        if isinstance(error, MlflowException | OSError):
            raise store_error(error) from None
        raise


def raise_unless_refused(error: "MlflowException") -> None:
    """Raise EarshotError if the store failed, and did not only refuse what it was asked for or know no such thing."""
    if error.error_code not in REFUSALS:
        raise store_error(error) from None


def existing_store(tracking: TrackingSettings) -> "MlflowClient":
    """A client of the store of the settings that looks things up and makes nothing.

    Raises EarshotError if there is no such store, or it cannot be reached.
    """
    uri = store_uri(tracking)
    database = database_of(uri)
    if database is not None:
        if not database.is_file():
            remedy = "set tracking.uri or MLFLOW_TRACKING_URI to the store that has the model"
            raise EarshotError(database, "the MLflow store does not exist", remedy)
        _follow_artifacts(database)
        return mlflow_client(uri)
    client = mlflow_client(uri)
    with store_errors():
        _check_that_it_answers(uri)
    return client


def mlflow_client(uri: str) -> "MlflowClient":
    """A client that prints nothing but warnings."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _check_that_it_answers(uri: str) -> None:
    """Raise MlflowException if a server gives no answer, of whatever kind, within ANSWER_SECONDS."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    if uri.startswith(("http://", "https://")):
        options = {"timeout": ANSWER_SECONDS, "max_retries": 0, "raise_on_status": False}
        http_request(get_default_host_creds(uri), "/health", "GET", **options)


def _follow_artifacts(database: Path) -> str:
    """URI of the folder of a local store's artifacts, to which the store refers from now on, also if it was moved."""
    artifacts = (database.parent / ARTIFACTS).as_uri()
    if any(place != artifacts for place in _artifact_places(database)):
        _move_artifacts(database, artifacts)
    return artifacts


def _artifact_places(database: Path) -> list[str]:
    """Where the artifacts of the experiments that were made here lay when the store was last used; none without one.

    Each of them has the place as a tag. In stores of earlier versions none has, and the folder's name tells.
    """
    by_tag = "SELECT DISTINCT value FROM experiment_tags WHERE key = ?"
    by_name = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%/' || ?"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            tagged = [place for (place,) in connection.execute(by_tag, (PLACE,))]
            return tagged or [place for (place,) in connection.execute(by_name, (ARTIFACTS,))]
    except sqlite3.Error:
        return []


def _move_artifacts(database: Path, artifacts: str) -> None:
    """Let a store that was moved or copied with its artifacts refer to them where they are now."""
    with FileLock(f"{database}.lock"), closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for place in set(_artifact_places(database)) - {artifacts}:
            for table, column in ARTIFACT_COLUMNS:
                connection.execute(
                    f"UPDATE {table} SET {column} = ?1 || substr({column}, length(?2) + 1) "
                    f"WHERE {column} = ?2 OR substr({column}, 1, length(?2) + 1) = ?2 || '/'",
                    (artifacts, place),
                )
        connection.execute(
            "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) "
            "SELECT ?1, ?2, experiment_id FROM experiments WHERE artifact_location = ?2",
            (PLACE, artifacts),
        )


def _read_experiment_id(database: Path, experiment: str) -> str | None:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            query = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
            row = connection.execute(query, (experiment,)).fetchone()
            query = "SELECT key, value FROM experiment_tags WHERE experiment_id = ?"
            tags = dict(connection.execute(query, row or (0,)))
    except sqlite3.Error:
        return None
    return str(row[0]) if row and not _missing_tags(tags) else None


def _missing_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags by which MLflow's page opens on the runs, as far as an experiment lacks them."""
    return {key: value for key, value in (KIND | view_tags()).items() if key not in tags}


def _experiment_id(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    if existing := client.get_experiment_by_name(name):
        if existing.lifecycle_stage == "deleted":  # in the UI, and now there are new runs for it
            client.restore_experiment(existing.experiment_id)
        for key, value in _missing_tags(existing.tags).items():
            client.set_experiment_tag(existing.experiment_id, key, value)
        return existing.experiment_id
    try:
        place = {PLACE: artifacts} if artifacts else {}
        return client.create_experiment(name, artifact_location=artifacts, tags=KIND | place | view_tags())
    except MlflowException:
        if existing := client.get_experiment_by_name(name):  # another process was faster
            return existing.experiment_id
        raise
