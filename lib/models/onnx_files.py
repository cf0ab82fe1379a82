"""ONNX files as they lie on disk: with their card, and maybe with tensors in files beside them."""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lib.config.setting_values import ONNX
from lib.core.digests import digest_known_file, digest_of, state_of
from lib.core.errors import SettingsError
from lib.core.files import read_bytes
from lib.models.onnx_card import OnnxOrigin, read_card

if TYPE_CHECKING:
    from onnx import ModelProto

LARGEST = 2**31 - 1
"""Bytes of a model in one piece, a limit of protocol buffers."""


def onnx_origin(path: str) -> OnnxOrigin:
    """What is known of an ONNX file without loading it. Raises SettingsError if it or its card cannot be used."""
    card = read_card(path)
    try:
        parts = [Path(path), *external_files(path)]
        digest = digest_of([*map(digest_known_file, parts), card.model_dump()])
    except OSError as error:
        raise SettingsError(_setting(path), f"cannot be read ({error.strerror})", "give an ONNX file") from None
    return OnnxOrigin(name=Path(path).name, digest=digest, card=card)


def onnx_metadata(path: str) -> dict[str, str]:
    """The texts that an ONNX file holds beside its graph, by name. Raises SettingsError if it is not an ONNX file."""
    return {entry.key: entry.value for entry in _parsed(path).metadata_props}


def read_onnx(path: str) -> bytes:
    """An ONNX model in one piece, with all its tensors.

    Raises SettingsError if it is not an ONNX file, if its tensors lie outside of its folder or cannot be read, or if it
    is larger than LARGEST.
    """
    try:
        external = external_files(path)
        if not external:
            return read_bytes(path)
        model = _parsed(path)
        _load_external_data(model, path)
    except OSError as error:
        raise SettingsError(_setting(path), f"cannot be read ({error.strerror})", "give an ONNX file") from None
    if model.ByteSize() > LARGEST:
        raise SettingsError(
            _setting(path), "is larger than 2 GB", "give a smaller model, for example in half precision"
        )
    return model.SerializeToString()


def _load_external_data(model: "ModelProto", path: str) -> None:
    """Load the tensors of a model that lie beside its file."""
    from onnx.checker import ValidationError
    from onnx.external_data_helper import load_external_data_for_model

    try:
        load_external_data_for_model(model, str(Path(path).parent))
    except (ValidationError, ValueError) as error:  # links, or a file that ends too early
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        remedy = "copy the whole files to one folder, without links"
        raise SettingsError(_setting(path), f"its tensors cannot be read ({reason})", remedy) from None


def has_external_data(content: bytes) -> bool:
    """Whether tensors of a serialized model lie in other files."""
    if b"location" not in content:  # the key that each of them has
        return False
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return any(_locations(onnx.load_from_string(content)))
    except DecodeError:  # what is no model has none; ONNX Runtime tells what is wrong
        return False


def external_files(path: str) -> list[Path]:
    """The files besides itself that an ONNX file consists of, sorted.

    Raises SettingsError if it is not an ONNX file, or if its tensors are missing or lie outside of its folder; OSError.
    """
    folder = Path(os.path.abspath(path)).parent  # of a link, if the file is one
    files = set()
    for location in _locations_in(os.path.abspath(path), state_of(path)):
        file = folder / location
        if Path(location).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
            fault = f"has tensors outside of its folder ({location})"
            raise SettingsError(_setting(path), fault, "move them beside the file, and export it again")
        if not file.is_file():
            raise SettingsError(_setting(path), f"lacks its tensors in {location}", "put that file beside it")
        files.add(file)
    return sorted(files)


@lru_cache(maxsize=8)
def _locations_in(path: str, state: str) -> list[str]:
    """_locations of a file in a state."""
    return _locations(_parsed(path))


def _parsed(path: str) -> "ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except DecodeError:
        raise SettingsError(_setting(path), "is not an ONNX file", "export the model as ONNX") from None
    if not model.graph.node:
        raise SettingsError(_setting(path), "is not an ONNX file, or holds no graph", "export the model as ONNX")
    return model


def _locations(model: "ModelProto") -> list[str]:
    """Where tensors of a model lie that are not in it."""
    from onnx.external_data_helper import ExternalDataInfo, _get_all_tensors, uses_external_data

    return [ExternalDataInfo(tensor).location for tensor in _get_all_tensors(model) if uses_external_data(tensor)]


def _setting(path: str) -> str:
    return f"train.backbone = {ONNX + path!r}"
