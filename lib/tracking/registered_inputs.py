"""Registered models that settings name in place of a file: `registry:NAME@ALIAS` or `registry:NAME/VERSION`.

DVC does not know what an alias stands for. So in the pipeline a model is used as a copy below data/inputs, which DVC
watches like any file there. `python -m stages.store`, with which `make run` begins, brings the copies up to date; a
stage that finds none makes it.
"""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from lib.config.inputs import REGISTERED, REGISTRY, registered_place
from lib.config.load import setting, with_changes
from lib.config.schema import Settings, TrackingSettings
from lib.core.files import write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lib.tracking.registered_models import RegisteredModel

NAMES = ("infer.model", "train.load_checkpoint")
"""Settings that may name a registered model."""
ORIGIN = ".registry.json"
"""In a copy's folder: the id of the model, and its name and version. Hidden, since registry.json may be the description
of a checkpoint registry.pt."""


class ChosenModel(NamedTuple):
    """Where a model's files are, and its id if it is a registered one, else ""."""

    path: Path
    model_id: str


def chosen_model(model: str, tracking: TrackingSettings) -> ChosenModel:
    """The files that a path or a reference to a registered model means.

    In the pipeline a registered model is used as the copy in data/inputs has it, else as the registry has it now.

    Raises EarshotError if there is no such registered model, or its files cannot be had.
    """
    if not model.startswith(REGISTRY):
        return ChosenModel(Path(model), "")
    from lib.tracking.fetched_models import fetch_model
    from lib.tracking.mlflow_store import open_experiment
    from lib.tracking.model_queries import model_at

    place = registered_place(model)
    if "DVC_STAGE" in os.environ and (copied := _copied_id(place)):
        return ChosenModel(place, copied)
    client, _ = open_experiment(tracking)
    registered = model_at(client, model.removeprefix(REGISTRY).strip())
    if "DVC_STAGE" in os.environ:
        _copy(client, registered, place)
        return ChosenModel(place, registered.id)
    return ChosenModel(fetch_model(client, registered.id), registered.id)


def with_start_model(settings: Settings) -> tuple[Settings, str]:
    """Settings whose train.load_checkpoint is a file, also where it names a registered model, and the id of that.

    Raises EarshotError as chosen_model, or if the model is not a single checkpoint.
    """
    from lib.models.model_files import model_files
    from lib.tracking.registered_models import ModelError

    reference = settings.train.load_checkpoint
    if reference is None or not reference.startswith(REGISTRY):
        return settings, ""
    source = chosen_model(reference, settings.tracking)
    files = model_files(source.path)
    if len(files) > 1:
        fault = f"is {len(files)} checkpoints ({files[0].name}, {files[1].name}, ...)"
        raise ModelError(f"train.load_checkpoint = {reference!r}", fault, "register one alone, or give a file")
    return with_changes(settings, {"train.load_checkpoint": str(files[0])}), source.model_id


def update_copies(settings: Settings) -> list[str]:
    """Bring the copies of the registered models that settings name up to date, and remove others.

    Returns a line for each of them. Raises EarshotError as chosen_model.
    """
    named = {name: setting(settings, name) or "" for name in NAMES}
    references = {name: value for name, value in named.items() if value.startswith(REGISTRY)}
    places = {registered_place(reference) for reference in references.values()}
    for place in REGISTERED.glob("*/"):
        if place not in places and not place.name.startswith("."):  # what another process is copying is hidden
            with _sole_copier(place):
                shutil.rmtree(place, ignore_errors=True)
    if not references:
        return []
    from lib.tracking.mlflow_store import open_experiment
    from lib.tracking.model_queries import model_at

    client, _ = open_experiment(settings.tracking)
    lines = []
    for name, reference in references.items():
        registered, place = model_at(client, reference.removeprefix(REGISTRY).strip()), registered_place(reference)
        _copy(client, registered, place)
        lines.append(f"{name} = {reference} is {registered} -> {place}")
    return lines


def _copy(client: "MlflowClient", model: "RegisteredModel", place: Path) -> None:
    """Copy the files of a model to a folder, which they then are alone in, unless it is of that model."""
    from lib.tracking.fetched_models import copy_model

    place.parent.mkdir(parents=True, exist_ok=True)
    with _sole_copier(place):
        if _copied_id(place) == model.id:
            return
        part = place.with_name(f".{place.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # what a killed process left
        copy_model(client, model.id, part)
        write_json(part / ORIGIN, {"id": model.id, "model": str(model)})
        shutil.rmtree(place, ignore_errors=True)
        part.rename(place)


def _sole_copier(place: Path) -> FileLock:
    """The lock of whoever writes or removes this copy."""
    return FileLock(place.with_name(f".{place.name}.lock"))


def _copied_id(place: Path) -> str:
    """The id of the model that a folder holds a copy of; "": none."""
    try:
        return str(json.loads((place / ORIGIN).read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
