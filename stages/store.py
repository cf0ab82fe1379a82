"""Make the MLflow store of the project, and copies of the registered models that the settings name."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings


@stage("tracking")
def store(settings: Settings) -> None:
    """Make the MLflow store and its experiment, unless they exist, and look up the registered models in the settings.

    Where infer.model or train.load_checkpoint names a registered model, its files are copied to data/registry, where
    DVC notices when the name stands for another model.

    Examples:
        python -m stages.store
        python -m stages.store --uri http://server:5000 --experiment owls
    """
    from lib.tracking.mlflow_store import ensure_store, store_uri
    from lib.tracking.registry.registered_inputs import update_copies

    ensure_store(store_uri(settings.tracking), settings.tracking.experiment)
    for line in update_copies(settings):
        print(line)


if __name__ == "__main__":
    run_stage(store)
