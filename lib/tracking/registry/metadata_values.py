"""Values of the metadata of registered models, as text and as what they are."""

import ast
import json
from typing import Any

import numpy as np

from lib.tracking.registry.registered_models import MetadataEntry, ModelError


def metadata_entry(value: Any, v_type: str | None = None) -> MetadataEntry:
    """A value as text, lists and dicts in JSON; v_type: name of its type, default: that of the value.

    Numbers and arrays of NumPy are taken for Python's. Raises ModelError if a list or dict holds what JSON does not.
    """
    value = _plain(value) if isinstance(value, np.generic | np.ndarray) else value
    if not isinstance(value, list | tuple | dict):
        return MetadataEntry(str(value), str(v_type or type(value).__name__))
    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:  # ValueError: it holds itself
        raise ModelError(f"metadata {str(value)[:100]}", f"cannot be stored ({error})", "give it as text") from None
    return MetadataEntry(text, str(v_type or type(value).__name__))


def is_value(entry: MetadataEntry, value: Any) -> bool:
    """Whether an entry has a value; a text is also one of the entry's type.

    >>> is_value(MetadataEntry("True", "bool"), "true"), is_value(MetadataEntry("1", "int"), True)
    (True, False)
    """
    wanted = MetadataEntry(value, entry.type) if isinstance(value, str) else metadata_entry(value)
    if entry.value in (str(value), wanted.value):
        return True
    stored, given = metadata_value(entry), metadata_value(wanted)
    return bool(stored == given) and isinstance(stored, bool) == isinstance(given, bool)


def metadata_value(entry: MetadataEntry) -> Any:
    """The value of an entry as its type; as text if it is none of that type."""
    try:
        if entry.type == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[entry.value.strip().lower()]
        if entry.type in ("int", "float"):
            return {"int": int, "float": float}[entry.type](entry.value)
        if entry.type in ("list", "tuple", "dict"):
            kind = {"list": list, "tuple": tuple, "dict": dict}[entry.type]
            return kind(_literal(entry.value))
    except (ValueError, KeyError, TypeError, SyntaxError):
        pass
    return entry.value


def _plain(value: Any) -> Any:
    """A number or array of NumPy as Python's. Raises TypeError if it is neither."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a type of JSON")


def _literal(text: str) -> Any:
    """The value of a list or dict in JSON, or as Python shows it."""
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)
