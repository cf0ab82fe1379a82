"""Files of models from elsewhere, checked before they are kept: none may run code once loaded, or need other files.

A pickle is a program, so tensors must come as torch's reader of plain data admits them, as safetensors, as ONNX or in a
format that cannot name code. Files are told by their content, too: what is called `weights.bin` may be anything.
"""

import json
import pickle
import tempfile
import warnings
import zipfile
from pathlib import Path

import yaml

from lib.core.archives import archive_kind, unpack, zip_entries
from lib.core.compressed_files import SUFFIXES, compression_of, decompress_file
from lib.core.errors import EarshotError, SettingsError
from lib.core.files import open_regular, printable, read_text
from lib.core.unpacking_budget import UnpackingBudget
from lib.models.keras_files import CONFIG, check_hdf5, check_keras_config
from lib.models.onnx_files import external_files
from lib.models.pickle_files import is_pickle

PICKLES = {".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"}
TENSORS = {".pt", ".pth", ".ckpt", ".bin"}
"""Suffixes of files that torch writes."""
LOADERS = {"lib.tracking.pyfunc_model", "mlflow.onnx"}
"""Modules that an MLmodel file may name: they load tensors and plain data only."""
CODE = ("code", "model_code_path", "python_model", "cloudpickle_version", "pickled_model")
"""Keys by which an MLmodel file names code, or a pickle."""
MLMODEL = "MLmodel"
MOST_FILES = 10_000
MOST_TENSORS = 20_000
LARGEST_HEADER = 64 * 2**20
"""Bytes of what describes the tensors of a file."""
LARGEST_TEXT = 2**20
DEEPEST = 3
"""Archives inside of archives."""


def check_weight_files(folder: Path, budget: UnpackingBudget | None = None) -> None:
    """Raise EarshotError unless all files of a folder may be kept as those of a model.

    budget: of the archive that they came out of; None: they came out of none.
    """
    _check_folder(folder, "", 0, budget or UnpackingBudget.of(folder))


def _check_folder(folder: Path, within: str, depth: int, budget: UnpackingBudget) -> None:
    """within: the archive that was unpacked to the folder, as a prefix of the files' names."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    if not files:
        raise EarshotError(within.rstrip(":") or "the model", "holds no file", "give the weights of a model")
    if len(files) > MOST_FILES:
        raise EarshotError(within.rstrip(":") or "the model", f"holds more than {MOST_FILES:,} files", "pack them")
    for file in files:
        name = within + printable(file.relative_to(folder).as_posix())
        try:
            _check_file(file, name, depth, budget)
        except OSError as error:
            raise EarshotError(name, f"cannot be read ({error.strerror or error})", "check the file") from None


def _check_file(file: Path, name: str, depth: int, budget: UnpackingBudget) -> None:
    suffix = file.suffix.lower()
    if file.name == MLMODEL:
        _check_mlmodel(file, name)
    elif suffix == ".safetensors":
        _check_safetensors(file, name)
    elif suffix == ".onnx":
        _check_onnx(file, name)
    elif suffix in PICKLES:
        raise _of_pickle(name)
    elif suffix == ".npy":
        _check_array(file, name)
    else:
        if file.name == CONFIG:
            check_keras_config(file, name)
        check_hdf5(file, name)
        is_zip = _is_zip(file)
        holds_tensors = is_zip and _holds_tensors(file, name)
        if holds_tensors or suffix in TENSORS or is_pickle(file):
            _check_tensors(file, name, is_zip)
        if not holds_tensors:
            _check_unpacked(file, name, is_zip, depth, budget)


def _is_zip(file: Path) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # one of several parts, which nothing can read
        return False


def _of_pickle(name: str) -> EarshotError:
    fault = "holds a pickle, which may run any code when it is loaded"
    return EarshotError(name, fault, "save tensors and plain data: torch.save(model.state_dict(), ...) or safetensors")


def _holds_tensors(file: Path, name: str) -> bool:
    """Whether a zip file is one that torch wrote. Raises EarshotError if there is code beside the tensors."""
    try:
        entries = zip_entries(file)
    except EarshotError as error:
        raise EarshotError(name, error.fault, error.remedy) from None
    plain = [entry for entry in entries if entry.rpartition("/")[2] == "data.pkl"]
    if len(plain) != 1 or plain[0].count("/") > 1:
        return False
    root = plain[0].removesuffix("data.pkl")
    others = [entry for entry in entries if entry != plain[0] and Path(entry).suffix.lower() in PICKLES]
    if others or any(entry.startswith(f"{root}code/") for entry in entries):
        raise EarshotError(name, "holds code (TorchScript)", "save the model's state_dict alone")
    if entries[plain[0]] > LARGEST_HEADER:
        raise EarshotError(name, "has too large a table of its tensors", "save the model's state_dict alone")
    return True


def _check_tensors(file: Path, name: str, is_zip: bool) -> None:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as those on unusual protocols
            torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError:
        raise _of_pickle(name) from None
    except Exception as error:  # torch's reader raises exceptions of any kind on other files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(name, f"holds no tensors that can be read ({reason})", "save them again") from None


def _check_unpacked(file: Path, name: str, is_zip: bool, depth: int, budget: UnpackingBudget) -> None:
    """Check what is in a file that is an archive, or a single file compressed."""
    kind = ".zip" if is_zip else archive_kind(file)
    if kind is None and compression_of(file) is None:
        return
    if depth == DEEPEST:
        raise EarshotError(name, f"is an archive inside of {DEEPEST} others", "pack it once")
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as scratch:
        inner = Path(scratch, "inner")
        try:
            if kind is not None:
                unpack(file, inner, budget, kind)
            else:
                inner.mkdir()
                decompress_file(file, inner / (file.stem if file.suffix.lower() in SUFFIXES else file.name), budget)
        except EarshotError as error:
            raise EarshotError(name, error.fault, error.remedy) from None
        _check_folder(inner, f"{name}:", depth + 1, budget)


def _check_array(file: Path, name: str) -> None:
    from numpy.lib import format as npy

    try:
        with file.open("rb") as opened:
            version = npy.read_magic(opened)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            _, _, kind = read_header(opened)
    except Exception as error:  # numpy's reader raises exceptions of any kind on other files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(name, f"holds no array that can be read ({reason})", "save it again") from None
    if kind.hasobject:
        raise _of_pickle(name)


def _check_safetensors(file: Path, name: str) -> None:
    from safetensors import SafetensorError, safe_open

    remedy = "save the tensors again with safetensors"
    with open_regular(file) as opened:
        n_bytes = int.from_bytes(opened.read(8), "little")
        if n_bytes > min(LARGEST_HEADER, file.stat().st_size - 8):
            raise EarshotError(name, "is not a safetensors file", remedy)
        header = opened.read(n_bytes)
    try:
        tensors = json.loads(header).keys() - {"__metadata__"}
        if len(tensors) > MOST_TENSORS:
            raise EarshotError(name, f"holds {len(tensors):,} tensors, more than {MOST_TENSORS:,}", remedy)
        with safe_open(file, framework="np"):  # which checks shapes, types and places of all tensors
            pass
    except (ValueError, RecursionError, AttributeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(name, f"holds tensors that do not fit the file ({reason})", remedy) from None


def _check_onnx(file: Path, name: str) -> None:
    try:
        external_files(str(file))
    except SettingsError as error:
        raise EarshotError(name, error.fault, error.remedy) from None


def _check_mlmodel(file: Path, name: str) -> None:
    remedy = "give the files of the model without it"
    if file.stat().st_size > LARGEST_TEXT:
        raise EarshotError(name, "is not an MLmodel file", remedy)
    try:
        flavors = yaml.safe_load(read_text(file))["flavors"]
        contents = list(flavors.values())
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, KeyError, AttributeError):  # ValueError: 31 February
        raise EarshotError(name, "is not an MLmodel file", remedy) from None
    for content in contents:
        loader = content.get("loader_module") if isinstance(content, dict) else None
        if loader is not None and not (isinstance(loader, str) and loader in LOADERS):
            raise EarshotError(name, f"names a loader of its own ({printable(str(loader)[:100])})", remedy)
        if found := [key for key in CODE if isinstance(content, dict) and content.get(key)]:
            raise EarshotError(name, f"names code of its own ({found[0]})", remedy)
