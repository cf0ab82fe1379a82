"""What is wrong with settings, as SettingsErrors that name the key, the value and what is allowed, a line a key."""

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from lib.core.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], content: Any, prefix: str = "") -> Model:
    """A section of these values. Raises SettingsError; prefix: before each of its lines, such as the file's name."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise settings_error(error, model, prefix=prefix) from None


def settings_error(error: ValidationError, model: type[BaseModel], name: str = "", prefix: str = "") -> SettingsError:
    """The SettingsError of faults that pydantic found in a section, or in a value of its key `name`."""
    faults: dict[str, tuple[str, str]] = {}
    for fault in error.errors():
        key, section = (name, model) if name else _located(fault["loc"], model)
        subject, message = _fault(key, section, fault)
        if key in faults and fault["type"] != "value_error":  # one of several types that the key may have
            message = f"{faults[key][1]}, or {message.removeprefix('must be ')}"
        faults[key] = subject, message
        if name:
            break
    *causes, last = (SettingsError((prefix + subject).removesuffix(": "), text) for subject, text in faults.values())
    return SettingsError(last.subject, last.fault, causes=map(str, causes))


def unknown_key(key: str, value: Any, allowed: Iterable[str]) -> SettingsError:
    return SettingsError(f"{key} = {value!r}", _unknown(key, allowed))


def _unknown(key: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(key.rpartition(".")[2], list(allowed), n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown key; {hint}allowed: {', '.join(allowed)}"


def _fault(key: str, section: type[BaseModel], fault: Any) -> tuple[str, str]:
    """Subject and fault of a SettingsError."""
    value, kind, fields = fault["input"], fault["type"], section.model_fields
    subject = f"{key} = {value!r}"
    if kind == "extra_forbidden":
        return subject, _unknown(key, fields)
    if kind == "model_type":
        return subject, f"must be a mapping of {', '.join(fields)}"
    if kind == "missing":
        return key, "missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "value_error" and isinstance(value, dict):  # raised by a section as a whole: the message names the key
        return key, message
    message = message[0].lower() + message[1:]
    return subject, message.replace("input should be", "must be")


def _located(location: tuple, model: type[BaseModel]) -> tuple[str, type[BaseModel]]:
    """The key that a fault's location names, and its section: pydantic appends the member of a union that did not fit.

    Of a list of sections the key holds the place: `tune.space.0.step`.
    """
    names: list[str] = []
    for part in location:
        names.append(str(part))
        if isinstance(part, int):
            continue
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        inner = next((each for each in (kind, *get_args(kind)) if _is_section(each)), None)
        if inner is None:
            break
        model = inner
    return ".".join(names), model


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
