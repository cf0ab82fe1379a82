"""Files of a registered model on this machine, with its archives unpacked where that is wanted."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lib.core.archives import is_archive, unpack
from lib.core.digests import digest_known_file
from lib.core.errors import EarshotError
from lib.core.files import read_text, write_json
from lib.tracking.registry.imported_models import PACKAGE, file_name_in
from lib.tracking.registry.model_cache import UNPACKED
from lib.tracking.registry.model_queries import find_model
from lib.tracking.registry.model_weights import companions_of, is_whole, local_weights

if TYPE_CHECKING:
    from mlflow import MlflowClient


def fetch_model(client: "MlflowClient", model_id: str, extract: bool | None = None, force: bool = False) -> Path:
    """The weights of a model on this machine: a file, or a folder if there are several or they were unpacked.

    What belongs to a file of weights, such as a checkpoint's description, lies beside it and does not count.

    Args:
        client: of the store.
        model_id: of the model.
        extract: unpack an archive; None: only that of a package.
        force: fetch and unpack it again.

    Raises EarshotError if the files cannot be fetched, are not those that were stored, or must not be unpacked.
    """
    model, folder = find_model(client, model_id), local_weights(client, model_id, force)
    files = files_in(folder)
    named = [path for path in files if path.name == file_name_in(model.url)]
    companions = {companion for path in files for companion in companions_of(path)}
    weights = named or [path for path in files if path not in companions]
    if len(weights) != 1:
        return folder
    file = weights[0]
    wants_files = PACKAGE in model.system_tags if extract is None else extract
    return _unpacked(file, folder, force) if wants_files and is_archive(file) else file


def files_in(folder: Path) -> list[Path]:
    """The files of a folder and of those in it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def copy_model(
    client: "MlflowClient", model_id: str, folder: str | Path, extract: bool | None = None, force: bool = False
) -> Path:
    """Copy the files of a model into a new folder; returns where its weights are, as fetch_model.

    What lies beside a single file, such as a checkpoint's description, is copied with it: the model needs it.

    Raises EarshotError as fetch_model, or if the folder holds files.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise EarshotError(target, "exists", "give a new folder")
    weights = fetch_model(client, model_id, extract, force)
    source = weights if weights.is_dir() else local_weights(client, model_id)
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target / weights.relative_to(source)


def _unpacked(archive: Path, folder: Path, force: bool) -> Path:
    """The folder of an archive's files, beside the folder that it is in; unpacked again if they have changed."""
    target = folder.with_name(folder.name + UNPACKED)
    record = target.with_name(f".{target.name}.json")
    with FileLock(target.with_name(f".{target.name}.lock")):
        if force or not is_whole(target, _recorded_digests(record)):
            record.unlink(missing_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            files = unpack(archive, target)
            write_json(record, {file.relative_to(target).as_posix(): digest_known_file(file) for file in files})
    return target


def _recorded_digests(record: Path) -> dict[str, str]:
    """Digests of the files that were unpacked; {} if that never came to its end."""
    try:
        return json.loads(read_text(record))
    except (OSError, ValueError):
        return {}
