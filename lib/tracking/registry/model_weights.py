"""The files of models in MLflow's store: taken in only if they can be read back, and kept here as verified copies.

A model of the store, MLflow's LoggedModel, has its files below `weights/`, and beside them their SHA-256 digests.
Nothing is pickled, and nothing refers to where it came from.
"""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from filelock import FileLock

from lib.core.archives import is_archive, unpack
from lib.core.digests import digest_known_file, digest_of
from lib.core.downloads import fetch, is_url, sha256_of
from lib.core.errors import EarshotError, SettingsError, store_fault
from lib.core.files import new_folder, project_root, write_json
from lib.core.unpacking_budget import UnpackingBudget
from lib.core.urls import url_without_query
from lib.models.description import description_file
from lib.models.onnx_card import card_file
from lib.models.onnx_files import external_files
from lib.models.weight_files import check_weight_files
from lib.tracking.registry.logged_models import (
    ABANDONED,
    artifacts_of,
    delete_model,
    finish_model,
    remove_abandoned_models,
    unfinished_tag,
)
from lib.tracking.registry.model_cache import copy_lock, remove_unused_copies, use_copy

if TYPE_CHECKING:
    from mlflow import MlflowClient

CACHE = Path(".earshot/models")
"""Verified copies by content, and what is on its way to the store; in the project's folder."""
DOWNLOADS = Path(".earshot/downloads")
"""What was fetched of URLs so far; a transfer that was killed is resumed."""
WEIGHTS = "weights"
FILES = "earshot/files.json"
"""SHA-256 digests of a model's files, by path below WEIGHTS."""


@contextmanager
def collected_weights(
    url_or_path: str | Path,
    is_package: bool = False,
    *,
    sha256: str | None = None,
    allow_private: bool = False,
) -> Iterator[Path]:
    """Copy a file, folder or URL for store_model: to WEIGHTS in a folder, which the block may add to.

    Args:
        url_or_path: what holds the weights. What belongs to a single file, an ONNX model's tensors and card or a
            checkpoint's description, is taken in with it.
        is_package: unpack it if it is an archive.
        sha256: expected SHA-256 digest of the file, 64 hex digits; None: not checked.
        allow_private: whether a URL may lead to a private address, see lib.core.downloads.

    Raises EarshotError if the files cannot be fetched, may run code or are not whole (see lib.models.weight_files).
    """
    with scratch_folder() as scratch:
        folder = scratch / "model"
        weights = folder / WEIGHTS
        folder.mkdir()
        if is_url(str(url_or_path)):
            with _fetched(str(url_or_path), sha256, allow_private) as source:
                budget = _take(source, weights, is_package)
        else:
            path = Path(os.path.abspath(Path(url_or_path).expanduser()))
            if not path.exists():
                raise EarshotError(url_or_path, "no such file or folder", "check the path")
            budget = _take(fetch(path.as_uri(), scratch / "copy", sha256), weights, is_package)
            _copy_companions(path, weights)
        check_weight_files(weights, budget)
        if checkpoints := list(weights.rglob("*.pt")):
            from lib.models.checkpoints import ensure_description  # with torch, which takes seconds

            for checkpoint in checkpoints:
                ensure_description(checkpoint)
        yield folder


def store_model(
    client: "MlflowClient",
    experiment_id: str,
    name: str,
    folder: Path,
    run_id: str | None = None,
    params: Mapping[str, str] | None = None,
) -> str:
    """Store a folder as a model, whose weights are in its folder WEIGHTS, and read them back; returns the model's id.

    The digests of the weights are added to the folder. A model of no run must be registered within a day, or it is
    taken for what a killed process left, see lib.tracking.registry.logged_models. params: of the model, as MLflow's
    page shows them.

    Raises EarshotError, with nothing left in the store, if what the store gives back is not the same, or if it gives
    nothing.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    digests = sha256_of_files(folder / WEIGHTS)
    if not digests:
        raise EarshotError(name, "holds no file", "give the weights of a model")
    write_json(folder / FILES, digests)
    try:
        remove_abandoned_models(client, experiment_id)
        model = client.create_logged_model(
            experiment_id,
            name=valid_name(name),
            source_run_id=run_id,
            tags=unfinished_tag("storing"),
            params=dict(params or {}),
        )
    except MlflowException as error:
        raise _not_stored(name, error) from None
    try:
        client.log_model_artifacts(model.model_id, str(folder))
        with scratch_folder() as scratch:
            stored = stored_file(client, model.model_id, WEIGHTS, scratch)
            given = sha256_of_files(stored)
            if given != digests:
                lost = next((place for place, digest in digests.items() if given.get(place) != digest), WEIGHTS)
                misread = re.search("[#%?]", lost)  # MLflow puts names into URLs as they are
                remedy = f"rename it without {misread[0]}" if misread else "check its disk"
                raise EarshotError(name, f"the store does not give back {lost} as it was put into it", remedy)
        client.finalize_logged_model(model.model_id, "READY")
        if run_id is not None:
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
            finish_model(client, model.model_id)
    except BaseException as error:
        delete_model(client, model.model_id)
        if isinstance(error, (MlflowException, OSError)):
            raise _not_stored(name, error) from None
        raise
    return model.model_id


def local_weights(client: "MlflowClient", model_id: str, force: bool = False) -> Path:
    """The folder of a model's files here, which are those that were stored; it must not be written to.

    They are fetched once and verified each time; digests of files that have not changed are known. Models of the same
    content share a folder. It stays until this process ends, and at least a day, see lib.tracking.registry.model_cache.

    force: fetch them again.

    Raises EarshotError if the store does not have the model, or other files than were stored.
    """
    with scratch_folder() as scratch:
        digests = _stored_digests(client, model_id, scratch)
        folder = project_root().absolute() / CACHE / digest_of(digests)
        with copy_lock(folder):
            must_fetch = force or not is_whole(folder, digests)
            if must_fetch:
                stored = stored_file(client, model_id, WEIGHTS, scratch)
                if sha256_of_files(stored) != digests:
                    fault = "the files in the store are not those that were stored"
                    raise EarshotError(model_id, fault, "import the model again, or restore the store's files")
                if folder.exists():
                    folder.rename(scratch / "replaced")
                with new_folder(folder) as part:
                    shutil.copytree(stored, part, dirs_exist_ok=True, copy_function=shutil.copyfile)
            use_copy(folder)
    if must_fetch:
        remove_unused_copies(folder.parent)
    return folder


def _take(source: Path, weights: Path, is_package: bool) -> UnpackingBudget:
    """Move what was fetched to a folder, unpacked if it is a package; returns what may still be unpacked of it."""
    budget = UnpackingBudget.of(source)
    if source.is_dir():
        source.rename(weights)
    elif is_package and is_archive(source):
        unpack(source, weights, budget)
    else:
        weights.mkdir()
        source.rename(weights / source.name)
    return budget


def companions_of(path: Path) -> list[Path]:
    """Files that belong to a file of weights: a checkpoint's description, an ONNX model's card and tensors.

    Raises EarshotError if an ONNX model's tensors are missing or lie outside of its folder.
    """
    companions = [description_file(path)] if path.suffix == ".pt" else []
    if path.suffix == ".onnx":
        try:
            companions = [card_file(path), *external_files(str(path))]
        except SettingsError as error:
            raise EarshotError(path, error.fault, error.remedy) from None
    return list(filter(Path.is_file, companions))


def _copy_companions(path: Path, weights: Path) -> None:
    """Copy what belongs to a single file."""
    for companion in companions_of(path) if path.is_file() else ():
        target = weights / companion.relative_to(path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(companion, target)


@contextmanager
def _fetched(url: str, sha256: str | None, allow_private: bool) -> Iterator[Path]:
    """What a URL gives, to be moved away while the block lasts; an interrupted transfer is resumed."""
    folder = project_root().absolute() / DOWNLOADS / digest_of(url_without_query(url))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")) as lock:
        try:
            source = fetch(url, folder, sha256, allow_private)
            try:
                yield source
            finally:  # also of what is refused
                shutil.rmtree(folder)
        finally:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
            Path(lock.lock_file).unlink(missing_ok=True)


def valid_name(name: str) -> str:
    """A name that MLflow allows for a model: letters, digits, `_` and `-`."""
    return re.sub(r"[^\w\-]", "-", name)


def holds_file(client: "MlflowClient", model_id: str, sha256: str) -> bool:
    """Whether a file of a model has that digest. Raises EarshotError if the store does not say."""
    return sha256.lower() in stored_digests(client, model_id).values()


def stored_digests(client: "MlflowClient", model_id: str) -> dict[str, str]:
    """SHA-256 of a model's files by path, as they were when it was stored. Raises EarshotError if it has none."""
    with scratch_folder() as scratch:
        return _stored_digests(client, model_id, scratch)


def _stored_digests(client: "MlflowClient", model_id: str, scratch: Path) -> dict[str, str]:
    """SHA-256 of a model's files, as they were when it was stored."""
    try:
        file = stored_file(client, model_id, FILES, scratch)
        digests = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        digests = {}
    paths = [PurePosixPath(path) for path in digests]
    if not digests or any(path.is_absolute() or ".." in path.parts for path in paths):
        fault = "was not stored with its files' digests"
        raise EarshotError(model_id, fault, "run evaluate again, or import its files")
    return digests


def stored_file(client: "MlflowClient", model_id: str, path: str, scratch: Path) -> Path:
    """An artifact of a model: where the store has it if it is on this machine, else a copy. Raises EarshotError."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    try:
        artifacts = artifacts_of(client, model_id)
        if isinstance(artifacts, LocalArtifactRepository):
            return Path(artifacts.download_artifacts(path))
        target = scratch / uuid.uuid4().hex
        target.mkdir()
        return Path(artifacts.download_artifacts(path, str(target)))
    except (MlflowException, OSError) as error:
        fault = f"its files cannot be read ({store_fault(error)})"
        raise EarshotError(model_id, fault, "check the MLflow store") from None


def _not_stored(name: str, error: Exception) -> EarshotError:
    return EarshotError(name, f"cannot be stored ({store_fault(error)})", "check the MLflow store")


def sha256_of_files(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a folder, by path in it."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def is_whole(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether a folder holds these files and no others, of which there must be one.

    digests: SHA-256 of each by its path in the folder, or the beginning of it that digest_known_file gives.
    """
    try:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
        # digest_known_file need not read files that have not changed
        return (
            bool(files)
            and files.keys() == digests.keys()
            and all(digests[place].startswith(digest_known_file(path)) for place, path in files.items())
        )
    except OSError:
        return False


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is removed; those of killed processes are removed once they are a day old."""
    cache = project_root().absolute() / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    for part in cache.glob(".*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED:
                shutil.rmtree(part)
    scratch = cache / f".{uuid.uuid4().hex}.part"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
