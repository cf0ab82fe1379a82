"""What is wrong with settings, as SettingsErrors that name the key, the value and what is allowed, a line a key."""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from lib.core.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)
Faults = dict[str, tuple[str, str]]
"""By key, such as `audio.max_freq`: subject and fault of a SettingsError."""


class Conflict(NamedTuple):
    """A value that does not fit others, though each is valid by itself.

    Args:
        key: of the value, in its section; "": several do not fit together.
        value: itself.
        fault: what is wrong with it.
        others: keys of the values that it does not fit.
    """

    key: str
    value: Any
    fault: str
    others: tuple[str, ...]


class Conflicts(ValueError):
    """The conflicts of a section."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__("; ".join(conflict.fault for conflict in conflicts))
        self.conflicts = conflicts


class FaultyParts(ValueError):
    """What is wrong with the parts of a value, by key in that value."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("; ".join(text for _, text in faults.values()))
        self.faults = faults


def validated(
    model: type[Model], content: Any, prefix: str = "", flags: Mapping[str, str] = MappingProxyType({})
) -> Model:
    """A section of these values.

    Raises SettingsError, a line a fault. Values that do not fit together are only compared once each is valid, so
    faulty ones are taken out until all faults are known.

    Args:
        model: the section.
        content: its values.
        prefix: before each line, such as the name of the file.
        flags: keys whose values were given on the command line -> what their flags are called there.
    """
    valid, faults = checked(model, content)
    if valid is None:
        raise _as_error({key: _of_flag(key, fault, prefix, flags) for key, fault in faults.items()})
    return valid


def checked(model: type[Model], content: Any) -> tuple[Model | None, Faults]:
    """A section of these values, as validated makes it, and what is wrong with them; one of both is empty."""
    faults: Faults = {}
    while True:
        try:
            valid = model.model_validate(content)
            return (None if faults else valid), faults
        except ValidationError as error:
            n_known = len(faults)
            content = _without(content, _collect(error, model, faults))
            if len(faults) == n_known:
                return None, faults


def _of_flag(key: str, fault: tuple[str, str], prefix: str, flags: Mapping[str, str]) -> tuple[str, str]:
    """Subject and fault of a key's value, where it was given."""
    subject, text = fault
    given = max((name for name in flags if f"{key}.".startswith(f"{name}.")), key=len, default=None)
    if given is None:
        return (prefix + subject).removesuffix(": "), text
    return f"--{flags[given]}{subject.removeprefix(given)}", text


def settings_error(error: ValidationError, model: type[BaseModel], name: str) -> SettingsError:
    """The SettingsError of what pydantic found wrong with a value of a section's key `name`."""
    fault = error.errors()[0]
    if isinstance(cause := fault.get("ctx", {}).get("error"), FaultyParts):
        return _as_error({key: (f"{name}.{subject}", text) for key, (subject, text) in cause.faults.items()})
    return _as_error({name: _fault(name, model, fault)})


def _as_error(faults: Faults) -> SettingsError:
    *causes, last = (SettingsError(subject, text) for subject, text in faults.values())
    return SettingsError(last.subject, last.fault, causes=map(str, causes))


def _collect(error: ValidationError, model: type[BaseModel], faults: Faults) -> list[str]:
    """Add what pydantic found in a section to the faults; returns the keys that are to be taken out."""
    keys: list[str] = []
    before = set(faults)
    for fault in error.errors():
        key, section = _located(fault["loc"], model)
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, Conflicts):
            for conflict in cause.conflicts:
                others = [_joined(key, other) for other in conflict.others]
                name = _joined(key, conflict.key)
                if faults.keys().isdisjoint([name, *others]):  # else it may follow from another fault
                    subject = f"{name} = {_shown(conflict.value)}" if conflict.key else name
                    faults[name] = subject, conflict.fault
                    keys += [name] if conflict.key else others
            continue
        if isinstance(cause, FaultyParts):
            faults |= {f"{key}.{name}": (f"{key}.{subject}", text) for name, (subject, text) in cause.faults.items()}
            keys.append(key)
            continue
        subject, message = _fault(key, section, fault)
        if key in faults and key not in before:  # one of several types that the key may have
            message = f"{faults[key][1]}, or {message.removeprefix('must be ')}"
        if key not in before:
            faults[key] = subject, message
        keys.append(key)
    return keys


def _joined(*names: str) -> str:
    return ".".join(filter(None, names))


def _without(content: Any, keys: list[str]) -> Any:
    """Nested values without those of some keys."""
    if not isinstance(content, dict):
        return content
    paths = [key.split(".", 1) for key in keys]
    removed = {path[0] for path in paths if len(path) == 1}
    below = {name: [path[1] for path in paths if path[0] == name] for name in content if name not in removed}
    # Only what keys lead to: an alias in YAML may hold itself.
    return {name: _without(content[name], rest) if rest else content[name] for name, rest in below.items()}


def _shown(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else repr(value)


def unknown_key(key: str, value: Any, allowed: Iterable[str], moved: Mapping[str, str]) -> SettingsError:
    return SettingsError(f"{key} = {value!r}", _unknown(key, allowed, moved))


def _unknown(key: str, allowed: Iterable[str], moved: Mapping[str, str]) -> str:
    if (name := key.rpartition(".")[2]) in moved:
        parts, part, setting = moved[name].rsplit(".", 2)
        return f"is now {moved[name]}; write {{name: {part}, {setting}: ...}} in the list {parts}"
    close = difflib.get_close_matches(key.rpartition(".")[2], list(allowed), n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown key; {hint}allowed: {', '.join(allowed)}"


def _fault(key: str, section: type[BaseModel], fault: Any) -> tuple[str, str]:
    """Subject and fault of a SettingsError."""
    value, kind, fields = fault["input"], fault["type"], section.model_fields
    subject = f"{key} = {_shown(value)}"
    if kind == "extra_forbidden":
        moved = getattr(section, "moved", {})  # of a Section; this may be any other model
        return subject, _unknown(key, fields, moved)
    if kind == "model_type":
        return subject, f"must be a mapping of {', '.join(fields)}"
    if kind == "missing":
        return key, "missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "value_error" and isinstance(value, dict):  # raised by a section as a whole
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
