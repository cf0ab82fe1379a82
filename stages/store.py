"""Make the MLflow store of the project: settings -> mlflow.db (or an experiment on the server that is set)."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings


@stage("tracking")
def store(settings: Settings) -> None:
    """Make the MLflow store and its experiment, unless they exist."""
    from lib.tracking.mlflow_store import ensure_store, store_uri

    ensure_store(store_uri(settings.tracking), settings.tracking.experiment)


if __name__ == "__main__":
    run_stage(store)
