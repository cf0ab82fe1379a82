"""Keras models, whose configuration may hold code, or name some: Lambda layers, and classes of other modules."""

import json
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lib.core.errors import EarshotError
from lib.core.files import open_regular, printable, read_bytes

CONFIG = "config.json"
"""The configuration of a model in a .keras file, which is a zip file."""
LARGEST_CONFIG = 16 * 2**20
HDF5 = b"\x89HDF\r\n\x1a\n"
FIRST_PLACE = 512
"""Where HDF5 may begin behind something else: there, or at twice, four times, ... that."""
LAMBDAS = {"Lambda", "__lambda__"}
MODULES = {"keras", "keras_core", "tf_keras", "tensorflow", "builtins"}
"""Modules that a configuration may name, with all that is in them."""


def _as_in_json(text: str) -> bytes:
    """A regular expression for a text, each of whose letters JSON may escape."""
    return b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in text.encode())


PAIR = re.compile(
    rb'("(?:%s|%s)")\s*+:\s*+("(?:[^"\\\x00-\x1f]|\\.)*+")' % (_as_in_json("class_name"), _as_in_json("module"))
)
"""A key that matters and its value, which is text, in JSON. No other string is read to its end, which may be far."""


def check_keras_config(file: Path, name: str) -> None:
    """Raise EarshotError if a JSON file is the configuration of a Keras model that holds or names code."""
    if file.stat().st_size > LARGEST_CONFIG:
        raise EarshotError(name, "has too large a description of its model", "save the weights alone")
    pairs: list[tuple[str, Any]] = []
    try:
        json.loads(read_bytes(file), object_pairs_hook=pairs.extend)
    except (ValueError, RecursionError):
        return  # then Keras cannot read it either
    _check_pairs(pairs, name)


def check_hdf5(file: Path, name: str) -> None:
    """Raise EarshotError if a file is a Keras model in HDF5 whose configuration holds or names code.

    The configuration is an attribute, which HDF5 never compresses, so that it stands in the file as it is.
    """
    if not _is_hdf5(file):
        return
    with open_regular(file) as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _check_pairs(list(_text_pairs(PAIR.finditer(content))), name)


def _is_hdf5(file: Path) -> bool:
    n_bytes, place = file.stat().st_size, 0
    with open_regular(file) as opened:
        while place < n_bytes:
            opened.seek(place)
            if opened.read(len(HDF5)) == HDF5:
                return True
            place = 2 * place or FIRST_PLACE
    return False


def _text_pairs(matches: Iterable[re.Match[bytes]]) -> Iterator[tuple[str, str]]:
    """Keys and values without the escapes of JSON."""
    for match in matches:
        try:
            yield json.loads(match[1]), json.loads(match[2])
        except ValueError:
            continue


def _check_pairs(pairs: Iterable[tuple[str, Any]], name: str) -> None:
    """pairs: keys and values of all objects of a configuration."""
    named = [value for key, value in pairs if key == "class_name" and isinstance(value, str)]
    modules = [value for key, value in pairs if key == "module" and isinstance(value, str)]
    remedy = "save the weights alone, or the model as ONNX"
    if any(value.rpartition(">")[2] in LAMBDAS for value in named):
        raise EarshotError(name, "holds code (a Lambda layer of Keras)", remedy)
    if named and (others := [module for module in modules if module.partition(".")[0] not in MODULES]):
        raise EarshotError(name, f"names code of its own ({printable(others[0][:100])})", remedy)
