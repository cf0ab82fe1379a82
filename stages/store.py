"""Make the MLflow store of the project: settings in → mlflow.db (or an experiment on the server that is set)."""

from lib.config import load_settings
from lib.console import run_stage


def store(params: str = "params.yaml", **overrides):
    """Make the MLflow store and its experiment, if they are not there yet.

    Args:
        params: YAML file of settings.
        overrides: any setting, as --key (of section tracking) or --section.key.
    """
    settings = load_settings(params, overrides, section="tracking")
    from lib.tracking.store import ensure_store, store_uri

    ensure_store(store_uri(settings.tracking), settings.tracking.experiment)


if __name__ == "__main__":
    run_stage(store)
