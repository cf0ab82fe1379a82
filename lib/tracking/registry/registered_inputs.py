"""Registered models that are named in place of a file: `registry:NAME@ALIAS` or `registry:NAME/VERSION`.

DVC does not know what an alias stands for. So in the pipeline, a model that settings name is used as a copy below
data/registry, which DVC watches. A stage that finds none makes it. Once there, a copy stays as it is, until
`python -m stages.store`, with which `make run` begins, or a change by `python -m stages.registry` brings it up to date.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from lib.config.inputs import REGISTERED, REGISTRY, registered_place
from lib.config.load import PARAMS_FILE, load_settings, setting, with_changes
from lib.config.schema import Settings, TrackingSettings
from lib.core.console import show_problems
from lib.core.errors import EarshotError, Problem
from lib.core.files import write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lib.tracking.registry.registered_models import RegisteredModel

NAMES = ("infer.model", "train.load_checkpoint")
"""Settings that may name a registered model."""
CHECKPOINTS = (".pt", ".pth", ".ckpt")
"""Suffixes of files that may be checkpoints of this project."""
ORIGIN = ".registry.json"
"""In a copy's folder: the id of the model, and its name and version. Hidden, since registry.json may be the description
of a checkpoint registry.pt."""


class ChosenModel(NamedTuple):
    """Where a model's files are, and its id if it is a registered one, else ""."""

    path: Path
    model_id: str


class CopiedModel(NamedTuple):
    """A registered model of which a folder holds a copy: its id, and its name and version."""

    id: str
    model: str


def chosen_model(model: str, tracking: TrackingSettings, name: str = "") -> ChosenModel:
    """The files that a path or a reference to a registered model means; they must not be written to.

    Args:
        model: the path or reference.
        tracking: where the registry is.
        name: setting that names the model, "" if none does. In the pipeline, its copy is used, else the registry says
            what the model is now.

    Raises EarshotError if there is no such registered model, or its files cannot be fetched.
    """
    if not model.startswith(REGISTRY):
        return ChosenModel(Path(model), "")
    from lib.tracking.mlflow_store import existing_store
    from lib.tracking.registry.fetched_models import fetch_model

    place = registered_place(name or "model", model)
    in_pipeline = bool(name) and "DVC_STAGE" in os.environ
    if in_pipeline and (copied := _copied_model(place)):
        return ChosenModel(place, copied.id)
    client = existing_store(tracking)
    registered = _registered_model(client, name, model)
    show_problems(_archived(name, model, registered))
    if in_pipeline:
        _copy(client, registered, place)
        path = place
    else:
        path = fetch_model(client, registered.id)
    if (path.is_file() and path.suffix not in CHECKPOINTS) or (path.is_dir() and not any(path.glob("*.pt"))):
        fault = f"is {registered}, which holds no checkpoint that was trained here (*.pt)"
        remedy = (
            f"name another model; an ONNX model can be train.backbone: `python -m stages.registry fetch {registered}`"
        )
        raise EarshotError(_subject(name, model), fault, remedy)
    return ChosenModel(path, registered.id)


def inference_model(settings: Settings, model: str = "") -> ChosenModel:
    """The files of the model to infer with: that one if it is given, else infer.model, else data/models.

    Raises EarshotError as chosen_model.
    """
    if model:
        return chosen_model(model, settings.tracking)
    return chosen_model(settings.infer.model or "data/models", settings.tracking, "infer.model")


def with_start_model(settings: Settings) -> tuple[Settings, str]:
    """Settings whose train.load_checkpoint is a file, also where it names a registered model, and the id of that.

    Raises EarshotError as chosen_model, or if the model is not a single checkpoint.
    """
    from lib.models.model_files import model_files
    from lib.tracking.registry.registered_models import ModelError

    name, reference = "train.load_checkpoint", settings.train.load_checkpoint
    if reference is None or not reference.startswith(REGISTRY):
        return settings, ""
    source = chosen_model(reference, settings.tracking, name)
    files = model_files(source.path)
    if len(files) > 1:
        fault = f"is {len(files)} checkpoints ({files[0].name}, {files[1].name}, ...)"
        raise ModelError(f"{name} = {reference!r}", fault, "register one alone, or give a file")
    file = os.path.relpath(files[0])  # in the project's folder the same on each machine that shares a study
    return with_changes(settings, {name: file}), source.model_id


def update_copies(settings: Settings) -> list[str]:
    """Bring the copies of the registered models that settings name up to date, and remove others.

    Returns a line for each of them. Raises EarshotError as chosen_model.
    """
    named = _references(settings)
    places = {name: registered_place(name, reference) for name, reference in named.items()}
    for place in REGISTERED.glob("*/*/"):
        if place not in places.values() and not place.name.startswith("."):  # what is being copied is hidden
            with _sole_copier(place), _unread(place):
                _remove(place)
    if not named:
        return []
    from lib.tracking.mlflow_store import existing_store

    client = existing_store(settings.tracking)
    lines = []
    for name, reference in named.items():
        registered = _registered_model(client, name, reference)
        show_problems(_archived(name, reference, registered))
        _copy(client, registered, places[name])
        lines.append(f"{name} = {reference} is {registered} -> {places[name]}")
    return lines


def refresh_copies(tracking: TrackingSettings) -> list[Problem]:
    """After a change in a registry: bring the copies that the project in the current folder uses up to date with it.

    Returns what outdated_copies says of them, and a Problem for each that could not be replaced.
    """
    from lib.tracking.mlflow_store import existing_store, store_uri

    if not Path(PARAMS_FILE).is_file():
        return []
    settings = load_settings()
    if store_uri(settings.tracking) != store_uri(tracking):
        return []
    client = existing_store(tracking)
    problems = outdated_copies(client, settings)
    for name, reference in _references(settings).items():
        place = registered_place(name, reference)
        if _copied_model(place):
            try:
                _copy(client, _registered_model(client, name, reference), place)
            except EarshotError as error:
                problems.append(error.problem(lost=False))
    return list(dict.fromkeys(problems))


def outdated_copies(client: "MlflowClient", settings: Settings) -> list[Problem]:
    """A Problem for each copy in use whose name has come to mean another model, none, or one that is archived."""
    from lib.tracking.registry.registered_models import ModelError

    problems = []
    for name, reference in _references(settings).items():
        if copied := _copied_model(registered_place(name, reference)):
            try:
                registered = _registered_model(client, name, reference)
            except ModelError as error:
                problems.append(error.problem(lost=False))
                continue
            if registered.id != copied.id:
                fault = f"is now {registered}, used was {copied.model}"
                problems.append(Problem(f"{name} = {reference}", fault, "run `make run`", lost=False))
            problems += _archived(name, reference, registered)
    return problems


def _references(settings: Settings) -> dict[str, str]:
    """References to registered models by the settings that they are the values of."""
    named = {name: setting(settings, name) or "" for name in NAMES}
    return {name: value for name, value in named.items() if value.startswith(REGISTRY)}


def _registered_model(client: "MlflowClient", name: str, reference: str) -> "RegisteredModel":
    """The model that a reference means now. Raises ModelError if there is none."""
    from lib.core.files import without_password
    from lib.tracking.registry.model_queries import model_at
    from lib.tracking.registry.registered_models import ModelError

    try:
        return model_at(client, reference.removeprefix(REGISTRY).strip())
    except ModelError:
        fault = f"is not a registered model of {without_password(client.tracking_uri)}"
        remedy = "give one that `python -m stages.registry list` shows, or set tracking.uri to the store that has it"
        raise ModelError(_subject(name, reference), fault, remedy) from None


def _archived(name: str, reference: str, model: "RegisteredModel") -> list[Problem]:
    """A Problem if a model is archived."""
    remedy = f"name another model, or run `python -m stages.registry unarchive {model}`"
    return [Problem(_subject(name, reference), "is archived", remedy, lost=False)] if model.archived else []


def _subject(name: str, reference: str) -> str:
    return f"{name} = {reference}" if name else reference


def _copy(client: "MlflowClient", model: "RegisteredModel", place: Path) -> None:
    """Copy the files of a model to a folder, which they then are alone in, unless it is of that model."""
    from lib.tracking.registry.fetched_models import copy_model

    place.parent.mkdir(parents=True, exist_ok=True)
    with _sole_copier(place):
        if (copied := _copied_model(place)) and copied.id == model.id:
            return
        part = place.with_name(f".{place.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # what a killed process left
        copy_model(client, model.id, part)
        write_json(part / ORIGIN, {"id": model.id, "model": str(model)})
        with _unread(place):
            _remove(place)
            part.rename(place)


def _remove(place: Path) -> None:
    """Remove a copy. It goes all at once, or a killed process would leave half of it, which would be used."""
    part = place.with_name(f".{place.name}.old.part")
    shutil.rmtree(part, ignore_errors=True)  # what a killed process left
    if place.exists():
        place.rename(part)
        shutil.rmtree(part, ignore_errors=True)


def _sole_copier(place: Path) -> FileLock:
    """The lock of whoever writes or removes this copy."""
    return FileLock(place.with_name(f".{place.name}.lock"))


@contextmanager
def _unread(place: Path) -> Iterator[None]:
    """Keep DVC from running a stage that reads this copy while the block lasts: it would record a model that the stage
    did not use. A stage makes its own copy before it reads it.

    Raises EarshotError if such a stage is running.
    """
    from dvc.fs import localfs
    from dvc.lock import LockError
    from dvc.rwlock import rwlock

    locks = Path(".dvc/tmp").absolute()
    if "DVC_STAGE" in os.environ or not locks.is_dir():
        yield
        return
    try:
        with rwlock(str(locks), localfs, "python -m stages.store", [], [str(place.absolute())], False):
            yield
    except LockError:
        fault = "stays as it is, since a pipeline that is running uses it"
        raise EarshotError(place, fault, "wait for its end, then run `make run`") from None


def _copied_model(place: Path) -> CopiedModel | None:
    """The model that a folder holds a copy of; None if it holds none."""
    try:
        origin = json.loads((place / ORIGIN).read_text(encoding="utf-8"))
        return CopiedModel(str(origin["id"]), str(origin["model"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
