"""Values of the metadata of registered models, as text and as what they are."""

import ast
import json
from typing import Any

from lib.tracking.registered_models import MetadataEntry


def metadata_entry(value: Any, v_type: str | None = None) -> MetadataEntry:
    """A value as text, lists and dicts in JSON; v_type: name of its type, default: that of the value."""
    text = json.dumps(value) if isinstance(value, list | tuple | dict) else str(value)
    return MetadataEntry(text, str(v_type or type(value).__name__))


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


def _literal(text: str) -> Any:
    """The value of a list or dict in JSON, or as Python shows it."""
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)
