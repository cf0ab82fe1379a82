"""Registered models that runs take as inputs."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lib.tracking.mlflow_store import raise_unless_refused
from lib.tracking.registry.imported_models import file_name_in
from lib.tracking.registry.model_changes import note_connection
from lib.tracking.registry.model_queries import current_version, find_model
from lib.tracking.registry.registered_models import ModelError, RegisteredModel

if TYPE_CHECKING:
    from mlflow import MlflowClient

INPUT = "earshot.input_model."
"""How tags of runs begin whose values are ids of input models, their names behind it."""
UNNAMED = "Input Model"


def connect_model(
    client: "MlflowClient",
    model: RegisteredModel | str,
    run_id: str,
    name: str | None = None,
    ignore_overrides: bool = False,
) -> RegisteredModel:
    """Make a model an input of a run; returns it, or the model that the run's tag names in its place.

    Args:
        client: of the store.
        model: a version, or an id; of several versions, the last changed one notes it.
        run_id: of the run.
        name: of the input; default: that of the file of weights, or UNNAMED.
        ignore_overrides: use this model whatever the tag says.

    Raises ModelError if there is no such run or model, or the name cannot be one.
    """
    from mlflow.entities import LoggedModelInput
    from mlflow.exceptions import MlflowException

    model = find_model(client, model) if isinstance(model, str) else current_version(client, model)
    name = name or re.sub(r"[^\w.\- ]", "_", Path(file_name_in(model.url)).stem) or UNNAMED
    if not re.fullmatch(r"[\w.\- ]{1,200}", name):
        raise ModelError(f"name = {name!r}", "is not a name of an input", "use letters, digits, spaces and _ - .")
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise_unless_refused(error)
        raise ModelError(run_id, "is not a run of the store") from None
    chosen = run.data.tags.get(INPUT + name, model.id)
    if chosen != model.id and not ignore_overrides:
        model = find_model(client, chosen)
    known = [each.model_id for each in run.inputs.model_inputs] if run.inputs else []
    if model.id not in known:
        client.log_inputs(run_id, models=[LoggedModelInput(model.id)])
    elif run.data.tags.get(INPUT + name) == model.id:  # all is noted
        return model
    client.set_tag(run_id, INPUT + name, model.id)
    note_connection(client, model, run_id, name)
    return model
