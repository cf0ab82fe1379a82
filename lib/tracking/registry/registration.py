"""Models of pipeline runs: stored with their card so that MLflow loads them, and registered under a name."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lib.config.schema import Settings
from lib.core.files import without_password
from lib.models.description import Description, read_description
from lib.models.model_files import all_files, model_files
from lib.sound.classes import ClassList, read_excluded
from lib.tracking.data_versions import flatten
from lib.tracking.pyfunc_model import write_pyfunc
from lib.tracking.registry.model_card import JSON, LONGEST, ModelCard, Provenance, make_card, write_card
from lib.tracking.registry.model_design import ModelDesign
from lib.tracking.registry.model_history import model_history
from lib.tracking.registry.model_versions import create_version
from lib.tracking.registry.model_weights import WEIGHTS, scratch_folder, sha256_of_files, store_model, stored_file
from lib.tracking.registry.registered_models import FRAMEWORK, TASK, ModelError, digests_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient


def store_run_model(
    client: "MlflowClient",
    experiment_id: str,
    run_id: str,
    run_name: str,
    models: str | Path,
    settings: Settings,
    figures: Mapping[str, float],
    origin: Provenance,
) -> str:
    """Store a checkpoint, or a folder of them, as the model of a run; returns its id.

    Args:
        client: of the store.
        experiment_id, run_id, run_name: of the run.
        models: the folder, or the checkpoint, which is stored with its description.
        settings: with which its labels were made.
        figures: of the evaluation.
        origin: of the model.

    Raises EarshotError, with nothing left in the store, if there is no model or it cannot be stored.
    """
    files = model_files(models)
    descriptions = [read_description(file) for file in files]
    with scratch_folder() as scratch:
        folder = scratch / "model"
        for place, file in all_files(models).items():
            target = folder / WEIGHTS / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        card = make_card(
            settings.tracking.register_as or run_name,
            descriptions,
            settings.infer,
            figures,
            sha256_of_files(folder / WEIGHTS),
            origin,
        )
        write_card(folder, card)
        _design(settings, descriptions[0]).write(folder)
        excluded, _ = read_excluded(settings.infer.exclude, ClassList(descriptions[0].classes))
        write_pyfunc(folder, WEIGHTS, settings, excluded)
        params = flatten({"audio": descriptions[0].audio.model_dump(), "classes": descriptions[0].class_names})
        return store_model(client, experiment_id, run_name, folder, run_id, params)


def _design(settings: Settings, description: Description) -> ModelDesign:
    config = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return ModelDesign.of(without_password(config), labels={name: i for i, name in enumerate(description.class_names)})


def register_run_model(client: "MlflowClient", run_id: str, name: str) -> None:
    """Register the model of a run as the next version of a name, a draft, unless it is, or was and has been removed.

    Raises EarshotError if the model has no card, or the name is not allowed.
    """
    outputs = client.get_run(run_id).outputs
    if not outputs or not outputs.model_outputs:
        return
    model_id = outputs.model_outputs[0].model_id
    with suppress(ModelError):
        model_history(client, model_id)
        return
    card = stored_card(client, model_id)
    facts = card.tags() | {TASK: run_id, FRAMEWORK: "PyTorch"} | digests_tag(card.weights)
    create_version(client, name, model_id, "registered by evaluate", facts=facts, description=card.markdown(LONGEST))


def stored_card(client: "MlflowClient", model_id: str) -> ModelCard:
    """The card of a model in the store, whose weights are not fetched for it. Raises EarshotError if it has none."""
    with scratch_folder() as scratch:
        return ModelCard.model_validate_json(stored_file(client, model_id, JSON, scratch).read_bytes())
